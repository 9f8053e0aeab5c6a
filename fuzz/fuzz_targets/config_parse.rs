//! Configuration files: any bytes in, a value or an error out; what was printed is printed the same again.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pvect_core::config::{ContainerConfig, ParseMode};

fuzz_target!(|bytes: &[u8]| {
    let _ = ContainerConfig::parse(bytes, ParseMode::Strict);
    let Ok((config, _)) = ContainerConfig::parse(bytes, ParseMode::Lenient) else { return };
    let _ = (config.volumes(), config.nets(), config.devices(), config.features(), config.id_maps());
    let _ = (config.snapshot_entries(), config.pending_items(), config.merged().to_output());
    // As with pct, the first printing may lose something: the header of a section with an empty description alone.
    let printed = again(&config.to_text().expect("a parsed value holds no line break"));
    assert_eq!(again(&printed), printed);
});

/// Parses what was printed and prints it.
fn again(printed: &str) -> String {
    let (config, _) =
        ContainerConfig::parse(printed.as_bytes(), ParseMode::Lenient).expect("what was printed is UTF-8");
    config.to_text().expect("a parsed value holds no line break")
}
