//! What the host's other users can reach of containers: nothing.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

use pvect_testkit::{TestNode, node_or_skip};

/// Returns what an ordinary user of the host gets to hear who reads a file: `None` when it can.
fn refused(path: &Path) -> Option<String> {
    let words = ["--reuid", "65534", "--regid", "65534", "--clear-groups", "cat"];
    let output = Command::new("setpriv").args(words).arg(path).output().expect("setpriv runs");
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

fn assert_closed(path: &Path) {
    assert!(path.exists(), "{} is not there", path.display());
    let text = refused(path).unwrap_or_else(|| panic!("others can read {}", path.display()));
    assert!(text.contains("Permission denied"), "{text}");
}

/// Opens the way to the root, as it is below `/var/lib`, and shows that the user of these tests can go it.
fn open_root(node: &TestNode) {
    fs::set_permissions(node.root(), PermissionsExt::from_mode(0o755)).expect("the root's mode");
    let control = node.root().join("control");
    fs::write(&control, "x").expect("a file");
    fs::set_permissions(&control, PermissionsExt::from_mode(0o644)).expect("a mode");
    assert_eq!(refused(&control), None);
}

fn set_user_id_file(root: &Path) -> std::path::PathBuf {
    let path = root.join("su1d");
    fs::write(&path, "x").expect("a file of the guest");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o4755)).expect("a mode");
    path
}

#[test]
fn a_set_user_id_file_of_a_volume_is_out_of_reach() {
    let node = node_or_skip!();
    open_root(&node);
    let template = node.busybox();
    node.pct(&["create", "101", &template, "--rootfs", "local:0", "--unprivileged", "0"]).ok();
    assert_closed(&set_user_id_file(&node.root().join("vz/images/101/subvol-101-disk-0.subvol")));
    node.pct(&["destroy", "101"]).ok();
}

#[test]
fn a_mounted_container_is_out_of_reach_and_harmless() {
    let node = node_or_skip!();
    open_root(&node);
    let template = node.busybox();
    for (vmid, rootfs, unprivileged) in
        [("101", "local:0", "0"), ("102", "local:1", "0"), ("103", "local:1", "1")]
    {
        let words = ["create", vmid, &template, "--rootfs", rootfs, "--unprivileged", unprivileged];
        node.pct(&words).ok();
        node.pct(&["mount", vmid]).ok();
        let rootfs = node.root().join("lib/lxc").join(vmid).join("rootfs");
        assert_closed(&set_user_id_file(&rootfs));
        let table = fs::read_to_string("/proc/self/mountinfo").expect("the mounts");
        let own = rootfs.canonicalize().expect("a path").display().to_string();
        let line =
            table.lines().find(|line| line.split(' ').nth(4) == Some(&own)).expect("a mount").to_owned();
        assert!(line.contains("nosuid") && line.contains("nodev"), "{line}");
        // A container that is mounted may be started: the mount on the host stays closed.
        node.pct(&["start", vmid]).ok();
        assert_closed(&rootfs.join("su1d"));
        node.pct(&["unmount", vmid]).ok();
        node.pct(&["stop", vmid]).ok();
        node.pct(&["destroy", vmid]).ok();
    }
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn set_user_id_bits_have_force_inside() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pct(&["create", "101", &template, "--rootfs", "local:0", "--mp0", "local:1,mp=/mnt/a"]).ok();
    node.pct(&["start", "101"]).ok();
    node.pct(&["set", "101", "--mp1", "local:0,mp=/mnt/b"]).ok();
    node.pct(&["set", "101", "--mp2", "local:1,mp=/mnt/c"]).ok();
    let table = node.pct(&["exec", "101", "--", "cat", "/proc/mounts"]).ok();
    for place in ["/", "/mnt/a", "/mnt/b", "/mnt/c"] {
        let line = table.lines().find(|line| line.split(' ').nth(1) == Some(place));
        let line = line.unwrap_or_else(|| panic!("{place} is not mounted: {table}"));
        assert!(!line.contains("nosuid") && !line.contains("nodev"), "{line}");
    }
    node.pct(&["stop", "101"]).ok();
    node.pct(&["destroy", "101"]).ok();
}

#[test]
fn generated_files_backups_and_logs_are_out_of_reach() {
    let node = node_or_skip!();
    open_root(&node);
    let template = node.busybox();
    let secret = "DB_PASSWORD=hunter2";
    node.pct(&["create", "101", &template, "--rootfs", "local:0", "--env", secret]).ok();
    node.pct(&["start", "101"]).ok();
    let generated = node.root().join("lib/lxc/101/config");
    assert_eq!(generated.metadata().expect("the configuration of LXC").mode() & 0o7777, 0o640);
    assert_closed(&generated);
    assert_closed(&node.config_file(101));
    node.pct(&["stop", "101"]).ok();
    node.pvect(&["backup", "101", "--storage", "local"]).ok();
    let dump: Vec<_> = fs::read_dir(node.root().join("vz/dump")).expect("dump").flatten().collect();
    assert!(dump.len() >= 2, "{dump:?}");
    dump.iter().for_each(|entry| assert_closed(&entry.path()));
    assert_closed(&node.root().join("log/tasks/index"));
    node.pct(&["destroy", "101"]).ok();
}
