//! Pending changes of a container that does not run.

use super::*;

fn node() -> (tempfile::TempDir, Node) {
    let dir = tempfile::tempdir().unwrap();
    let node = crate::fixture::node(dir.path());
    crate::store::ensure_root(&node).unwrap();
    (dir, node)
}

fn apply(node: &Node, text: &str) -> (String, Changed, String) {
    let mode = pvect_core::config::ParseMode::Lenient;
    let (mut config, _) = ContainerConfig::parse(text.as_bytes(), mode).unwrap();
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut output = Output::new(&mut out, &mut err);
    let changed = Changes::new(node, "101".parse().unwrap(), &mut config, None).apply(&mut output);
    (config.to_text().unwrap(), changed, String::from_utf8(err).unwrap())
}

#[test]
fn pending_values_and_deletions_are_applied() {
    let (_dir, node) = node();
    let text =
        "memory: 512\nnameserver: 1.1.1.1\n\n[pve:pending]\ncores: 2\ndelete: nameserver,swap\nmemory: 256\n";
    let (text, changed, _) = apply(&node, text);
    assert_eq!(text, "cores: 2\nmemory: 256\n");
    assert!(changed.errors.is_empty() && changed.made.is_empty());
}

#[test]
fn a_removed_mount_point_leaves_an_unused_volume() {
    let (_dir, node) = node();
    let volume = "local:101/vm-101-disk-1.raw";
    let (text, ..) = apply(&node, &format!("mp0: {volume},mp=/a\n\n[pve:pending]\ndelete: mp0\n"));
    assert_eq!(text, format!("unused0: {volume}\n"));
    let both = format!("mp0: {volume},mp=/a\nmp1: {volume},mp=/b\n\n[pve:pending]\ndelete: mp0\n");
    assert_eq!(apply(&node, &both).0, format!("mp1: {volume},mp=/b\n"));
    let replaced = format!("mp0: {volume},mp=/a\n\n[pve:pending]\nmp0: mp=/a,/srv\n");
    assert_eq!(apply(&node, &replaced).0, format!("mp0: /srv,mp=/a\nunused0: {volume}\n"));
}

#[test]
fn an_unused_volume_is_removed_unless_a_snapshot_has_it() {
    let (_dir, node) = node();
    let images = node.layout.local_storage().join("images/101");
    std::fs::create_dir_all(&images).unwrap();
    let file = images.join("vm-101-disk-1.raw");
    std::fs::write(&file, "x").unwrap();
    let text = "unused0: local:101/vm-101-disk-1.raw\n\n[pve:pending]\ndelete: unused0\n";
    let (kept, ..) = apply(&node, &format!("{text}\n[snap]\nrootfs: local:101/vm-101-disk-1.raw,size=1G\n"));
    assert!(kept.starts_with("\n[snap]") && file.exists(), "{kept}");
    assert_eq!(apply(&node, text).0, "");
    assert!(!file.exists());
}

#[test]
fn what_fails_stays_pending() {
    let (_dir, node) = node();
    let (text, changed, err) =
        apply(&node, "memory: 512\n\n[pve:pending]\nmemory: 64\nmp0: nosuch:1,mp=/a\n");
    assert_eq!(text, "memory: 64\n\n[pve:pending]\nmp0: nosuch:1,mp=/a\n");
    let words = "unable to apply pending change mp0 : storage 'nosuch' does not exist";
    assert_eq!(changed.errors["mp0"], format!("{words}\n"));
    assert_eq!(err, format!("{words}\n"));
}

#[test]
fn what_cannot_be_parsed_is_not_deleted() {
    let (_dir, node) = node();
    let text = "mp0: bogus\nnet0: bogus\n\n[pve:pending]\ndelete: mp0,net0\n";
    let (kept, changed, err) = apply(&node, text);
    assert_eq!(kept, text);
    let net =
        "unable to apply pending change net0 : value without key, but schema does not define a default key";
    let mount =
        "unable to apply pending change mp0 : format error\nmp: property is missing and it is not optional";
    assert_eq!(
        (&changed.errors["mp0"], &changed.errors["net0"]),
        (&format!("{mount}\n"), &format!("{net}\n"))
    );
    assert_eq!(err, format!("{mount}\n{net}\n"));
}

#[test]
fn the_size_of_an_image_is_looked_up() {
    let (_dir, node) = node();
    let images = node.layout.local_storage().join("images/101");
    std::fs::create_dir_all(&images).unwrap();
    std::fs::File::create(images.join("vm-101-disk-1.raw")).unwrap().set_len(1 << 30).unwrap();
    let (text, ..) = apply(&node, "\n[pve:pending]\nmp0: local:101/vm-101-disk-1.raw,mp=/a,size=5G\n");
    assert_eq!(text, "mp0: local:101/vm-101-disk-1.raw,mp=/a,size=1G\n");
    let (text, _, err) = apply(&node, "\n[pve:pending]\nmp0: local:101/vm-101-disk-9.raw,mp=/a,size=5G\n");
    assert_eq!(text, "mp0: local:101/vm-101-disk-9.raw,mp=/a,size=5G\n");
    assert_eq!(err, "Could not rescan volume size - volume 'local:101/vm-101-disk-9.raw' does not exist\n\n");
}

#[test]
fn an_undo_takes_away_what_it_can_and_names_the_rest() {
    let (_dir, node) = node();
    let vmid: Vmid = "101".parse().unwrap();
    let mut made = Vec::new();
    for _ in 0..3 {
        made.push(storage::allocate(&node, "local", vmid, DiskSize(0), (0, 0), &mut |_| {}).unwrap());
    }
    let bogus: VolumeId = "nosuch:101/subvol-101-disk-9.subvol".parse().unwrap();
    made.insert(1, bogus);
    // The container does not run, so nothing can be unmounted in it.
    let point = MountPoint::parse("mp0", &format!("{},mp=/a", made[0])).unwrap();
    let changed =
        Changed { made: made.clone(), mounted: vec![("mp0".to_owned(), point)], errors: BTreeMap::new() };
    let (mut out, mut err) = (Vec::new(), Vec::new());
    changed.undo(&node, vmid, &mut Output::new(&mut out, &mut err));
    let is_there = |volume: &VolumeId| storage::volume_path(&node, volume).is_ok();
    assert_eq!(made.iter().map(is_there).collect::<Vec<_>>(), [true, false, false, false]);
    assert_eq!(
        String::from_utf8(err).unwrap(),
        format!(
            "mp0 stays mounted: CT 101 not running\n\
             volume '{}' is left: it is still mounted\n\
             volume '{}' is left: storage 'nosuch' does not exist\n",
            made[0], made[1]
        )
    );
}
