//! OCI images: a configuration and layers, laid into an image layout with right digests, are unpacked as root with the
//! ids of an unprivileged container; nothing is made, changed or removed beside the root.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pvect_fuzz::{Arena, checked, image};
use pvect_node::idmap::IdMap;
use pvect_node::unpack::{Options, in_proportion, oci};

fuzz_target!(|bytes: &[u8]| {
    let arena = Arena::new();
    // What stands before the first NUL is the configuration; then layers, each ended by so many 0xff.
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    let (config, rest) = bytes.split_at(end);
    let mut layers: Vec<Vec<u8>> = Vec::new();
    let mut rest = rest.get(1..).unwrap_or_default();
    while let Some(at) = rest.windows(8).position(|window| window == [0xff; 8]) {
        layers.push(checked(&rest[..at]));
        rest = &rest[at + 8..];
    }
    layers.push(checked(rest));
    let archive = arena.archive(&image(config, &layers));
    let (idmap, ends) = (IdMap::unprivileged(), arena.deadline());
    let most = in_proportion(&archive).unwrap_or_default();
    let options = Options {
        idmap: &idmap,
        ignore_errors: bytes.len() % 2 == 1,
        report: &|_| (),
        most,
        room: &|| Ok(()),
        bytes_per_second: None,
        interrupted: &ends,
    };
    if oci::is_image(&archive) {
        let _ = oci::extract(&archive, &arena.root(), "amd64", &options);
    }
    arena.check();
});
