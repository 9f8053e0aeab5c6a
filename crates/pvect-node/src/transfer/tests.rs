//! Files are copied to the host and below a root, and what fails is removed.

use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::Path;

use rustix::fs::CWD;

use super::*;

fn put(path: &Path, source: &File, mode: Option<u32>) -> NodeResult<()> {
    let attributes = Attributes { mode, ..Attributes::default() };
    Target::create(Place::Host, path.to_str().unwrap(), attributes)?.fill(source, &Interrupt::watch())
}

#[test]
fn files_are_copied_whole_with_their_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..3_000_000_u32).map(|number| (number % 251) as u8).collect();
    std::fs::write(dir.path().join("source"), &bytes).unwrap();
    let open = || File::open(dir.path().join("source")).unwrap();
    let target = dir.path().join("target");
    put(&target, &open(), Some(0o600)).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), bytes);
    assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o7777, 0o600);
    // One that is there is emptied and keeps its permissions; links are followed.
    std::fs::write(&target, vec![1; 4_000_000]).unwrap();
    symlink(&target, dir.path().join("link")).unwrap();
    put(&dir.path().join("link"), &open(), None).unwrap();
    assert_eq!(std::fs::read(&target).unwrap(), bytes);
    assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o7777, 0o600);
    // No size, and a content.
    put(&target, &File::open("/proc/self/status").unwrap(), None).unwrap();
    assert!(std::fs::read_to_string(&target).unwrap().starts_with("Name:"));
}

#[test]
fn what_cannot_be_written_is_told_and_removed() {
    let dir = tempfile::tempdir().unwrap();
    let source = File::open("/dev/zero").unwrap();
    let missing = dir.path().join("no/x");
    assert_eq!(
        put(&missing, &source, None).unwrap_err().text,
        format!("failed to create file: {}: No such file or directory", missing.display())
    );
    assert_eq!(
        put(dir.path(), &source, None).unwrap_err().text,
        format!("failed to create file: {}: Is a directory", dir.path().display())
    );
    assert_eq!(
        put(Path::new("/dev/full"), &source, None).unwrap_err().text,
        "failed to copy to /dev/full: No space left on device"
    );
    // A file that cannot be read to its end.
    let target = dir.path().join("target");
    let write_only = File::options().write(true).open("/dev/null").unwrap();
    assert!(put(&target, &write_only, None).is_err());
    assert!(!target.exists());
    // As the real pct has it: an empty file of a directory.
    put(&target, &File::open(dir.path()).unwrap(), None).unwrap();
    assert_eq!(std::fs::metadata(&target).unwrap().len(), 0);
}

#[test]
fn nothing_leads_out_of_a_root() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("root")).unwrap();
    let at = |name: &str| dir.path().join("root").join(name);
    std::fs::write(dir.path().join("outside"), "outside").unwrap();
    std::fs::write(at("source"), "content").unwrap();
    symlink("../outside", at("up")).unwrap();
    symlink("/made", at("absolute")).unwrap();
    symlink("/proc/self/cwd/x", at("magic")).unwrap();
    rustix::fs::mknodat(CWD, at("fifo"), rustix::fs::FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    let root = OwnedFd::from(File::open(dir.path().join("root")).unwrap());
    let put = |path: &str| {
        let inside = Place::Inside(&root);
        let source = File::open(at("source")).unwrap();
        Target::create(inside, path, Attributes::default())?.fill(&source, &Interrupt::watch())
    };
    put("/absolute").unwrap();
    assert_eq!(std::fs::read(at("made")).unwrap(), b"content");
    put("/up").unwrap();
    assert_eq!(std::fs::read(at("outside")).unwrap(), b"content");
    assert_eq!(std::fs::read(dir.path().join("outside")).unwrap(), b"outside");
    put("../../x").unwrap();
    assert!(at("x").exists());
    for (path, why) in [
        ("/fifo", "it is not a regular file"),
        ("/magic", "No such file or directory"),
        ("/no/x", "No such file or directory"),
        ("/", "Is a directory"),
    ] {
        assert_eq!(put(path).unwrap_err().text, format!("failed to create file: {path}: {why}"));
    }
}

#[test]
fn a_copy_that_fails_is_removed_below_its_root() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::create_dir(dir.path().join("a")).unwrap();
    let root = OwnedFd::from(File::open(dir.path()).unwrap());
    let write_only = File::options().write(true).open("/dev/null").unwrap();
    for path in ["/x", "x", "/a/x", "a/../a/x"] {
        let target = Target::create(Place::Inside(&root), path, Attributes::default()).unwrap();
        assert!(target.fill(&write_only, &Interrupt::watch()).is_err());
        assert!(!dir.path().join("x").exists() && !dir.path().join("a/x").exists(), "{path}");
    }
}

#[test]
fn holes_are_kept() {
    let dir = tempfile::tempdir().unwrap();
    let source = File::create_new(dir.path().join("source")).unwrap();
    source.write_all_at(b"begin", 0).unwrap();
    source.write_all_at(b"middle", 5 << 30).unwrap();
    source.set_len(8 << 40).unwrap();
    let target = dir.path().join("target");
    put(&target, &File::open(dir.path().join("source")).unwrap(), None).unwrap();
    let made = File::open(&target).unwrap();
    let meta = made.metadata().unwrap();
    assert_eq!(meta.len(), 8 << 40);
    assert!(meta.blocks() < 64, "{} blocks", meta.blocks());
    let mut found = [0; 6];
    made.read_exact_at(&mut found, 5 << 30).unwrap();
    assert_eq!(&found, b"middle");
}

#[test]
fn set_user_id_bits_stay_without_the_right_to_keep_them() {
    use rustix::thread::{CapabilitySet, capabilities, set_capabilities};
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("source"), "program").unwrap();
    let target = dir.path().join("target");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // As in the user namespace of a container, where the host's inode is another's.
            let mut sets = capabilities(None).unwrap();
            sets.effective.remove(CapabilitySet::FSETID);
            set_capabilities(None, sets).unwrap();
            put(&target, &File::open(dir.path().join("source")).unwrap(), Some(0o4755)).unwrap();
        });
    });
    assert_eq!(std::fs::metadata(&target).unwrap().mode() & 0o7777, 0o4755);
}
