//! Property strings: any text in, pairs or violations out; printing is idempotent and changes no pair.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pvect_core::property::{self, DeviceEntry, Features, MountPoint, NetInterface, RootFs, Startup};
use pvect_core::schema::properties::{DEV, FEATURES, MOUNT_POINT, NET, REMOTE, ROOTFS, UNUSED};

fuzz_target!(|text: &str| {
    for schema in [&DEV, &FEATURES, &MOUNT_POINT, &NET, &REMOTE, &ROOTFS, &UNUSED] {
        let Ok(pairs) = property::parse(schema, "x", text) else { continue };
        let printed = property::print(schema, &pairs);
        let again = property::parse(schema, "x", &printed).expect("what was printed parses");
        assert_eq!(property::print(schema, &again), printed);
        // Sizes are printed in another unit; nothing else may come back as something else.
        for (key, value) in pairs.iter().filter(|(key, _)| key != "size") {
            assert!(again.iter().any(|pair| (&pair.0, &pair.1) == (key, value)), "{key}={value}: {printed}");
        }
        assert_eq!(again.len(), pairs.len());
    }
    typed(text, |text| NetInterface::parse("net0", text).ok());
    typed(text, |text| MountPoint::parse("mp0", text).ok());
    typed(text, |text| RootFs::parse(text).ok());
    typed(text, |text| DeviceEntry::parse("dev0", text).ok());
    typed(text, |text| Features::parse(text).ok());
    let _ = Startup::parse(text);
});

fn typed<T: PartialEq + std::fmt::Debug + std::fmt::Display>(text: &str, parse: impl Fn(&str) -> Option<T>) {
    let Some(value) = parse(text) else { return };
    let printed = value.to_string();
    let again = parse(&printed).expect("what was printed parses");
    assert_eq!(again.to_string(), printed);
}
