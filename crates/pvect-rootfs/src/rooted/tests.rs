//! Paths below a root, some of them with symlinks that lead out of it.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

fn me() -> (u32, u32) {
    (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw())
}

fn pair() -> (tempfile::TempDir, Rooted) {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("root")).unwrap();
    std::fs::create_dir(dir.path().join("outside")).unwrap();
    let rooted = Rooted::open(&dir.path().join("root"), me()).unwrap();
    (dir, rooted)
}

#[test]
fn writes_stay_inside_whatever_the_symlinks_say() {
    let (dir, rooted) = pair();
    let outside = dir.path().join("outside");
    symlink(&outside, dir.path().join("root/absolute")).unwrap();
    symlink("../outside", dir.path().join("root/relative")).unwrap();
    symlink(outside.join("victim"), dir.path().join("root/file")).unwrap();
    for path in ["absolute/x", "relative/x", "../outside/x", "/../../outside/x"] {
        let _ = rooted.write(path, b"text", 0o644);
    }
    rooted.write("file", b"text", 0o644).unwrap();
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 0);
    assert!(std::fs::symlink_metadata(dir.path().join("root/file")).unwrap().is_file());
    assert_eq!(rooted.read_text("/file").unwrap().as_deref(), Some("text"));
}

#[test]
fn files_have_the_asked_mode_and_no_temporary_stays() {
    let (dir, rooted) = pair();
    rooted.write("/etc/shadow", b"x", 0o640).unwrap();
    let mode = std::fs::metadata(dir.path().join("root/etc/shadow")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    assert_eq!(rooted.names("etc").unwrap(), ["shadow"]);
    assert_eq!(rooted.names("nothing").unwrap(), Vec::<String>::new());
    rooted.symlink("/etc/shadow", "/etc/link").unwrap();
    rooted.symlink("shadow", "/etc/link").unwrap();
    assert_eq!(rooted.read_link("/etc/link").unwrap(), Path::new("shadow"));
    rooted.remove("/etc/link").unwrap();
    rooted.remove("/etc/link").unwrap();
    assert!(rooted.lstat("/etc/link").unwrap().is_none());
}

#[test]
fn only_regular_files_are_read() {
    let (dir, rooted) = pair();
    rustix::fs::mknodat(CWD, dir.path().join("root/fifo"), FileType::Fifo, Mode::from_raw_mode(0o644), 0)
        .unwrap();
    assert_eq!(rooted.read("fifo").unwrap(), None);
    assert_eq!(rooted.read("missing/file").unwrap(), None);
    assert!(rooted.is_dir("/") && !rooted.is_file("/"));
}

#[test]
fn files_of_the_kernel_are_known() {
    for (path, expected) in [("/proc/self/status", true), ("/sys/kernel", true), ("/usr/bin", false)] {
        assert_eq!(is_of_kernel(std::fs::File::open(path).unwrap()), expected, "{path}");
    }
}
