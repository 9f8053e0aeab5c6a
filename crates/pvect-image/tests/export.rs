//! What is exported is what create takes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io::Write;

use common::{Hostile, Image, Setup};
use pvect_image::ImageError;
use pvect_rootfs::idmap::IdMap;
use pvect_rootfs::unpack::{Options, oci};

#[test]
fn an_exported_image_is_unpacked_as_a_template() {
    if !rustix::process::geteuid().is_root() {
        let _ = writeln!(std::io::stderr(), "skipped: only root unpacks images");
        return;
    }
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(5);
    header.set_mode(0o644);
    layer.append_data(&mut header, "greeting", &b"hello"[..]).unwrap();
    let layer = layer.into_inner().unwrap();
    let image = Image::new(&[&layer, &layer]);
    let served = image.clone();
    let registry = Hostile::start(move |asked| served.answer(asked));
    let setup = Setup::new();
    let reference = registry.reference("a/b:1");
    setup.pull(&reference).unwrap();

    let directory = tempfile::tempdir().unwrap();
    let (archive, root) = (directory.path().join("x.tar"), directory.path().join("root"));
    std::fs::create_dir(&root).unwrap();
    setup.store.export_file(&reference, &archive).unwrap();
    assert!(oci::is_image(&archive));
    let idmap = IdMap::identity();
    let options = Options {
        idmap: &idmap,
        ignore_errors: false,
        report: &|_| (),
        most: None,
        room: &|| Ok(()),
        bytes_per_second: None,
        interrupted: &|| false,
    };
    let config = oci::extract(&archive, &root, "amd64", &options).unwrap();
    assert_eq!(config.cmd, Some(vec!["sh".to_owned()]));
    assert_eq!(std::fs::read(root.join("greeting")).unwrap(), b"hello");

    // A blob that was changed on the disk gets into no archive.
    let blob = setup.store.root().join("blobs").join(image.layers[0].replace(':', "/"));
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[600] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let other = directory.path().join("y.tar");
    let error = setup.store.export_file(&reference, &other).unwrap_err();
    assert!(matches!(error, ImageError::Damaged(_)), "{error}");
    let left: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}
