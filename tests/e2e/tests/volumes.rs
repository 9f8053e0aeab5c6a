//! The volumes of a running container, through the real processes: df, mount, fstrim, fsck, resize, cpusets.

use std::fs;
use std::os::unix::fs::MetadataExt;

use pvect_testkit::{Finished, TestNode, node_or_skip};

/// stdout, stderr and exit status; the root is `/R`.
fn shown(node: &TestNode, finished: &Finished) -> (String, String, i32) {
    let root = node.root().display().to_string();
    (finished.stdout.replace(&root, "/R"), finished.stderr.replace(&root, "/R"), finished.status)
}

fn pct(node: &TestNode, line: &str) -> (String, String, i32) {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    shown(node, &node.pct(&words))
}

fn expected(out: &str, err: &str, status: i32) -> (String, String, i32) {
    (out.to_owned(), err.to_owned(), status)
}

/// The CPUs that this test may use, in the form of `pct cpusets`.
fn columns() -> String {
    let status = fs::read_to_string("/proc/self/status").expect("status of this process");
    let list =
        status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).expect("a list of CPUs");
    list.trim().rsplit(['-', ',']).next().expect("a CPU").to_owned()
}

#[test]
fn the_volumes_of_a_running_container() {
    let node = node_or_skip!();
    let template = node.busybox();
    let rootfs = [
        "create",
        "101",
        &template,
        "--rootfs",
        "local:1",
        "--mp0",
        "local:1,mp=/mnt/data",
        "--memory",
        "64",
    ];
    node.pct(&rootfs).ok();
    node.pct(&["start", "101"]).ok();

    let (out, err, status) = pct(&node, "df 101");
    assert_eq!((err.as_str(), status), ("", 0), "{out}");
    let lines: Vec<Vec<&str>> = out.lines().map(|line| line.split_ascii_whitespace().collect()).collect();
    assert_eq!(lines[0], ["MP", "Volume", "Size", "Used", "Avail", "Use%", "Path"]);
    assert_eq!((lines[1][1], lines[1][6]), ("local:101/vm-101-disk-0.raw", "/"));
    assert_eq!((lines[2][1], lines[2][6]), ("local:101/vm-101-disk-1.raw", "/mnt/data"));
    // Each is its own file system.
    node.pct(&["exec", "101", "--", "dd", "if=/dev/zero", "of=/mnt/data/file", "bs=1M", "count=300"]).ok();
    node.pct(&["exec", "101", "--", "sync"]).ok();
    let full = pct(&node, "df 101").0;
    let used: Vec<&str> =
        full.lines().skip(1).filter_map(|line| line.split_ascii_whitespace().nth(3)).collect();
    assert!(used[0] == lines[1][3] && used[1].starts_with("300."), "{full}");

    let (out, err, status) = pct(&node, "cpusets");
    let table: Vec<&str> = out.lines().collect();
    assert_eq!((table.len(), err.as_str(), status), (3, "", 0), "{out}");
    assert!(table[1].starts_with("101: ") && table[1].ends_with(&columns()), "{out}");
    assert!(table[0] == table[2] && table[0].len() == table[1].len(), "{out}");

    let running = "cannot run fsck when container is running\n";
    assert_eq!(pct(&node, "fsck 101"), expected("", running, 255));
    assert_eq!(pct(&node, "fsck 101 --force 1"), expected("", running, 255));
    let missing = "cannot run command on non-existing mount point mp1\n";
    assert_eq!(pct(&node, "fsck 101 --device mp1"), expected("", missing, 255));
    let text = "you can't convert a CT to template if the CT is running\n";
    assert_eq!(pct(&node, "template 101"), expected("", text, 255));

    // On the host and in the container: the same files.
    assert_eq!(pct(&node, "mount 101"), expected("mounted CT 101 in '/R/lib/lxc/101/rootfs'\n", "", 0));
    let file = node.root().join("lib/lxc/101/rootfs/mnt/data/file");
    assert_eq!(fs::metadata(&file).expect("the file of the container").len(), 300 << 20);
    assert_eq!(pct(&node, "unmount 101"), expected("", "", 0));
    assert!(!file.exists());

    node.pct(&["exec", "101", "--", "rm", "/mnt/data/file"]).ok();
    let (out, err, status) = pct(&node, "fstrim 101");
    assert_eq!((err.as_str(), status), ("", 0), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert!(
        lines[0].starts_with("/R/lib/lxc/101/rootfs/: ") && lines[0].ends_with(" bytes) trimmed"),
        "{out}"
    );
    assert!(lines[1].starts_with("/R/lib/lxc/101/rootfs/mnt/data: ") && lines.len() == 2, "{out}");

    resize_online(&node);

    node.pct(&["stop", "101"]).ok();
    assert_eq!(pct(&node, "fsck 101 --force 1").2, 0);
    start_while_mounted(&node);
    node.pct(&["destroy", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

/// The image and its loop device grow; the file system too where the kernel lets it.
fn resize_online(node: &TestNode) {
    let (out, err, status) = pct(node, "resize 101 mp0 +256M");
    assert_eq!((err.as_str(), status), ("", 0), "{out}");
    assert!(out.starts_with("Image resized.\nresize2fs 1."), "{out}");
    let config = fs::read_to_string(node.config_file(101)).expect("the configuration");
    assert!(config.contains("mp0: local:101/vm-101-disk-1.raw,mp=/mnt/data,size=1280M\n"), "{config}");
    let df = pct(node, "df 101").0;
    if out.contains("Permission denied") {
        let warning = "Failed to update the container's filesystem: command 'resize2fs /dev/loop";
        assert!(out.contains(warning) && out.ends_with(" failed: exit code 1\n\n"), "{out}");
        pvect_testkit::skipped("resize_online", "the kernel refuses to grow mounted file systems here");
    } else {
        assert!(out.contains(" is now 327680 (4k) blocks long.\n") && df.contains(" 1.2G "), "{out}{df}");
    }
}

/// `mounted` is the one lock value that a start ignores.
fn start_while_mounted(node: &TestNode) {
    node.pct(&["mount", "101"]).ok();
    node.pct(&["start", "101"]).ok();
    let list = node.pct(&["list"]).ok();
    assert!(list.contains("running    mounted"), "{list}");
    node.pct(&["unmount", "101"]).ok();
    assert!(pct(node, "exec 101 -- ls /mnt/data").0.contains("lost+found"));
    node.pct(&["stop", "101"]).ok();
}

#[test]
fn images_are_made_as_their_storage_says() {
    let node = node_or_skip!();
    let template = node.busybox();
    if let Err(reason) = node.btrfs("btr", 200) {
        pvect_testkit::skipped(module_path!(), &reason);
        return;
    }
    let cfg = node.root().join("etc/pve/storage.cfg");
    let text = fs::read_to_string(&cfg).expect("storage.cfg") + "\tnocow 1\n\tpreallocation falloc\n";
    fs::write(&cfg, text).expect("storage.cfg");
    node.pct(&["create", "101", &template, "--rootfs", "btr:0.0625"]).ok();
    let image = node.root().join("btr/images/101/vm-101-disk-0/disk.raw");
    let output = std::process::Command::new("lsattr").arg(&image).output().expect("lsattr");
    let flags = String::from_utf8_lossy(&output.stdout).split(' ').next().unwrap_or_default().to_owned();
    assert!(flags.contains('C'), "{flags}");
    let meta = fs::metadata(&image).expect("the image");
    assert!(meta.blocks() * 512 >= meta.len(), "{} blocks of {} bytes", meta.blocks(), meta.len());
    node.pct(&["start", "101"]).ok();
    node.pct(&["stop", "101"]).ok();
    node.pct(&["destroy", "101"]).ok();
}
