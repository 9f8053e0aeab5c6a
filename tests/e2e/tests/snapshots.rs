//! Snapshots, rollbacks, clones and moves with real data, through the real processes.

use std::fs;
use std::os::unix::fs::MetadataExt;

use pvect_testkit::{TestNode, node_or_skip};

/// A node with the storage `fast` of the type btrfs; `None` where this machine has none.
fn node_with_btrfs() -> Option<TestNode> {
    let made = TestNode::new().and_then(|node| node.btrfs("fast", 512).map(|()| node));
    made.map_err(|reason| pvect_testkit::skipped(module_path!(), &reason)).ok()
}

fn line(node: &TestNode, line: &str) -> String {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    node.pvect(&words).ok()
}

fn sh(node: &TestNode, vmid: &str, script: &str) -> String {
    node.pvect(&["exec", vmid, "--", "sh", "-c", script]).ok()
}

fn config(node: &TestNode, vmid: &str, key: &str) -> String {
    let text = node.pct(&["config", vmid]).ok();
    let prefix = format!("{key}: ");
    text.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap_or_default().to_owned()
}

/// A container with an image and a directory on btrfs, running, in whose volumes `state` is written.
fn two_volumes(node: &TestNode) {
    let template = node.busybox();
    line(
        node,
        &format!("create 101 {template} --rootfs fast:0.1 --mp0 fast:0,mp=/data --memory 64 --start 1"),
    );
    write(node, "101", "one");
}

fn write(node: &TestNode, vmid: &str, state: &str) {
    sh(node, vmid, &format!("echo {state} >/root/state; echo {state} >/data/state"));
}

fn state(node: &TestNode, vmid: &str) -> String {
    sh(node, vmid, "cat /root/state /data/state").replace('\n', " ")
}

#[test]
fn a_running_container_goes_back_to_its_snapshot() {
    let Some(node) = node_with_btrfs() else { return };
    two_volumes(&node);
    // Files that are being written do not make a broken snapshot.
    sh(
        &node,
        "101",
        "(while true; do dd if=/dev/zero of=/root/busy bs=64k count=40; done) >/dev/null 2>&1 &",
    );
    line(&node, "snapshot 101 s1 --description first");
    assert!(line(&node, "status 101").contains("running"));
    write(&node, "101", "two");
    line(&node, "set 101 --hostname other");
    line(&node, "snapshot 101 s2");
    assert_eq!(state(&node, "101"), "two two ");

    let refused = node.pvect(&["rollback", "101", "s1"]);
    assert_ne!(refused.status, 0, "a rollback kills what runs; it has to be asked for");
    line(&node, "rollback 101 s1 --force --start 1");
    assert_eq!(state(&node, "101"), "one one ");
    assert_ne!(config(&node, "101", "hostname"), "other");
    assert_eq!(config(&node, "101", "parent"), "s1");
    line(&node, "stop 101");
    // The image is whole, whatever was written at that moment.
    let fsck = node.pct(&["fsck", "101", "--force", "1"]).ok();
    assert!(!fsck.contains("ERROR") && !fsck.contains("corrupt"), "{fsck}");
    line(&node, "rollback 101 s2 --start 1");
    assert_eq!(
        (state(&node, "101").as_str(), config(&node, "101", "hostname").as_str()),
        ("two two ", "other")
    );

    line(&node, "delsnapshot 101 s1");
    line(&node, "delsnapshot 101 s2");
    assert_eq!(line(&node, "listsnapshot 101 --output plain").lines().count(), 1);
    let images = node.root().join("fast/images/101");
    let left: Vec<_> =
        fs::read_dir(&images).expect("images").flatten().map(|entry| entry.file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
    line(&node, "destroy 101 --force --yes");
    assert!(!images.exists());
}

#[test]
fn a_subvolume_without_its_image_is_a_volume_too() {
    let Some(node) = node_with_btrfs() else { return };
    let template = node.busybox();
    line(&node, &format!("create 101 {template} --rootfs local:0 --memory 64"));
    // As a create leaves it that is killed before it makes the image.
    let images = node.root().join("fast/images/101");
    fs::create_dir_all(&images).expect("a directory");
    let subvolume = images.join("vm-101-disk-0");
    let made = std::process::Command::new("btrfs").args(["subvolume", "create"]).arg(&subvolume).output();
    assert!(made.expect("btrfs").status.success());
    node.pct(&["destroy", "101", "--destroy-unreferenced-disks", "1"]).ok();
    assert!(!images.exists(), "the subvolume is left");
}

#[test]
fn clones_are_independent_of_what_they_were_made_of() {
    let Some(node) = node_with_btrfs() else { return };
    two_volumes(&node);
    line(&node, "snapshot 101 s1");
    write(&node, "101", "two");
    // While it runs: from the snapshot, whole and linked.
    line(&node, "clone 101 102 --snapname s1 --hostname whole --full 1");
    line(&node, "clone 101 103 --snapname s1 --hostname linked --full 0");
    line(&node, "clone 101 104 --snapname s1 --hostname elsewhere --full 1 --storage local");
    for vmid in ["102", "103", "104"] {
        line(&node, &format!("start {vmid}"));
        assert_eq!(state(&node, vmid), "one one ", "{vmid}");
        assert_eq!(sh(&node, vmid, "hostname").trim(), config(&node, vmid, "hostname"));
        write(&node, vmid, vmid);
    }
    assert_eq!(state(&node, "101"), "two two ");
    assert_eq!(state(&node, "103"), "103 103 ");
    let config = node.pct(&["config", "102"]).ok();
    assert!(
        !config.contains("parent") && !config.contains("snaptime") && !config.contains("lock"),
        "{config}"
    );
    for vmid in ["101", "102", "103", "104"] {
        line(&node, &format!("destroy {vmid} --force --yes"));
        assert!(!node.root().join("fast/images").join(vmid).exists());
    }
}

#[test]
fn a_clone_takes_the_next_free_number() {
    let node = node_or_skip!();
    let template = node.busybox();
    line(&node, &format!("create 100 {template} --rootfs local:0 --memory 64 --hostname web"));
    line(&node, &format!("create 102 {template} --rootfs local:0 --memory 64"));
    assert_eq!(line(&node, "clone web --hostname two"), "101\n");
    assert_eq!(line(&node, "clone web next --hostname three"), "103\n");
    let dry = line(&node, "--dry-run clone web next --full");
    assert!(dry.ends_with("pct clone 100 104 --full 1\n"), "{dry}");
    let made = line(&node, "clone web --hostname four -o json");
    assert_eq!(made.split_whitespace().collect::<String>(), "{\"vmid\":104,\"warnings\":[]}");
    assert_eq!(config(&node, "101", "hostname"), "two");
    let taken = node.pvect(&["clone", "web", "102"]);
    assert!(
        taken.stderr.contains("hint: without a number, create and clone take the next free one"),
        "{}",
        taken.stderr
    );
    let linked = node.pvect(&["clone", "web", "--full", "0"]);
    assert!(linked.stderr.contains("hint: --full 1 copies the volumes"), "{}", linked.stderr);
    let refused = node.pvect(&["snapshot", "web", "s1"]);
    assert!(refused.stderr.contains("`pvect move-volume 100 rootfs STORAGE`"), "{}", refused.stderr);
}

#[test]
fn linked_clones_of_a_template_share_its_blocks() {
    let Some(node) = node_with_btrfs() else { return };
    let template = node.busybox();
    line(
        &node,
        &format!("create 101 {template} --rootfs fast:0.1 --mp0 fast:0,mp=/data --memory 64 --start 1"),
    );
    sh(
        &node,
        "101",
        "dd if=/dev/urandom of=/data/big bs=1M count=64; echo one >/root/state; echo one >/data/state",
    );
    line(&node, "stop 101");
    line(&node, "template 101");
    assert!(config(&node, "101", "rootfs").starts_with("fast:101/base-101-disk-0.raw"));
    let used = || bytes_used(&node);
    let before = used();
    for vmid in ["102", "103"] {
        line(&node, &format!("clone 101 {vmid}"));
    }
    assert!(used() < before + (16 << 20), "{before} bytes before, {} with two clones", used());
    line(&node, "start 102");
    assert_eq!(state(&node, "102"), "one one ");
    write(&node, "102", "two");
    line(&node, "start 103");
    assert_eq!(state(&node, "103"), "one one ");
    // The template's own subvolumes cannot be written.
    let base = node.root().join("fast/images/101/base-101-disk-0");
    assert!(fs::write(base.join("file"), "x").is_err(), "a base is read-only");
    line(&node, "destroy 101 --yes");
    assert_eq!(state(&node, "102"), "two two ");
}

/// The bytes in use on the storage `fast`, after all is written.
fn bytes_used(node: &TestNode) -> u64 {
    let place = node.root().join("fast");
    let status = std::process::Command::new("sync").arg("-f").arg(&place).status();
    assert!(status.is_ok_and(|status| status.success()));
    let output = std::process::Command::new("df").args(["-B1", "--output=used"]).arg(&place).output();
    let text = String::from_utf8(output.expect("df can be started").stdout).expect("text");
    text.lines().nth(1).and_then(|line| line.trim().parse().ok()).expect("a number of bytes")
}

#[test]
fn a_volume_moves_with_all_that_is_in_it() {
    let Some(node) = node_with_btrfs() else { return };
    let template = node.busybox();
    line(
        &node,
        &format!("create 101 {template} --rootfs local:0.1 --mp0 local:0.1,mp=/data --memory 64 --start 1"),
    );
    sh(
        &node,
        "101",
        "cd /data; echo x >a; ln a b; ln -s a c; mkfifo p; chown 1000:1001 a; chmod 4711 a; touch -d @1000 a; \
         dd if=/dev/zero of=holes bs=1 count=1 seek=20M",
    );
    let listing =
        |node: &TestNode| sh(node, "101", "cd /data; stat -c '%n %a %u:%g %h %s %Y %F' a b c p holes");
    let before = listing(&node);
    assert!(before.contains("a 4711 1000:1001 2 2 1000 regular file"), "{before}");
    let refused = node.pvect(&["move-volume", "101", "mp0", "fast"]);
    assert!(refused.stderr.contains("cannot move volumes of a running container"), "{}", refused.stderr);
    line(&node, "stop 101");
    line(&node, "move-volume 101 mp0 fast");
    assert!(config(&node, "101", "mp0").starts_with("fast:101/vm-101-disk-0.raw,mp=/data"));
    assert_eq!(config(&node, "101", "unused0"), "local:101/vm-101-disk-1.raw");
    line(&node, "start 101");
    assert_eq!(listing(&node), before);
    let image = node.root().join("fast/images/101/vm-101-disk-0/disk.raw");
    assert!(fs::metadata(&image).expect("the image").blocks() * 512 < 40 << 20, "the image is not sparse");
    line(&node, "stop 101");
    line(&node, "move-volume 101 rootfs fast --delete 1");
    line(&node, "move-volume 101 mp0 local --delete 1");
    assert!(!image.exists());
    line(&node, "start 101");
    assert_eq!(listing(&node), before);
}

#[test]
fn a_volume_goes_to_another_container() {
    let node = node_or_skip!();
    let template = node.busybox();
    for vmid in ["101", "102"] {
        line(&node, &format!("create {vmid} {template} --rootfs local:0 --memory 64"));
    }
    line(&node, "set 101 --mp0 local:0.1,mp=/data");
    line(&node, "start 101");
    sh(&node, "101", "echo kept >/data/file");
    let refused =
        node.pvect(&["move-volume", "101", "mp0", "--target-vmid", "102", "--target-volume", "mp3"]);
    assert!(refused.stderr.contains("while the source CT is running"), "{}", refused.stderr);
    line(&node, "stop 101");
    line(&node, "start 102");
    let moved =
        node.pct(&["move-volume", "101", "mp0", "--target-vmid", "102", "--target-volume", "mp3"]).ok();
    assert_eq!(
        moved,
        "moving volume 'mp0' from container '101' to '102'\nremoving volume 'mp0' from container '101' config\n\
         target container '102' updated with 'mp3'\n"
    );
    assert_eq!(config(&node, "101", "mp0"), "");
    assert!(config(&node, "102", "mp3").starts_with("local:102/vm-102-disk-1.raw,mp=/data"));
    assert_eq!(sh(&node, "102", "cat /data/file"), "kept\n");
    line(&node, "stop 102");
    line(&node, "start 102");
    assert_eq!(sh(&node, "102", "cat /data/file"), "kept\n");
}
