//! Trees are shifted in whole and in parts. What only root may change is tested as root alone.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::path::Path;

use rustix::fs::CWD;

use super::*;

const OLD: Shift = Shift { from: 100_000, to: 300_000, count: 65_536 };
/// cap_net_raw, effective, for the root 100000.
const NET_RAW: [u8; 24] = [1, 0, 0, 3, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xa0, 0x86, 1, 0];

fn top(path: &Path) -> OwnedFd {
    rustix::fs::openat(CWD, path, DIRECTORY, Mode::empty()).unwrap()
}

fn shift(path: &Path) -> Summary {
    OLD.tree(&top(path), &|| false).unwrap()
}

fn get(path: &Path, name: &str) -> Option<Vec<u8>> {
    let mut value = vec![0; 1024];
    let length = rustix::fs::getxattr(path, name, &mut value).ok()?;
    value.truncate(length);
    Some(value)
}

fn ids(path: &Path) -> (u32, u32) {
    let meta = fs::symlink_metadata(path).unwrap();
    (meta.uid(), meta.gid())
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

#[test]
fn only_ids_of_the_old_range_change() {
    assert_eq!(
        [99_999, 100_000, 165_535, 165_536, 0].map(|id| OLD.id(id)),
        [99_999, 300_000, 365_535, 165_536, 0]
    );
    assert!(!OLD.overlaps());
    assert!(Shift { to: 165_535, ..OLD }.overlaps() && Shift { to: 34_465, ..OLD }.overlaps());
    let dir = tempfile::tempdir().unwrap();
    let overlapping = Shift { to: 100_001, ..OLD };
    assert!(overlapping.tree(&top(dir.path()), &|| false).is_err());
}

#[test]
fn owners_bits_capabilities_and_lists_are_kept() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
    fs::create_dir_all(root.join("a/b")).unwrap();
    fs::write(&outside, "").unwrap();
    chown(&outside, Some(100_007), Some(100_007)).unwrap();
    let made = |name: &str, ids: (u32, u32), mode: u32| {
        let path = root.join(name);
        fs::write(&path, "x").unwrap();
        chown(&path, Some(ids.0), Some(ids.1)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    };
    chown(&root, Some(100_000), Some(100_000)).unwrap();
    let su = made("a/su", (100_000, 100_005), 0o6755);
    let ping = made("a/b/ping", (100_000, 100_000), 0o755);
    rustix::fs::setxattr(&ping, CAPABILITY, &NET_RAW, XattrFlags::empty()).unwrap();
    let plain = made("plain", (100_001, 0), 0o640);
    let acl: Vec<u8> = [
        &[2, 0, 0, 0][..],
        &[1, 0, 6, 0, 255, 255, 255, 255],
        &[2, 0, 4, 0, 0xa7, 0x86, 1, 0],
        &[4, 0, 4, 0, 255, 255, 255, 255],
        &[16, 0, 4, 0, 255, 255, 255, 255],
        &[32, 0, 0, 0, 255, 255, 255, 255],
    ]
    .concat();
    let has_acls = rustix::fs::setxattr(&plain, ACLS[0], &acl, XattrFlags::empty()).is_ok();
    let hosts = made("hosts", (0, 70_000), 0o4755);
    fs::hard_link(&su, root.join("su-again")).unwrap();
    symlink(&outside, root.join("link")).unwrap();
    lchown(root.join("link"), Some(100_002), Some(100_003)).unwrap();
    let fifo = root.join("a/fifo");
    rustix::fs::mknodat(CWD, &fifo, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
    chown(&fifo, Some(100_000), Some(100_000)).unwrap();

    let check = || {
        assert_eq!(ids(&root), (300_000, 300_000));
        assert_eq!(ids(&su), (300_000, 300_005));
        assert_eq!(ids(&root.join("link")), (300_002, 300_003));
        assert_eq!((ids(&outside), ids(&hosts)), ((100_007, 100_007), (0, 70_000)));
        assert_eq!((ids(&plain), ids(&fifo)), ((300_001, 0), (300_000, 300_000)));
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o7777;
        assert_eq!((mode(&su), mode(&hosts)), (0o6755, 0o4755));
        let capability = get(&ping, CAPABILITY).unwrap();
        assert_eq!((&capability[..20], &capability[20..]), (&NET_RAW[..20], &300_000_u32.to_le_bytes()[..]));
        for path in [&su, &ping, &plain] {
            assert_eq!(get(path, NOTE), None, "{}", path.display());
        }
        if has_acls {
            assert_eq!(get(&plain, ACLS[0]).unwrap()[16..20], 300_007_u32.to_le_bytes());
        }
    };
    let summary = shift(&root);
    // A second name of a file that was moved already only counts as an entry.
    assert_eq!((summary.entries, summary.moved), (10, 6));
    check();
    // Again, nothing is left to do.
    assert_eq!(shift(&root).moved, 0);
    check();
}

#[test]
fn what_a_cut_short_shift_took_comes_back() {
    if !is_root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let su = dir.path().join("su");
    fs::write(&su, "x").unwrap();
    // Killed after the change of the owner: without the bits and the capabilities, but with the note.
    let mut note = 0o4755_u32.to_le_bytes().to_vec();
    note.extend_from_slice(&OLD.capability(&NET_RAW));
    chown(&su, Some(300_000), Some(300_000)).unwrap();
    fs::set_permissions(&su, fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::fs::setxattr(&su, NOTE, &note, XattrFlags::empty()).is_err() {
        return;
    }
    assert_eq!(shift(dir.path()).moved, 0);
    assert_eq!(fs::metadata(&su).unwrap().mode() & 0o7777, 0o4755);
    assert_eq!(get(&su, CAPABILITY).unwrap()[20..], 300_000_u32.to_le_bytes());
    assert_eq!(get(&su, NOTE), None);
}

#[test]
fn depth_and_width_take_neither_stack_nor_descriptors() {
    let dir = tempfile::tempdir().unwrap();
    let mut at = top(dir.path());
    for _ in 0..1_500 {
        rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
        at = rustix::fs::openat(&at, "d", DIRECTORY, Mode::empty()).unwrap();
    }
    for number in 0..500 {
        fs::create_dir_all(dir.path().join(format!("wide/{number}/in"))).unwrap();
    }
    fs::create_dir(dir.path().join(OsStr::from_bytes(b"\xff\n\x1b"))).unwrap();
    assert_eq!(shift(dir.path()).entries, 1_500 + 1_001 + 1 + 1);
    let removed = crate::removal::clear(&top(dir.path()));
    removed.unwrap();
}

#[test]
fn it_ends_anywhere_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["a/b", "a/c", "d"] {
        fs::create_dir_all(dir.path().join(name)).unwrap();
        fs::write(dir.path().join(name).join("x"), "").unwrap();
        if is_root() {
            chown(dir.path().join(name).join("x"), Some(165_535), Some(100_000)).unwrap();
        }
    }
    let mut before = 0;
    for steps in 0_u32.. {
        let left = std::cell::Cell::new(steps);
        let ended = || left.replace(left.get().saturating_sub(1)) == 0;
        match OLD.tree(&top(dir.path()), &ended) {
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::Interrupted),
            Ok(summary) => {
                assert_eq!((summary.entries, steps), (8, 7));
                break;
            }
        }
        // Nothing is shifted back or twice.
        let moved = ["a/b/x", "a/c/x", "d/x"].map(|name| ids(&dir.path().join(name)));
        assert!(moved.iter().all(|ids| !is_root() || [(165_535, 100_000), (365_535, 300_000)].contains(ids)));
        let after = moved.iter().filter(|ids| ids.0 == 365_535).count();
        assert!(after >= before);
        before = after;
    }
}
