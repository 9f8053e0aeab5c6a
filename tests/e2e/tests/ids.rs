//! The host's ids of unprivileged containers: nobody else has them, or the container does not start.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

use pvect_testkit::{TestNode, node_or_skip};

/// What useradd(8) gives the first ordinary user of a Debian system.
const FIRST_USER: &str = "mallory:100000:65536\n";

/// A node as a new one is on a host where somebody has these ranges.
fn on_a_host_with(node: &TestNode, ranges: &str) {
    fs::remove_file(node.root().join("etc/pve/ids.cfg")).expect("the pinned range");
    grant(node, ranges);
}

fn grant(node: &TestNode, ranges: &str) {
    for name in ["subuid", "subgid"] {
        fs::write(node.root().join("etc").join(name), ranges).expect("the grants");
    }
}

fn ids_cfg(node: &TestNode) -> PathBuf {
    node.root().join("etc/pve/ids.cfg")
}

fn subvol(node: &TestNode, vmid: u32) -> PathBuf {
    node.root().join(format!("vz/images/{vmid}/subvol-{vmid}-disk-0.subvol"))
}

/// A container whose root is a directory, and whose `/data` is an image; both have a set-user-id file.
fn create(node: &TestNode) {
    let template = node.busybox();
    let words = ["create", "101", &template, "--rootfs", "local:0", "--mp0", "local:0.1,mp=/data"];
    node.pct(&[&words[..], &["--memory", "64", "--unprivileged", "1"]].concat()).ok();
    node.pct(&["start", "101"]).ok();
    let script = "for f in /su /data/su; do touch $f; chown 5:6 $f; chmod 4755 $f; done; ln -s /su /link";
    node.pct(&["exec", "101", "--", "sh", "-c", script]).ok();
    node.pct(&["stop", "101"]).ok();
}

/// What the guest sees of its files.
fn seen(node: &TestNode, vmid: &str) -> String {
    let script = "stat -c '%u:%g %a' / /su /data/su /data; head -1 /proc/self/uid_map | tr -s ' '";
    node.pct(&["exec", vmid, "--", "sh", "-c", script]).ok()
}

fn expected(base: u32) -> String {
    format!("0:0 755\n5:6 4755\n5:6 4755\n0:0 755\n 0 {base} 65536\n")
}

#[test]
fn a_start_with_ids_that_somebody_has_is_refused_until_they_are_moved() {
    let node: TestNode = node_or_skip!();
    create(&node);
    on_a_host_with(&node, FIRST_USER);
    let refused = node.pct(&["start", "101"]).fails(255);
    let grants = node.root().join("etc/subuid");
    let said = format!(
        "'mallory' has ids of the range 100000-165535 ('mallory:100000:65536' in {})",
        grants.display()
    );
    assert!(refused.contains(&said) && refused.contains("'pvect node move-ids --all'"), "{refused}");
    assert_eq!(node.pct(&["status", "101"]).ok(), "status: stopped\n");
    let doctor = node.pvect(&["doctor"]).stdout;
    assert!(doctor.contains("shared-ids") && doctor.contains("mallory"), "{doctor}");

    let said = node.pvect(&["node", "move-ids", "--all"]).ok();
    assert!(said.starts_with("new containers have the ids 165536-231071\nCT 101: rootfs: "), "{said}");
    assert!(said.contains(" files of local:101/vm-101-disk-1.raw moved\n"), "{said}");
    let granted = fs::read_to_string(&grants).expect("the grants");
    assert_eq!(granted, format!("{FIRST_USER}root:165536:65536\n"));
    let meta = |name: &str| fs::symlink_metadata(subvol(&node, 101).join(name)).expect("a file");
    assert_eq!((meta("su").uid(), meta("su").mode() & 0o7777), (165_541, 0o4755));
    assert_eq!((meta("link").uid(), meta("").gid()), (165_536, 165_536));
    node.pct(&["start", "101"]).ok();
    assert_eq!(seen(&node, "101"), expected(165_536));

    // While it runs, nothing is moved.
    let refused = node.pvect(&["node", "move-ids", "--to", "400000", "101"]).fails(255);
    assert!(refused.contains("CT 101 is running; stop it first: pvect shutdown 101"), "{refused}");
    let left = node.pvect(&["node", "move-ids", "--to", "400000", "--all"]).fails(1);
    assert!(left.contains("CT 101 is running; stop it first"), "{left}");
    node.pct(&["stop", "101"]).ok();
    node.pct(&["start", "101"]).ok();
    assert_eq!(seen(&node, "101"), expected(165_536));
    node.pct(&["stop", "101"]).ok();
    node.pvect(&["node", "move-ids", "--to", "100000", "101"]).fails(255);
    node.pvect(&["node", "move-ids", "--to", "400001", "101"]).fails(255);
    node.pvect(&["node", "move-ids", "--to", "65535", "101"]).fails(255);
    node.pvect(&["node", "move-ids", "101"]).ok();
    node.pct(&["start", "101"]).ok();
    assert_eq!(seen(&node, "101"), expected(400_000));
    node.pct(&["stop", "101"]).ok();
}

#[test]
fn a_setting_lets_them_start_as_they_are() {
    let node: TestNode = node_or_skip!();
    create(&node);
    on_a_host_with(&node, FIRST_USER);
    let refused = node.pct(&["start", "101"]).fails(255);
    assert!(refused.contains(&format!("'shared: 1' in {}", ids_cfg(&node).display())), "{refused}");
    fs::write(ids_cfg(&node), "shared: 1\n").expect("the setting");
    node.pct(&["start", "101"]).ok();
    node.pct(&["stop", "101"]).ok();
}

#[test]
fn a_new_node_takes_ids_that_nobody_has_and_reserves_them() {
    let node: TestNode = node_or_skip!();
    on_a_host_with(&node, &format!("{FIRST_USER}eve:165536:65536\n"));
    create(&node);
    let granted = fs::read_to_string(node.root().join("etc/subgid")).expect("the grants");
    assert!(granted.ends_with("eve:165536:65536\nroot:231072:65536\n"), "{granted}");
    node.pct(&["start", "101"]).ok();
    assert_eq!(seen(&node, "101"), expected(231_072));
    node.pct(&["stop", "101"]).ok();
    // What is made of it has the same ids.
    node.pct(&["clone", "101", "102", "--full", "1"]).ok();
    node.pvect(&["node", "vzdump", "101", "--mode", "stop", "--compress", "0"]).ok();
    let dump = fs::read_dir(node.root().join("vz/dump")).expect("the dumps");
    let mut files = dump.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let archive = files.find(|name| name.ends_with(".tar")).expect("a backup");
    node.pct(&["restore", "103", &format!("local:backup/{archive}"), "--rootfs", "local:0.3"]).ok();
    node.pct(&["start", "102"]).ok();
    assert_eq!(seen(&node, "102"), expected(231_072));
    node.pct(&["start", "103"]).ok();
    let script = "stat -c '%u:%g %a' /su; head -1 /proc/self/uid_map | tr -s ' '";
    let seen = node.pct(&["exec", "103", "--", "sh", "-c", script]).ok();
    assert_eq!(seen, "5:6 4755\n 0 231072 65536\n");
    for vmid in ["102", "103"] {
        node.pct(&["stop", vmid]).ok();
    }
    let doctor = node.pvect(&["doctor"]).stdout;
    assert!(!doctor.contains("-ids"), "{doctor}");
}

#[test]
fn a_move_that_was_killed_is_taken_up_again() {
    let node: TestNode = node_or_skip!();
    create(&node);
    on_a_host_with(&node, FIRST_USER);
    // Killed after some files: one is moved, one has lost its bit, the others are where they were.
    fs::write(ids_cfg(&node), "base: 165536\nct 101: 100000 to 165536\n").expect("the state");
    let config = fs::read_to_string(node.config_file(101)).expect("the configuration");
    fs::write(node.config_file(101), format!("lock: disk\n{config}")).expect("the configuration");
    let moved = subvol(&node, 101).join("su");
    let mut note = 0o4755_u32.to_le_bytes().to_vec();
    note.truncate(4);
    chown(&moved, Some(165_541), Some(165_542)).expect("root");
    assert_eq!(fs::metadata(&moved).expect("a file").permissions().mode() & 0o7777, 0o755);
    rustix::fs::setxattr(&moved, "trusted.pvect.shift", &note, rustix::fs::XattrFlags::empty())
        .expect("root");
    for verb in ["start", "mount", "fstrim"] {
        assert!(node.pct(&[verb, "101"]).status != 0, "{verb}");
    }
    node.pct(&["unlock", "101"]).ok();
    for verb in ["start", "mount"] {
        let refused = node.pct(&[verb, "101"]);
        assert!(
            refused.stderr.contains("'pvect node move-ids 101' continues the move"),
            "{verb}: {}",
            refused.stderr
        );
    }
    let config = fs::read_to_string(node.config_file(101)).expect("the configuration");
    let config = config.replace("lock: mounted\n", "");
    fs::write(node.config_file(101), format!("lock: disk\n{config}")).expect("the configuration");
    assert!(node.pvect(&["doctor"]).stdout.contains("unfinished-move"));
    let fixed = node.pvect(&["doctor", "--fix", "--yes"]).ok();
    assert!(fixed.contains("unfinished-move"), "{fixed}");
    node.pct(&["start", "101"]).ok();
    assert_eq!(seen(&node, "101"), expected(165_536));
    node.pct(&["stop", "101"]).ok();
}

#[test]
fn templates_are_moved_and_stay_protected() {
    let node: TestNode = node_or_skip!();
    create(&node);
    node.pct(&["template", "101"]).ok();
    let image = node.root().join("vz/images/101/base-101-disk-1.raw");
    let is_protected = || fs::OpenOptions::new().append(true).open(&image).is_err();
    let was_protected = is_protected();
    on_a_host_with(&node, FIRST_USER);
    // One that is left where it is goes on as it was.
    let template = node.busybox();
    node.pct(&["create", "102", &template, "--rootfs", "local:0", "--unprivileged", "1"]).ok();
    node.pvect(&["node", "move-ids", "102"]).ok();
    let cfg = fs::read_to_string(ids_cfg(&node)).expect("the ids");
    assert!(cfg.ends_with("base: 165536\nshared: 0\nct 101: 100000\n"), "{cfg}");
    // What is made of it has its ids, and does not start with them.
    node.pct(&["clone", "101", "103", "--full", "1"]).ok();
    assert!(node.pct(&["start", "103"]).fails(255).contains("mallory"));
    let refused = node.pct(&["move-volume", "103", "mp0", "--target-vmid", "102"]);
    assert!(refused.stderr.contains("have different ids on the host"), "{}", refused.stderr);

    node.pvect(&["node", "move-ids", "--all"]).ok();
    assert_eq!(is_protected(), was_protected);
    node.pct(&["clone", "101", "104", "--full", "1"]).ok();
    for vmid in ["103", "104"] {
        node.pct(&["start", vmid]).ok();
        assert_eq!(seen(&node, vmid), expected(165_536));
        node.pct(&["stop", vmid]).ok();
    }
    // A number that comes again has nothing of what was there before.
    fs::write(ids_cfg(&node), "base: 165536\nct 103: 300000\n").expect("the ids");
    node.pct(&["destroy", "103"]).ok();
    let cfg = fs::read_to_string(ids_cfg(&node)).expect("the ids");
    assert!(cfg.ends_with("base: 165536\nshared: 0\n"), "{cfg}");
}

#[test]
fn doctor_brings_a_root_of_an_older_version_over() {
    let node: TestNode = node_or_skip!();
    create(&node);
    on_a_host_with(&node, FIRST_USER);
    let open = |name: &str, mode: u32| {
        fs::set_permissions(node.root().join(name), fs::Permissions::from_mode(mode)).expect("a mode");
    };
    let places = [
        ("vz/images", 0o755),
        ("vz/dump", 0o755),
        ("lib/lxc/101", 0o755),
        ("etc/pve/nodes/vm/lxc/101.conf", 0o644),
    ];
    for (name, mode) in places {
        open(name, mode);
    }
    node.pvect(&["doctor", "--fix", "--yes"]).ok();
    for (name, _) in places {
        let mode = fs::metadata(node.root().join(name)).expect("a place").permissions().mode();
        assert_eq!(mode & 0o007, 0, "{name} {mode:o}");
    }
    assert_eq!(fs::metadata(subvol(&node, 101)).expect("a volume").uid(), 165_536);
    node.pct(&["start", "101"]).ok();
    assert_eq!(seen(&node, "101"), expected(165_536));
    node.pct(&["stop", "101"]).ok();
}
