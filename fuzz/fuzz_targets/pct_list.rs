//! The output of pct: any bytes in, a value or an error out; a list that was parsed is printed and parsed the same.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pvect_pct::parse::{self, Clock};

fuzz_target!(|bytes: &[u8]| {
    let _ = (parse::state(bytes), parse::status(bytes), parse::pending(bytes), parse::list_json(bytes));
    let _ = parse::snapshots(bytes, Clock::Utc);
    let text = String::from_utf8_lossy(bytes);
    for verb in pvect_core::Verb::ALL {
        let _ = pvect_core::classify::judge(*verb, 1, "", &text);
    }
    let Ok(rows) = parse::list(bytes) else { return };
    let mut printed = format!("{:<10} {:<10} {:<12} {:<20}\n", "VMID", "Status", "Lock", "Name");
    for row in &rows {
        let lock = row.lock.as_ref().map_or("", |lock| lock.as_str());
        // Columns count characters here and bytes in pct; only ASCII is the same in both.
        if !(row.status.as_str().is_ascii() && lock.is_ascii() && row.name.is_ascii()) {
            return;
        }
        printed +=
            &format!("{:<10} {:<10} {lock:<12} {:<20}\n", row.vmid.get(), row.status.as_str(), row.name);
    }
    assert_eq!(parse::list(printed.as_bytes()).as_ref(), Ok(&rows));
});
