//! `storage.cfg`: any text in, sections out; of two sections with one name the first counts.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pvect_node::storage::cfg::Storages;

fuzz_target!(|text: &str| {
    let Ok(node) = "vm".parse() else { return };
    let storages = Storages::parse(text, node);
    for storage in storages.all() {
        let _ = (storage.holds("rootdir"), storage.usable_kind(), storage.directories());
        let first = storages.all().iter().find(|one| one.name == storage.name).expect("it is there itself");
        match storages.find(&storage.name) {
            Ok(found) => assert!(std::ptr::eq(found, first)),
            // Switched off, another node's, or with a value that cannot be understood.
            Err(failure) => assert!(!failure.text.is_empty()),
        }
    }
});
