use std::time::SystemTime;

use super::*;
use crate::Reference;
use crate::documents::{OCI_CONFIG, OCI_LAYER, OCI_MANIFEST};

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::new(directory.path().join("images")).patience(Duration::ZERO);
    store.make().unwrap();
    (directory, store)
}

fn blob(kind: &str, bytes: &[u8]) -> Descriptor {
    Descriptor {
        media_type: kind.to_owned(),
        digest: Digest::of(Algorithm::Sha256, bytes),
        size: bytes.len() as u64,
        platform: None,
        annotations: std::collections::BTreeMap::new(),
    }
}

fn partial(store: &Store, blob: &Descriptor) -> Box<Partial> {
    match store.begin(blob).unwrap() {
        Begun::Partial(partial) => partial,
        other => panic!("{other:?}"),
    }
}

fn add(store: &Store, kind: &str, bytes: &[u8]) -> Descriptor {
    let blob = blob(kind, bytes);
    if let Begun::Partial(mut partial) = store.begin(&blob).unwrap() {
        partial.write(bytes).unwrap();
        partial.finish().unwrap();
    }
    blob
}

fn image(store: &Store, name: &str, layer: &[u8]) -> Reference {
    let config = add(store, OCI_CONFIG, br#"{"architecture":"amd64","os":"linux","config":{"Cmd":["x"]}}"#);
    let layer = add(store, OCI_LAYER, layer);
    let manifest = serde_json::json!({ "schemaVersion": 2, "config": config, "layers": [layer] }).to_string();
    let manifest = add(store, OCI_MANIFEST, manifest.as_bytes());
    let reference = Reference::parse(name).unwrap();
    store.name(&reference, &manifest, None, 7).unwrap();
    reference
}

#[test]
fn a_partial_blob_goes_on_where_it_ended() {
    let (_directory, store) = store();
    let blob = blob(OCI_LAYER, b"hello world");
    let mut first = partial(&store, &blob);
    first.write(b"hello ").unwrap();
    assert!(matches!(store.begin(&blob).unwrap(), Begun::Elsewhere), "one at a time");
    drop(first);
    assert!(!store.has(&blob));
    let mut second = partial(&store, &blob);
    assert_eq!((second.length(), second.missing()), (6, 5));
    second.write(b"world").unwrap();
    second.finish().unwrap();
    assert!(store.has(&blob));
    assert!(matches!(store.begin(&blob).unwrap(), Begun::Whole));
    let left = names_in(&store.root().join("partial")).unwrap();
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_blob_that_is_not_what_its_name_says_leaves_nothing() {
    let (_directory, store) = store();
    let blob = blob(OCI_LAYER, b"hello world");
    let mut flipped = partial(&store, &blob);
    flipped.write(b"hellO world").unwrap();
    assert!(matches!(flipped.finish(), Err(ImageError::Damaged(_))));
    let mut longer = partial(&store, &blob);
    assert_eq!(longer.length(), 0, "nothing of the flipped one is left");
    longer.write(b"hello world").unwrap();
    assert!(matches!(longer.write(b"!"), Err(ImageError::Damaged(_))));
    drop(longer);
    let mut shorter = partial(&store, &blob);
    shorter.write(b"hello").unwrap();
    assert!(matches!(shorter.finish(), Err(ImageError::Broken(_))));
    assert!(!store.has(&blob));
    assert_eq!(partial(&store, &blob).length(), 5, "what is too short may go on");
}

#[test]
fn names_come_and_go() {
    let (_directory, store) = store();
    let first = image(&store, "a:1", b"one");
    let second = image(&store, "a:2", b"two");
    store.tag(&first, &second).unwrap();
    let list = store.list().unwrap();
    assert_eq!(list.len(), 2);
    assert_eq!(list[0].digest, list[1].digest, "the second name was moved");
    assert_eq!(list[0].pulled, 7);
    let details = store.inspect(&first).unwrap();
    assert_eq!((details.layers[0].1, details.facts.config["Cmd"][0].as_str()), (3, Some("x")));
    store.remove(&first).unwrap();
    assert!(matches!(store.remove(&first), Err(ImageError::NotFound(_))));
    assert!(matches!(store.find(&first), Err(ImageError::NotFound(_))));
    assert!(store.find(&second).is_ok());
}

#[test]
fn prune_removes_what_no_name_holds_and_nothing_else() {
    let (_directory, store) = store();
    let kept = image(&store, "kept", b"shared");
    let gone = image(&store, "gone", b"not shared");
    let begun = blob(OCI_LAYER, b"some more");
    partial(&store, &begun).write(b"some").unwrap();
    store.remove(&gone).unwrap();
    let now = SystemTime::now();
    let counted = store.prune(now, true).unwrap();
    assert_eq!((counted.blobs, counted.partial), (2, 0), "its layer and its manifest; the config is shared");
    assert_eq!(store.prune(now, false).unwrap(), counted);
    assert_eq!(store.prune(now, false).unwrap(), Pruned::default());
    let later = store.prune(now + Duration::from_secs(25 * 60 * 60), false).unwrap();
    assert_eq!((later.blobs, later.partial, later.bytes), (0, 1, 4));
    assert_eq!(store.inspect(&kept).unwrap().layers[0].1, 6);
}

#[test]
fn prune_waits_for_whoever_brings_images() {
    let (_directory, store) = store();
    image(&store, "x", b"layer");
    let using = store.share().unwrap();
    assert!(matches!(store.prune(SystemTime::now(), false), Err(ImageError::Held(_))));
    drop(using);
    store.prune(SystemTime::now(), false).unwrap();
}

#[test]
fn prune_removes_nothing_when_it_cannot_know_what_is_held() {
    let (_directory, store) = store();
    let damaged = image(&store, "damaged", b"layer");
    let stray = add(&store, OCI_LAYER, b"stray");
    let manifest = store.path(&store.find(&damaged).unwrap().digest);
    fs::write(&manifest, "x".repeat(usize::try_from(manifest.metadata().unwrap().len()).unwrap())).unwrap();
    assert!(matches!(store.prune(SystemTime::now(), false), Err(ImageError::Damaged(_))));
    assert!(store.has(&stray));
    assert_eq!(store.list().unwrap()[0].size, 0, "it is still listed, and can be removed");
}

#[test]
fn a_store_is_closed_to_others_and_is_no_link() {
    let (directory, store) = store();
    for name in ["", "blobs", "blobs/sha256", "partial"] {
        let mode = store.root().join(name).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700, "{name}");
    }
    let link = directory.path().join("link");
    std::os::unix::fs::symlink(store.root(), &link).unwrap();
    assert!(matches!(Store::new(&link).list(), Err(ImageError::Settings(_))));
    fs::set_permissions(store.root(), fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(store.list(), Err(ImageError::Settings(_))));
    let nowhere = Store::new(directory.path().join("nowhere"));
    assert_eq!(nowhere.list().unwrap(), []);
    assert!(!nowhere.root().exists(), "reading makes nothing");
}
