//! The output of `pct config`: any bytes in, a value or an error out; printing and parsing give the same value.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pvect_core::config::ContainerConfig;

fuzz_target!(|bytes: &[u8]| {
    let Ok(config) = ContainerConfig::parse_output(bytes) else { return };
    let again = ContainerConfig::parse_output(config.main.to_output().as_bytes());
    assert_eq!(again.as_ref(), Ok(&config));
});
