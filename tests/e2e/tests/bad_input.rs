//! Wrong input and wrong states: each with its exact message and exit status, and nothing changed by it.

use std::fs;

use pvect_testkit::{TestNode, node_or_skip};

/// The message on stderr, after the task's log.
fn first_line(text: &str) -> &str {
    text.lines().find(|line| line.starts_with("error:")).unwrap_or_default()
}

#[track_caller]
fn refuses(node: &TestNode, words: &[&str], status: i32, message: &str) {
    let before = configs(node);
    let stderr = node.pvect(words).fails(status);
    assert_eq!(first_line(&stderr), message, "pvect {}", words.join(" "));
    assert_eq!(configs(node), before, "pvect {} changed a configuration", words.join(" "));
}

fn configs(node: &TestNode) -> Vec<(String, String)> {
    let dir = node.config_file(100);
    let mut found: Vec<_> = fs::read_dir(dir.parent().expect("a directory"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| {
            let text = fs::read_to_string(entry.path()).unwrap_or_default();
            (entry.file_name().to_string_lossy().into_owned(), text)
        })
        .collect();
    found.sort();
    found
}

#[test]
fn numbers_that_are_no_vmid() {
    let node = node_or_skip!();
    refuses(
        &node,
        &["status", "99"],
        2,
        "error: <vmid>: '99' is not allowed: a whole number from 100 to 999999999",
    );
    refuses(
        &node,
        &["status", "1000000000"],
        2,
        "error: <vmid>: '1000000000' is not allowed: a whole number from 100 to 999999999",
    );
    refuses(&node, &["status", "abc"], 3, "error: there is no container named 'abc'");
    refuses(&node, &["status", "999"], 3, "error: there is no container 999");
}

#[test]
fn options_that_break_the_schema() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:0", "--hostname", "web1"]).ok();
    refuses(&node, &["set", "101", "--memory", "-5"], 2, "error: --memory: -5 is too small: at least 16");
    refuses(&node, &["set", "101", "--memory", "8"], 2, "error: --memory: 8 is too small: at least 16");
    refuses(&node, &["set", "101", "--memory", "abc"], 2, "error: --memory: 'abc' is not a whole number");
    refuses(
        &node,
        &["set", "101", "--memroy", "512"],
        2,
        "error: --memroy: pvect set has no such option; did you mean --memory?",
    );
    let name = "a DNS name: labels of letters, digits and inner hyphens, joined with '.'";
    refuses(
        &node,
        &["set", "101", "--hostname", "bad_name"],
        2,
        &format!("error: --hostname: 'bad_name' is not allowed: {name}"),
    );
}

#[test]
fn templates_that_are_none() {
    let node = node_or_skip!();
    refuses(
        &node,
        &["create", "101", "local:vztmpl/nosuch.tar.gz", "--rootfs", "local:1"],
        3,
        "error: unable to create CT 101 - volume 'local:vztmpl/nosuch.tar.gz' does not exist",
    );
    let file = node.root().join("notatar.tar.gz");
    fs::write(&file, "hello\n").expect("it can be written");
    let path = file.to_string_lossy().into_owned();
    let stderr = node.pvect(&["create", "101", &path, "--rootfs", "local:1"]).fails(1);
    assert!(
        first_line(&stderr).starts_with(&format!("error: unable to create CT 101 - '{path}'")),
        "{stderr}"
    );
    assert_eq!(configs(&node), []);
    assert!(!node.root().join("vz/images/101").exists());
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_rootfs_larger_than_the_disk() {
    let node = node_or_skip!();
    let template = node.busybox();
    let stderr = node.pvect(&["create", "101", &template, "--rootfs", "local:900000"]).fails(1);
    let directory = node.root().join("vz/images/101");
    let expected = format!(
        "error: unable to create CT 101 - a volume of 900000G is larger than the file system of '{}' (",
        directory.display()
    );
    assert!(first_line(&stderr).starts_with(&expected), "{stderr}");
    assert_eq!(configs(&node), []);
    assert!(!node.root().join("vz/images/101").exists());
}

#[test]
fn states_that_forbid_it() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:0"]).ok();
    refuses(&node, &["create", "101", &template], 4, "error: CT 101 already exists on node 'vm'");
    refuses(&node, &["stop", "101"], 4, "error: CT 101 not running");
    refuses(&node, &["exec", "101", "--", "true"], 125, "error: CT 101 not running");
    node.pvect(&["start", "101"]).ok();
    refuses(&node, &["start", "101"], 4, "error: CT 101 already running");
    refuses(&node, &["destroy", "101"], 4, "error: unable to destroy CT 101 - container is running");
    node.pvect(&["set", "101", "--lock", "backup"]).ok();
    refuses(&node, &["set", "101", "--memory", "64"], 4, "error: CT is locked (backup)");
    node.pvect(&["unlock", "101"]).ok();
    node.pvect(&["destroy", "101", "--force"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn names_that_mean_two_containers() {
    let node = node_or_skip!();
    let template = node.busybox();
    for vmid in ["101", "102"] {
        node.pvect(&["create", vmid, &template, "--rootfs", "local:0", "--hostname", "twin"]).ok();
    }
    refuses(
        &node,
        &["start", "twin"],
        3,
        "error: the name 'twin' means more than one container: 101 (stopped), 102 (stopped)",
    );
}

#[test]
fn a_virtual_machine() {
    let node = node_or_skip!();
    let dir = node.root().join("etc/pve/nodes/vm/qemu-server");
    fs::create_dir_all(&dir).expect("it can be made");
    fs::write(dir.join("200.conf"), "memory: 512\n").expect("it can be written");
    let stderr = node.pvect(&["start", "200"]).fails(9);
    assert!(
        first_line(&stderr).contains("200 is a virtual machine; pct manages containers only"),
        "{stderr}"
    );
}

#[test]
fn a_disk_that_fills_up_during_create() {
    let node = node_or_skip!();
    node.pct(&["list"]).ok();
    // A small file system of its own as the storage: the template does not fit.
    let image = node.root().join("small.img");
    let small = node.root().join("small");
    fs::create_dir_all(&small).expect("it can be made");
    let file = fs::File::create(&image).expect("it can be made");
    file.set_len(4 * 1024 * 1024).expect("it can be grown");
    let run = |program: &str, words: &[&str]| {
        let status = std::process::Command::new(program).args(words).status().expect("it starts");
        assert!(status.success(), "{program} {words:?}");
    };
    run("mkfs.ext4", &["-q", "-O", "^has_journal", &image.to_string_lossy()]);
    run("mount", &["-o", "loop", &image.to_string_lossy(), &small.to_string_lossy()]);
    let cfg = node.root().join("etc/pve/storage.cfg");
    let mut text = fs::read_to_string(&cfg).expect("storage.cfg is there");
    text += &format!("\ndir: small\n\tpath {}\n\tcontent rootdir,images\n", small.display());
    fs::write(&cfg, text).expect("it can be written");
    let big = node.root().join("big");
    fs::create_dir_all(big.join("etc")).expect("it can be made");
    fs::write(big.join("etc/blob"), vec![7u8; 8 * 1024 * 1024]).expect("it can be written");
    let archive = node.root().join("big.tar");
    run("tar", &["-C", &big.to_string_lossy(), "-cf", &archive.to_string_lossy(), "."]);
    let stderr = node.pvect(&["create", "101", &archive.to_string_lossy(), "--rootfs", "small:0"]).fails(1);
    assert!(stderr.contains("No space left on device"), "{stderr}");
    assert_eq!(configs(&node), []);
    assert!(!small.join("images/101").exists());
    run("umount", &[&small.to_string_lossy()]);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

/// A file system in memory that ends with this value.
struct Small(std::path::PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_file_of_a_guest_does_not_fill_the_disk() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pct(&["create", "101", &template, "--memory", "128", "--rootfs", "local:0"]).ok();
    node.pct(&["start", "101"]).ok();
    node.pct(&["exec", "101", "--", "dd", "if=/dev/zero", "of=/big", "bs=1048576", "count=63"]).ok();
    let small = Small(node.root().join("small"));
    fs::create_dir_all(&small.0).expect("it can be made");
    let status = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=64m", "small"])
        .arg(&small.0)
        .status()
        .expect("it starts");
    assert!(status.success());
    let copy = small.0.join("copy");
    let words = ["pull", "101", "/big", &copy.to_string_lossy()];
    let stderr = node.pvect(&words).fails(1);
    let text = "less than 5 % of the disk would stay free (--fill copies it anyway)";
    assert!(stderr.contains(text), "{stderr}");
    assert!(!copy.exists());
    node.pvect(&[words.as_slice(), &["--fill"]].concat()).ok();
    assert_eq!(fs::metadata(&copy).expect("it is there").len(), 63 << 20);
    fs::remove_file(&copy).expect("it can be removed");
    // A whole directory as well.
    node.pct(&["exec", "101", "--", "sh", "-c", "mkdir /all && mv /big /all/"]).ok();
    let words = ["pull", "101", "-r", "/all", &copy.to_string_lossy()];
    let stderr = node.pvect(&words).fails(1);
    assert!(stderr.contains(text), "{stderr}");
    fs::remove_dir_all(&copy).expect("it can be removed");
    node.pvect(&[words.as_slice(), &["--fill"]].concat()).ok();
    drop(small);
    node.pct(&["stop", "101"]).ok();
    node.pct(&["destroy", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}
