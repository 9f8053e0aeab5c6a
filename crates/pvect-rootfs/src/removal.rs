//! Removal of directories that somebody hostile filled: any depth, any number, any names.
//!
//! A directory that is not empty is moved up into the top one before its own contents go, so no path and no stack of
//! open directories grows with the depth. Every step works by one name in an open directory: no symlink is followed, and
//! what is mounted inside is not entered.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{AtFlags, Dir, FileType, IFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

/// How deeply directories that cannot be moved up, such as btrfs subvolumes, may be nested.
const NESTED: usize = 64;
const OPEN: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const STAY: ResolveFlags =
    ResolveFlags::NO_XDEV.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::BENEATH);

/// Removes a file, a symlink, or a directory with all that it has; a missing one is fine.
///
/// # Errors
/// When something of it cannot be removed, such as a directory where something is mounted; the text names it.
pub fn remove_tree(parent: impl AsFd, name: &OsStr) -> io::Result<()> {
    let parent = parent.as_fd();
    match unlink(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(()),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(named(name, errno)),
    }
    let directory = open(parent, name).map_err(|errno| named(name, errno))?;
    clear(&directory)?;
    unlink(parent, name, AtFlags::REMOVEDIR).map_err(|errno| named(name, errno))
}

/// Removes all that an open directory has.
///
/// # Errors
/// As [`remove_tree`].
pub fn clear(directory: &OwnedFd) -> io::Result<()> {
    Top { directory, next: 0, nested: NESTED }.clear()
}

/// The directory that everything is moved up into.
struct Top<'a> {
    directory: &'a OwnedFd,
    /// The number in the next name there.
    next: u64,
    nested: usize,
}

impl Top<'_> {
    fn clear(&mut self) -> io::Result<()> {
        // One pass may miss a name while others are added and removed.
        loop {
            let mut found = false;
            for entry in Dir::read_from(self.directory)? {
                let entry = entry?;
                let Some(name) = real_name(entry.file_name().to_bytes()) else { continue };
                found = true;
                self.remove(self.directory.as_fd(), name)?;
            }
            if !found {
                return Ok(());
            }
        }
    }

    /// Removes something of the top directory.
    fn remove(&mut self, parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<()> {
        if gone(parent, name).map_err(|errno| named(name, errno))? {
            return Ok(());
        }
        let directory = open(parent, name).map_err(|errno| named(name, errno))?;
        self.empty(&directory)?;
        drop(directory);
        unlink(parent, name, AtFlags::REMOVEDIR).map_err(|errno| named(name, errno))
    }

    /// Empties a directory: subdirectories that are not empty are moved up.
    fn empty(&mut self, directory: &OwnedFd) -> io::Result<()> {
        loop {
            let mut found = false;
            for entry in Dir::read_from(directory)? {
                let entry = entry?;
                let Some(name) = real_name(entry.file_name().to_bytes()) else { continue };
                found = true;
                if gone(directory.as_fd(), name).map_err(|errno| named(name, errno))? {
                    continue;
                }
                match self.move_up(directory.as_fd(), name) {
                    Ok(()) => {}
                    // Another subvolume or quota project: it becomes a top of its own.
                    Err(Errno::XDEV | Errno::MLINK | Errno::NOSPC | Errno::DQUOT) if self.nested > 0 => {
                        let inner = open(directory.as_fd(), name).map_err(|errno| named(name, errno))?;
                        Top { directory: &inner, next: 0, nested: self.nested - 1 }.clear()?;
                        drop(inner);
                        unlink(directory.as_fd(), name, AtFlags::REMOVEDIR)
                            .map_err(|errno| named(name, errno))?;
                    }
                    Err(errno) => return Err(named(name, errno)),
                }
            }
            if !found {
                return Ok(());
            }
        }
    }

    fn move_up(&mut self, from: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<()> {
        loop {
            let new = OsString::from(format!(".removed-{}", self.next));
            self.next += 1;
            let rename =
                || rustix::fs::renameat_with(from, name, self.directory, &new, RenameFlags::NOREPLACE);
            match cleared(from, name, rename) {
                Err(Errno::EXIST) => {}
                Err(Errno::PERM) => {
                    // The top directory itself may be immutable.
                    clear_flags(self.directory.as_fd());
                    return rename();
                }
                result => return result,
            }
        }
    }
}

/// Removes a file or an empty directory; `false` when it is a directory that is not empty.
fn gone(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<bool> {
    match unlink(parent, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => return Ok(true),
        Err(Errno::ISDIR) => {}
        Err(errno) => return Err(errno),
    }
    match unlink(parent, name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST) => Ok(false),
        Err(errno) => Err(errno),
    }
}

fn open(parent: BorrowedFd<'_>, name: &OsStr) -> rustix::io::Result<OwnedFd> {
    rustix::fs::openat2(parent, name, OPEN, Mode::empty(), STAY)
}

fn unlink(parent: BorrowedFd<'_>, name: &OsStr, flags: AtFlags) -> rustix::io::Result<()> {
    cleared(parent, name, || rustix::fs::unlinkat(parent, name, flags))
}

/// Does something to a name; if that fails, removes the flags (`chattr +i`, `+a`) that forbid it and tries again.
fn cleared(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    mut act: impl FnMut() -> rustix::io::Result<()>,
) -> rustix::io::Result<()> {
    match act() {
        Err(Errno::PERM) => {}
        result => return result,
    }
    clear_flags(parent);
    let kind = rustix::fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW)
        .map(|stat| FileType::from_raw_mode(stat.st_mode));
    // Only these have flags, and opening anything else may act.
    if matches!(kind, Ok(FileType::RegularFile | FileType::Directory)) {
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        if let Ok(file) = rustix::fs::openat2(parent, name, flags, Mode::empty(), STAY) {
            clear_flags(file.as_fd());
        }
    }
    act()
}

/// What fails here is reported by the second attempt.
fn clear_flags(file: BorrowedFd<'_>) {
    let forbidding = IFlags::IMMUTABLE | IFlags::APPEND;
    let Ok(flags) = rustix::fs::ioctl_getflags(file) else { return };
    if flags.intersects(forbidding) {
        let _ = rustix::fs::ioctl_setflags(file, flags - forbidding);
    }
}

fn real_name(name: &[u8]) -> Option<&OsStr> {
    (name != b"." && name != b"..").then(|| OsStr::from_bytes(name))
}

/// An error that names what could not be removed and has the same kind.
fn named(name: &OsStr, errno: Errno) -> io::Error {
    let what = match errno {
        Errno::XDEV | Errno::BUSY => "something is mounted there".to_owned(),
        errno => crate::error::os_text(&errno.into()),
    };
    let kind = io::Error::from(errno).kind();
    io::Error::new(kind, format!("'{}': {what}", name.as_bytes().escape_ascii()))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use rustix::fs::CWD;

    use super::*;

    fn descend(top: &std::path::Path, levels: usize) {
        let mut at = rustix::fs::openat(CWD, top, OPEN, Mode::empty()).unwrap();
        for _ in 0..levels {
            rustix::fs::mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
            at = rustix::fs::openat(&at, "d", OPEN, Mode::empty()).unwrap();
        }
    }

    #[test]
    fn depth_takes_neither_stack_nor_descriptors() {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("top");
        std::fs::create_dir(&top).unwrap();
        descend(&top, 5_000);
        // Names that the removal itself uses, and names with any bytes.
        std::fs::create_dir_all(top.join(".removed-0/x/y")).unwrap();
        std::fs::create_dir_all(top.join(OsStr::from_bytes(b"\xff\n/\x1b"))).unwrap();
        remove_tree(rustix::fs::openat(CWD, dir.path(), OPEN, Mode::empty()).unwrap(), OsStr::new("top"))
            .unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn symlinks_are_removed_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (top, outside) = (dir.path().join("top"), dir.path().join("outside"));
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        std::fs::create_dir_all(outside.join("kept")).unwrap();
        symlink(&outside, top.join("link")).unwrap();
        symlink(&outside, top.join("a/b/link")).unwrap();
        let parent = rustix::fs::openat(CWD, dir.path(), OPEN, Mode::empty()).unwrap();
        remove_tree(&parent, OsStr::new("top")).unwrap();
        remove_tree(&parent, OsStr::new("top")).unwrap();
        assert!(outside.join("kept").exists() && !top.exists());
    }
}
