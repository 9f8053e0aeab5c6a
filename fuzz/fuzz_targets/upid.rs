//! UPIDs, sizes, tags and the percent-encoding.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pvect_core::config::{decode, encode};
use pvect_core::size::DiskSize;
use pvect_core::tags::normalise;
use pvect_core::upid::Upid;

fuzz_target!(|text: &str| {
    if let Ok(upid) = text.parse::<Upid>() {
        assert_eq!(upid.to_string().parse().as_ref(), Ok(&upid));
    }
    if let Some(size) = DiskSize::parse(text) {
        assert_eq!(DiskSize::parse(&size.to_string()), Some(size));
    }
    assert_eq!(normalise(&normalise(text)), normalise(text));
    assert_eq!(decode(&encode(text)), text);
});
