//! Traps of pct whose effect only a real container shows; the others are in crates/pvect-cli/tests/traps.rs.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;

use pvect_testkit::{TestNode, node_or_skip};

fn started(node: &TestNode, further: &[&str]) {
    let template = node.busybox();
    let words = ["create", "101", &template, "--rootfs", "local:0.05", "--memory", "64", "--start", "1"];
    node.pvect(&[words.as_slice(), further].concat()).ok();
}

fn json(node: &TestNode, words: &[&str]) -> serde_json::Value {
    serde_json::from_str(&node.pvect(&[words, &["-o", "json"]].concat()).ok()).expect("it is JSON")
}

/// A directory with everything that a copy can lose.
fn tree(root: &Path) {
    let mode = |path: &str, mode: u32| {
        fs::set_permissions(root.join(path), fs::Permissions::from_mode(mode)).expect("the mode can be set");
    };
    fs::create_dir_all(root.join("sub/empty")).expect("directories can be made");
    for (path, text) in [
        ("plain", "one\n"),
        ("sub/with blank", "two\n"),
        ("sub/ümläut\nand line", "three\n"),
        ("sub/empty file", ""),
    ] {
        fs::write(root.join(path), text).expect("a file can be written");
    }
    fs::write(root.join("large"), vec![7; 3 << 20]).expect("a file can be written");
    fs::hard_link(root.join("plain"), root.join("sub/same")).expect("a link can be made");
    symlink("../plain", root.join("sub/link")).expect("a link can be made");
    symlink("/no/such/file", root.join("dangling")).expect("a link can be made");
    chown(root.join("sub/with blank"), Some(1000), Some(1001)).expect("the owner can be set");
    chown(root.join("sub/empty"), Some(33), Some(33)).expect("the owner can be set");
    mode("plain", 0o640);
    mode("sub/empty", 0o1770);
    mode("sub", 0o550);
}

/// Every name below a directory with its kind, mode, owners, size and content or target.
fn described(root: &Path) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).expect("a directory can be read").flatten() {
            let path = entry.path();
            let meta = fs::symlink_metadata(&path).expect("it is there");
            let content = if meta.is_symlink() {
                format!("-> {}", fs::read_link(&path).expect("a link").display())
            } else if meta.is_dir() {
                waiting.push(path.clone());
                String::new()
            } else {
                let bytes = fs::read(&path).expect("a file");
                format!("{} bytes, {} links, {:?}", bytes.len(), meta.nlink(), bytes.first())
            };
            let name = path.strip_prefix(root).expect("it is below").to_owned();
            found.push(format!("{name:?} {:o} {}:{} {content}", meta.mode(), meta.uid(), meta.gid()));
        }
    }
    found.sort();
    found
}

#[test]
fn trap_silent_copy_of_real_directories() {
    let node = node_or_skip!();
    started(&node, &[]);
    let dir = node.root().join("copies");
    let source = dir.join("from");
    tree(&source);
    let (from, to) = (source.display().to_string(), dir.join("to").display().to_string());

    node.pvect(&["push", "101", "-r", &from, "/srv/tree"]).ok();
    let stat = node.pvect(&["exec", "101", "--", "stat", "-c", "%u:%g %a", "/srv/tree/sub/with blank"]).ok();
    assert_eq!(stat, "1000:1001 644\n");
    let stat = node.pvect(&["exec", "101", "--", "stat", "-c", "%u:%g %a", "/srv/tree/sub/empty"]).ok();
    assert_eq!(stat, "33:33 1770\n");
    node.pvect(&["pull", "101", "--recursive", "/srv/tree", &to]).ok();
    assert_eq!(described(Path::new(&to)), described(&source));
    // Into a directory that is there, which keeps its own mode; files are written anew.
    node.pvect(&["push", "101", "-r", &from, "/srv/tree"]).ok();
    assert_eq!(node.pvect(&["exec", "101", "--", "stat", "-c", "%a", "/"]).ok(), "755\n");
    // A single file is one with -r too.
    node.pvect(&["pull", "101", "-r", "/srv/tree/plain", &format!("{to}/again")]).ok();
    assert_eq!(fs::read_to_string(format!("{to}/again")).expect("the copy"), "one\n");

    let error = node.pvect(&["push", "101", &from, "/srv/x"]).fails(2);
    assert!(error.contains("is a directory: add --recursive"), "{error}");
    let error = node.pvect(&["pull", "101", "/srv/tree", &format!("{to}/plain")]).fails(2);
    assert!(error.contains("<path>: '/srv/tree' is a directory: add --recursive"), "{error}");
    assert_eq!(fs::read_to_string(format!("{to}/plain")).expect("untouched"), "one\n");
}

#[test]
fn trap_silent_copy_without_tar() {
    let node = node_or_skip!();
    started(&node, &[]);
    node.pvect(&["exec", "101", "--", "rm", "/bin/tar"]).ok();
    let source = node.root().join("from");
    tree(&source);
    let from = source.display().to_string();
    node.pvect(&["push", "101", "-r", &from, "/srv/tree"]).ok();
    let words = ["exec", "101", "--", "sh", "-c", "find /srv/tree -type f -exec echo \\; | wc -l"];
    assert_eq!(node.pvect(&words).ok().trim(), "6");
    for (path, stat) in
        [("plain", "0:0 640"), ("sub/with blank", "1000:1001 644"), ("sub/empty", "33:33 1770")]
    {
        let path = format!("/srv/tree/{path}");
        let found = node.pvect(&["exec", "101", "--", "stat", "-c", "%u:%g %a", &path]).ok();
        assert_eq!(found.trim(), stat, "{path}");
    }
    let words = ["exec", "101", "--", "readlink", "/srv/tree/sub/link"];
    assert_eq!(node.pvect(&words).ok(), "../plain\n");
    let back = node.root().join("back");
    let words = ["pull", "101", "-r", "/srv/tree", &back.display().to_string()];
    let error = node.pvect(&words).fails(9);
    assert!(error.contains("the container has no tar, which --recursive needs"), "{error}");
    assert!(!back.exists());
}

#[test]
fn trap_silent_copy_onto_a_full_disk() {
    let node = node_or_skip!();
    started(&node, &[]);
    let dir = node.root().join("big");
    fs::create_dir(&dir).expect("a directory can be made");
    let file = dir.join("file");
    fs::write(&file, vec![1; 80 << 20]).expect("a file can be written");
    let words = ["push", "101", &file.display().to_string(), "/root/file"];
    node.pvect(&words).fails(1);
    let words = ["push", "101", "-r", &dir.display().to_string(), "/root/dir"];
    let error = node.pvect(&words).fails(1);
    assert!(error.contains("No space left on device"), "{error}");
}

#[test]
fn trap_env_one_var_takes_several() {
    let node = node_or_skip!();
    started(&node, &["--env", "A=1", "--env", "B=two words", "--env", "C="]);
    let three = serde_json::json!(["A=1", "B=two words", "C="]);
    assert_eq!(json(&node, &["config", "101"])["env"], three);
    let stored = fs::read_to_string(node.config_file(101)).expect("the configuration");
    let lines: Vec<&str> = stored.lines().filter(|line| line.starts_with("lxc.environment")).collect();
    let runtime = "lxc.environment.runtime";
    assert_eq!(lines, ["A=1", "B=two words", "C="].map(|entry| format!("{runtime}: {entry}")));
    // The first start has them all.
    let environ = node.pvect(&["exec", "101", "--", "cat", "/proc/1/environ"]).ok();
    for entry in ["A=1", "B=two words", "C="] {
        assert!(environ.split('\0').any(|found| found == entry), "{entry}: {environ:?}");
    }
    // A running container gets them at its next start.
    node.pvect(&["set", "101", "--env", "D=4", "--env", "E=5"]).ok();
    assert_eq!(json(&node, &["config", "101"])["env"], serde_json::json!(["D=4", "E=5"]));
    assert_eq!(json(&node, &["config", "101", "--current"])["env"], three);
}

#[test]
fn trap_keep_env_in_a_container() {
    let node = node_or_skip!();
    started(&node, &[]);
    let mut command = node.command(["exec", "101", "--", "env"]);
    let output = command.env("SECRET_TOKEN", "hunter22").output().expect("pvect starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && text.contains("PATH=") && !text.contains("SECRET_TOKEN"), "{text}");
}

#[test]
fn trap_df_mounts_when_asked() {
    let node = node_or_skip!();
    started(&node, &[]);
    let running = json(&node, &["df", "101"]);
    assert_eq!((&running[0]["volume"], &running[0]["path"]), (&"rootfs".into(), &"/".into()));
    node.pvect(&["stop", "101"]).ok();
    let error = node.pvect(&["df", "101"]).fails(4);
    assert!(error.contains("the container is not running: df would mount"), "{error}");
    let size = json(&node, &["df", "101", "--mount"])[0]["size"].as_u64().expect("a size");
    assert!((30 << 20..=52 << 20).contains(&size), "{size}");
    assert_eq!(node.pvect(&["status", "101"]).ok(), "status: stopped\n");
}

#[test]
fn trap_exit_zero_resize_of_a_volume() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:0.05"]).ok();
    node.pvect(&["resize", "101", "rootfs", "+16M"]).ok();
    let rootfs = json(&node, &["config", "101"])["rootfs"].clone();
    assert!(rootfs.as_str().expect("text").ends_with("size=67M"), "{rootfs}");
    let error = node.pvect(&["resize", "101", "rootfs", "8"]).fails(2);
    assert!(error.contains("write +8G to add GiB or 8G for the whole size"), "{error}");
    let error = node.pvect(&["resize", "101", "rootfs", "1M"]).fails(2);
    assert!(error.contains("unable to shrink disk size"), "{error}");
}
