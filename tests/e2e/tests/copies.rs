//! What full clones bring along: whole file systems, and whole trees of files.

use std::fs::{self, File};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use pvect_testkit::{TestNode, node_or_skip};

fn run(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().expect(program);
    assert!(output.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn image(node: &TestNode, vmid: &str) -> PathBuf {
    node.root().join(format!("vz/images/{vmid}/vm-{vmid}-disk-0.raw"))
}

/// What dumpe2fs says of an image: its UUID and its state.
fn header(image: &Path) -> (String, String) {
    let text = run("dumpe2fs", &["-h", image.to_str().expect("text")]);
    let field = |name: &str| {
        let value = text.lines().find_map(|line| line.strip_prefix(name)).expect("a field");
        value.trim().to_owned()
    };
    (field("Filesystem UUID:"), field("Filesystem state:"))
}

#[test]
fn a_clone_of_an_image_is_a_file_system_of_its_own() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pct(&["create", "101", &template, "--rootfs", "local:1", "--unprivileged", "1"]).ok();
    node.pct(&["start", "101"]).ok();
    node.pvect(&["exec", "101", "--", "sh", "-c", "echo kept >/root/file; sync"]).ok();
    node.pct(&["stop", "101"]).ok();
    // With all checksums made from the UUID, as older versions of pvect and of pct's programs made images.
    let old = image(&node, "101");
    run("tune2fs", &["-O", "^metadata_csum_seed", old.to_str().expect("text")]);
    for (vmid, from) in [("102", "101"), ("103", "102")] {
        let said = node.pct(&["clone", from, vmid]).ok();
        assert!(!said.contains("Number of files"), "{said}");
        let (one, other) = (header(&image(&node, from)), header(&image(&node, vmid)));
        assert_ne!(one.0, other.0);
        assert_eq!(other.1, "clean");
        let path = image(&node, vmid);
        run("e2fsck", &["-fn", path.to_str().expect("text")]);
        assert!(fs::metadata(&path).expect("an image").blocks() * 512 < 256 << 20, "it is sparse");
        node.pct(&["start", vmid]).ok();
        assert_eq!(node.pvect(&["exec", vmid, "--", "cat", "/root/file"]).ok(), "kept\n");
        node.pct(&["stop", vmid]).ok();
    }
}

#[test]
fn a_damaged_image_is_not_cloned() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pct(&["create", "101", &template, "--rootfs", "local:1"]).ok();
    let path = image(&node, "101");
    let path = path.to_str().expect("text");
    // Known to have errors, and without a root directory: nothing that e2fsck repairs unasked.
    run("debugfs", &["-w", "-R", "clri <2>", path]);
    run("debugfs", &["-w", "-R", "set_super_value state 2", path]);
    let said = node.pct(&["clone", "101", "102"]).fails(255);
    assert!(said.contains(&format!("the file system of '{path}' is damaged: e2fsck ended with 4")), "{said}");
    assert!(!node.config_file(102).exists());
    assert!(!node.root().join("vz/images/102").exists());
    assert!(!fs::read_to_string(node.config_file(101)).expect("a configuration").contains("lock:"));
}

#[test]
fn a_clone_of_a_directory_keeps_what_files_have() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pct(&["create", "101", &template, "--rootfs", "local:0", "--unprivileged", "1"]).ok();
    let root = |vmid: &str| node.root().join(format!("vz/images/{vmid}/subvol-{vmid}-disk-0.subvol"));
    let srv = root("101").join("srv");
    fs::create_dir_all(&srv).expect("a directory");
    fs::write(srv.join("file"), "content").expect("a file");
    fs::hard_link(srv.join("file"), srv.join("same")).expect("a link");
    symlink("/etc/shadow", srv.join("link")).expect("a link");
    fs::write(srv.join("program"), "x").expect("a file");
    std::os::unix::fs::chown(srv.join("program"), Some(100_033), Some(100_044)).expect("an owner");
    fs::set_permissions(srv.join("program"), fs::Permissions::from_mode(0o4711)).expect("a mode");
    File::create(srv.join("sparse")).expect("a file").set_len(1 << 33).expect("a size");
    run("mkfifo", &[srv.join("fifo").to_str().expect("text")]);
    run("touch", &["-d", "1999-01-02 03:04:05.678901234 UTC", srv.join("file").to_str().expect("text")]);
    run("setfacl", &["-m", "u:100077:r", srv.join("program").to_str().expect("text")]);
    run("setcap", &["cap_net_raw+ep", srv.join("program").to_str().expect("text")]);
    let xattrs = |vmid: &str| {
        let program = root(vmid).join("srv/program");
        run("getfattr", &["--absolute-names", "-d", "-m", "-", "-e", "hex", program.to_str().expect("text")])
            .replace(vmid, "VMID")
    };

    let said = node.pct(&["clone", "101", "102"]).ok();
    assert!(!said.contains("Number of files"), "{said}");
    let copy = |name: &str| root("102").join("srv").join(name);
    let meta = |name: &str| fs::symlink_metadata(copy(name)).expect(name);
    assert_eq!(fs::read_to_string(copy("file")).expect("a file"), "content");
    assert_eq!((meta("file").ino(), meta("file").nlink()), (meta("same").ino(), 2));
    assert_eq!((meta("file").mtime(), meta("file").mtime_nsec()), (915_246_245, 678_901_234));
    assert_eq!(fs::read_link(copy("link")).expect("a link"), Path::new("/etc/shadow"));
    let program = meta("program");
    assert_eq!((program.uid(), program.gid(), program.mode() & 0o7000), (100_033, 100_044, 0o4000));
    assert_eq!((meta("sparse").len(), meta("sparse").blocks()), (1 << 33, 0));
    assert!(meta("fifo").file_type().is_fifo());
    for name in ["security.capability", "system.posix_acl_access"] {
        assert!(xattrs("102").contains(name), "{}", xattrs("102"));
    }
    assert_eq!(xattrs("101"), xattrs("102"));
    let top = fs::metadata(root("102")).expect("a root");
    assert_eq!((top.uid(), top.mode() & 0o7777), (100_000, 0o755));
    // A limit is rsync's to keep.
    let said = node.pct(&["clone", "101", "103", "--bwlimit", "1000000"]).ok();
    assert!(said.contains("Number of files: "), "{said}");
}
