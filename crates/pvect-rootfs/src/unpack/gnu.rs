//! Archives of every form, unpacked by us and by GNU tar itself: what both make is compared.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::process::Command;

use tar::Header;

use super::*;

/// Everything below a directory that an archive decides: one line for each path.
fn listing(root: &Path) -> BTreeMap<PathBuf, String> {
    let mut found = BTreeMap::new();
    let mut rest = vec![root.to_owned()];
    while let Some(path) = rest.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let kind = meta.file_type();
        let content = if kind.is_symlink() {
            format!("-> {}", fs::read_link(&path).unwrap().display())
        } else if kind.is_dir() {
            rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            "directory".to_owned()
        } else if kind.is_file() {
            format!("{} links, {:?}", meta.nlink(), String::from_utf8_lossy(&fs::read(&path).unwrap()))
        } else if kind.is_fifo() {
            "fifo".to_owned()
        } else {
            format!("device {:x}", meta.rdev())
        };
        let line = format!(
            "{:o} {}:{} {}.{:09} {content}",
            meta.mode(),
            meta.uid(),
            meta.gid(),
            meta.mtime(),
            meta.mtime_nsec()
        );
        found.insert(path.strip_prefix(root).unwrap().to_owned(), line);
    }
    // The root itself is not a member of most archives.
    found.remove(Path::new(""));
    found
}

/// Unpacks an archive with both and compares.
fn compare(what: &str, archive: &[u8]) -> BTreeMap<PathBuf, String> {
    let dir = tempfile::tempdir().unwrap();
    let (ours, theirs) = (dir.path().join("ours"), dir.path().join("theirs"));
    let path = dir.path().join("archive.tar");
    fs::write(&path, archive).unwrap();
    fs::create_dir(&ours).unwrap();
    fs::create_dir(&theirs).unwrap();
    let run = Command::new("tar")
        .args(["-xpf"])
        .arg(&path)
        .args(["--numeric-owner", "--skip-old-files", "-C"])
        .arg(&theirs)
        .env("LC_ALL", "C.UTF-8")
        .output()
        .unwrap();
    assert!(run.status.success(), "{what}: {}", String::from_utf8_lossy(&run.stderr));
    let options = Options {
        idmap: &IdMap::identity(),
        ignore_errors: false,
        report: &|_| (),
        most: None,
        room: &|| Ok(()),
        interrupted: &|| false,
    };
    extract(&path, &ours, &options).unwrap_or_else(|error| panic!("{what}: {error}"));
    let (ours, theirs) = (listing(&ours), listing(&theirs));
    assert_eq!(ours, theirs, "{what}");
    assert!(!ours.is_empty(), "{what}: nothing was unpacked");
    ours
}

fn is_possible() -> bool {
    if !rustix::process::geteuid().is_root() {
        pvect_testkit::skipped(module_path!(), "unpacking with owners needs root");
        return false;
    }
    let version = Command::new("tar").arg("--version").output();
    let is_gnu = version.is_ok_and(|run| run.stdout.starts_with(b"tar (GNU tar)"));
    if !is_gnu {
        pvect_testkit::skipped(module_path!(), "GNU tar is not installed");
    }
    is_gnu
}

fn run(program: &str, words: &[&str], dir: &Path) -> Vec<u8> {
    let run = Command::new(program).args(words).current_dir(dir).env("LC_ALL", "C.UTF-8").output().unwrap();
    assert!(run.status.success(), "{program} {words:?}: {}", String::from_utf8_lossy(&run.stderr));
    run.stdout
}

/// A tree with names, times, owners and kinds that are hard for one format or another. `is_old` leaves out what the v7
/// format cannot hold.
fn tree(is_old: bool) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = dir.path();
    fs::create_dir_all(at.join("etc/empty")).unwrap();
    for (name, text) in
        [("etc/plain", "one\n"), ("etc/leer zeichen", "zwei"), ("etc/ümlaut\tund\nzeile", "drei")]
    {
        fs::write(at.join(name), text).unwrap();
    }
    fs::hard_link(at.join("etc/plain"), at.join("hard")).unwrap();
    std::os::unix::fs::symlink("etc/plain", at.join("soft")).unwrap();
    let mut touched =
        vec![("1970-01-01 00:00:00Z", "etc/plain"), ("2023-01-01 00:00:00.987654321Z", "etc/leer zeichen")];
    if !is_old {
        run("mkfifo", &["-m", "0620", "fifo"], at);
        let long = format!("etc/{}", "l".repeat(99));
        fs::write(at.join(&long), "four").unwrap();
        let deep = format!("{}/{}", "d".repeat(90), "e".repeat(90));
        fs::create_dir_all(at.join(&deep)).unwrap();
        fs::write(at.join(&deep).join("file"), "five").unwrap();
        run("chown", &["123456:54321", "etc/leer zeichen"], at);
        touched.push(("2240-06-01 12:00:00.5Z", "etc/empty"));
    }
    run("chmod", &["4755", "etc/plain"], at);
    run("chmod", &["1777", "etc/empty"], at);
    for (time, path) in touched {
        run("touch", &["-h", "-d", time, path], at);
    }
    dir
}

#[test]
fn archives_of_every_form_unpack_as_gnu_tar_unpacks_them() {
    if !is_possible() {
        return;
    }
    for form in ["v7", "oldgnu", "ustar", "gnu", "posix"] {
        let is_old = form == "v7";
        let tree = tree(is_old);
        if matches!(form, "gnu" | "posix") {
            run("touch", &["-d", "1960-01-01 00:00:00.25Z", "etc/empty"], tree.path());
            run("chown", &["3000000000:4000000000", "etc/empty"], tree.path());
            let long = "x".repeat(300);
            std::os::unix::fs::symlink(&long, tree.path().join("far")).unwrap();
        }
        if form == "oldgnu" {
            // The v7 format cannot store such a time.
            run("touch", &["-d", "2001-01-01Z", "etc/empty"], tree.path());
        }
        let archive = run("tar", &["-c", "--format", form, "--sort=name", "."], tree.path());
        let found = compare(form, &archive);
        assert!(found.len() >= 6, "{form}: {found:?}");
    }
}

#[test]
fn extended_headers_decide_and_the_last_record_counts() {
    if !is_possible() {
        return;
    }
    let tree = tree(false);
    let options = ["globexthdr.name=g", "gid=77", "mtime=-1.5", "uid=1234567", "uid:=7654321"];
    for given in [&options[..2], &options[..3], &options[..4], &options[..]] {
        let option = format!("--pax-option={}", given.join(","));
        let archive = run("tar", &["-c", "--format=posix", &option, "etc"], tree.path());
        compare(&option, &archive);
    }
    for option in ["delete=mtime", "delete=atime", "exthdr.name=%d/%f", "mtime:=1.9999999999"] {
        let option = format!("--pax-option={option}");
        compare(&option, &run("tar", &["-c", "--format=posix", &option, "."], tree.path()));
    }
}

#[test]
fn holes_are_where_gnu_tar_has_them() {
    if !is_possible() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let file = File::create(dir.path().join("holes")).unwrap();
    file.set_len(300_000).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"in the middle", 131_072).unwrap();
    for words in [
        &["--format=gnu"][..],
        &["--format=posix", "--sparse-version=0.0"],
        &["--format=posix", "--sparse-version=0.1"],
        &["--format=posix", "--sparse-version=1.0"],
    ] {
        let words = [&["-c", "-S"], words, &["holes"]].concat();
        compare(&format!("{words:?}"), &run("tar", &words, dir.path()));
    }
}

/// A field of a header: offset and bytes.
struct Field<'a>(usize, &'a [u8]);

/// A member of the oldest format, with fields that are written byte by byte, and its data.
fn member(name: &str, kind: u8, fields: &[Field<'_>], data: &[u8]) -> Vec<u8> {
    let mut header = Header::new_old();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_000_000_000);
    header.set_size(data.len() as u64);
    header.as_old_mut().linkflag[0] = kind;
    let mut block = *header.as_bytes();
    for Field(at, bytes) in fields {
        block[*at..at + bytes.len()].copy_from_slice(bytes);
    }
    let mut header = Header::from_byte_slice(&block).clone();
    header.set_cksum();
    let mut member = header.as_bytes().to_vec();
    member.extend(data);
    member.resize(member.len().next_multiple_of(512), 0);
    member
}

const USTAR: &[u8] = b"ustar\x0000";

#[test]
fn headers_written_by_hand_are_read_as_gnu_tar_reads_them() {
    if !is_possible() {
        return;
    }
    let after = member("after", b'0', &[], b"still in step");
    let directories = |names: &[&str]| -> Vec<u8> {
        let mode = || [Field(100, b"0000755\0")];
        names.iter().flat_map(|name| member(name, b'5', &mode(), b"")).collect()
    };
    for (what, first) in [
        (
            "octal with blanks",
            member("a", b'0', &[Field(124, b"         2 \0"), Field(108, b"   12 \0\0")], b"xy"),
        ),
        (
            "no end of a number",
            member("a", b'0', &[Field(124, b"000000000002"), Field(100, b"00000600")], b"xy"),
        ),
        ("an empty owner", member("a", b'0', &[Field(108, &[0; 8])], b"xy")),
        ("a NUL before a number", member("a", b'0', &[Field(108, b"\x00 17\0\0\0\0")], b"xy")),
        ("base 256", member("a", b'0', &[Field(124, b"\x80\0\0\0\0\0\0\0\0\0\0\x02")], b"xy")),
        ("an owner in base 256", member("a", b'0', &[Field(108, b"\x80\0\0\0\xb2\xd0\x5e\0")], b"xy")),
        (
            "a time before 1970",
            member("a", b'0', &[Field(136, b"\xff\xff\xff\xff\xff\xff\xff\xff\xed\x2f\xef\x80")], b"xy"),
        ),
        ("the oldest directory", member("a/", 0, &[Field(100, b"0000755\0")], b"")),
        ("a file of the oldest form", member("a", 0, &[], b"xy")),
        ("a directory that claims to be a file", member("a/", b'0', &[Field(257, USTAR)], b"")),
        ("a contiguous file", member("a", b'7', &[Field(257, USTAR)], b"xy")),
        ("no known type", member("a", b'Z', &[Field(257, USTAR)], b"xy")),
        ("a label", member("label", b'V', &[Field(257, b"ustar  \0")], b"")),
        (
            "a prefix",
            [
                directories(&["usr", "usr/lib"]),
                member("a", b'0', &[Field(257, USTAR), Field(345, b"usr/lib")], b"xy"),
            ]
            .concat(),
        ),
        (
            "a prefix and another version",
            [
                directories(&["usr"]),
                member("a", b'0', &[Field(257, b"ustar\x00  "), Field(345, b"usr")], b"xy"),
            ]
            .concat(),
        ),
        ("a prefix that is none", member("a", b'0', &[Field(345, b"usr/lib")], b"xy")),
        ("leading slashes", [directories(&["usr"]), member("//usr/./a", b'0', &[], b"xy")].concat()),
        (
            "a hard link with a size",
            [
                member("a", b'0', &[], b"xy"),
                member("b", b'1', &[Field(157, b"a"), Field(124, b"00000000002\0")], b""),
            ]
            .concat(),
        ),
        (
            "a device",
            member("a", b'3', &[Field(257, USTAR), Field(329, b"0000001\0"), Field(337, b"0000003\0")], b""),
        ),
    ] {
        let archive = [first, after.clone(), vec![0; 1024]].concat();
        let found = compare(what, &archive);
        assert!(found.contains_key(Path::new("after")), "{what}: {found:?}");
    }
}

#[test]
fn sums_of_signed_bytes_are_believed() {
    if !is_possible() {
        return;
    }
    let mut first = member("\u{e4}", b'0', &[], b"xy");
    let sum: i64 = first[..512]
        .iter()
        .enumerate()
        .map(|(at, byte)| if (148..156).contains(&at) { 32 } else { i64::from(i8::from_ne_bytes([*byte])) })
        .sum();
    first[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    compare("signed", &[first, vec![0; 1024]].concat());
}
