//! Answers of pmxcfs and what its library has in shared memory: any bytes in, files or an error out; the files are no longer
//! than what they came from.

#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    assert!(pvect_native::fuzzing::pmxcfs(bytes) <= bytes.len());
});
