//! `storage.cfg`: any text in, sections out; of two sections with one name the first counts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pvect_node::storage::cfg::Storages;

fuzz_target!(|text: &str| {
    let storages = Storages::parse(text);
    for storage in &storages.0 {
        let _ = (storage.holds("rootdir"), storage.usable_kind(), storage.path());
        let first = storages.0.iter().find(|one| one.name == storage.name).expect("it is there itself");
        match storages.find(&storage.name) {
            Ok(found) => assert!(std::ptr::eq(found, first)),
            Err(_) => assert!(first.disabled()),
        }
    }
});
