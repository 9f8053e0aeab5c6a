//! Templates: any tar archive is unpacked as root, with the ids of an unprivileged container; nothing is made, changed
//! or removed beside the root.

#![no_main]

use libfuzzer_sys::fuzz_target;
use pvect_fuzz::{Arena, checked};
use pvect_node::idmap::IdMap;
use pvect_node::unpack::{Options, Search, extract, in_proportion, read_member};

fuzz_target!(|bytes: &[u8]| {
    let arena = Arena::new();
    // Right checksums, or nothing beyond the first header is ever reached.
    let archive = arena.archive(&checked(bytes));
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
    let _ = extract(&archive, &arena.root(), &options);
    let search = Search { largest: 4096, most, interrupted: &ends };
    let _ = read_member(&archive, std::path::Path::new("etc/vzdump/pct.conf"), &search);
    arena.check();
});
