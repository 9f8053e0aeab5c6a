//! Moves the owners of a tree from one range of host ids to another.
//!
//! The tree is a guest's: any depth, any number, any names. Memory grows by a few bytes a level, and two directories are
//! open at a time. Every step works by one name in an open directory: no symlink is followed, and what is mounted inside
//! is not entered.
//!
//! It may be cut short anywhere and be done again: only ids of the old range change, and the two ranges have no id in
//! common. What a change of owner takes from a file (set-user-id bits, capabilities) is noted on the file before.

use std::ffi::{OsStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawDir, ResolveFlags, SeekFrom, Stat, Uid, XattrFlags,
};
use rustix::io::Errno;

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const NAME: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
const STAY: ResolveFlags = ResolveFlags::NO_XDEV.union(ResolveFlags::NO_SYMLINKS);
/// Room for a few dozen names: the names that were read after a directory are read again when it is done.
const BUFFER: usize = 4096;
/// Notes the mode and then the capabilities that a file had before its owner was changed. No guest can set an attribute
/// of this kind.
const NOTE: &str = "trusted.pvect.shift";
const CAPABILITY: &str = "security.capability";
const ACLS: [&str; 2] = ["system.posix_acl_access", "system.posix_acl_default"];
/// The most bytes that the kernel stores for an attribute, or for the list of their names.
const ATTRIBUTE_LIMIT: usize = 65_536;
/// Set-user-id and set-group-id, which a change of owner removes.
const SPECIAL: u32 = 0o6000;

/// The old and the new range of ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shift {
    /// The first id of the old range.
    pub from: u32,
    /// The first id of the new one.
    pub to: u32,
    /// How many ids both have.
    pub count: u32,
}

/// What was done to a tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Summary {
    /// How many files, directories, symlinks and others there are.
    pub entries: u64,
    /// How many of them had an id of the old range.
    pub moved: u64,
}

/// A directory on the path from the top to the current one.
struct Level {
    device: u64,
    inode: u64,
    /// Where to read on.
    cookie: u64,
}

impl Shift {
    /// Returns an id after the shift.
    pub fn id(&self, id: u32) -> u32 {
        match id.checked_sub(self.from) {
            Some(offset) if offset < self.count => self.to.saturating_add(offset),
            _ => id,
        }
    }

    /// Whether the two ranges have ids in common: then an interrupted shift could not be repeated.
    pub fn overlaps(&self) -> bool {
        self.from.abs_diff(self.to) < self.count
    }

    /// Shifts an open directory and everything in it.
    ///
    /// # Errors
    /// When the ranges overlap, something cannot be changed (the text names it), or `interrupted` says so. What was
    /// done until then stays done, and another call continues.
    pub fn tree(&self, top: &OwnedFd, interrupted: &dyn Fn() -> bool) -> io::Result<Summary> {
        if self.overlaps() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the old and the new range overlap"));
        }
        let mut summary = Summary::default();
        let mut present = open(top.as_fd(), OsStr::new("."))?;
        self.take(present.as_fd(), &mut summary).map_err(|errno| named(OsStr::new("."), errno))?;
        let mut levels = vec![Level::of(&present)?];
        while let Some(level) = levels.last_mut() {
            match self.entries(&present, level, interrupted, &mut summary)? {
                Some(name) => {
                    let inner = open(present.as_fd(), &name)?;
                    self.take(inner.as_fd(), &mut summary).map_err(|errno| named(&name, errno))?;
                    levels.push(Level::of(&inner)?);
                    present = inner;
                }
                None => {
                    levels.pop();
                    if let Some(above) = levels.last() {
                        present = above.open_from(&present)?;
                    }
                }
            }
        }
        Ok(summary)
    }

    /// Shifts the entries of a directory from a position on, up to the next subdirectory, which is returned.
    fn entries(
        &self,
        directory: &OwnedFd,
        level: &mut Level,
        interrupted: &dyn Fn() -> bool,
        summary: &mut Summary,
    ) -> io::Result<Option<OsString>> {
        rustix::fs::seek(directory, SeekFrom::Start(level.cookie))?;
        let mut buffer = [MaybeUninit::uninit(); BUFFER];
        let mut entries = RawDir::new(directory, &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            level.cookie = entry.next_entry_cookie();
            let bytes = entry.file_name().to_bytes();
            if bytes == b"." || bytes == b".." {
                continue;
            }
            if interrupted() {
                return Err(io::ErrorKind::Interrupted.into());
            }
            let name = OsStr::from_bytes(bytes);
            let failed = |errno| named(name, errno);
            // Do not use the type in the directory entry: not all file systems have it.
            let file = rustix::fs::openat2(directory, name, NAME, Mode::empty(), STAY).map_err(failed)?;
            if kind(&rustix::fs::fstat(&file).map_err(failed)?) == FileType::Directory {
                return Ok(Some(name.to_owned()));
            }
            self.take(file.as_fd(), summary).map_err(failed)?;
        }
        Ok(None)
    }

    /// Shifts one file: owner, access control lists, capabilities.
    fn take(&self, file: BorrowedFd<'_>, summary: &mut Summary) -> rustix::io::Result<()> {
        let before = rustix::fs::fstat(file)?;
        let (user, group) = (self.id(before.st_uid), self.id(before.st_gid));
        let is_moving = (user, group) != (before.st_uid, before.st_gid);
        summary.entries += 1;
        summary.moved += u64::from(is_moving);
        let chown = || {
            let ids = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
            if is_moving { rustix::fs::chownat(file, "", ids.0, ids.1, AtFlags::EMPTY_PATH) } else { Ok(()) }
        };
        if kind(&before) == FileType::Symlink {
            return chown();
        }
        let attributes = Attributes::of(file)?;
        let note = attributes.get(NOTE)?;
        let had_note = note.is_some();
        let (mode, capability) = match note.as_deref().and_then(read_note) {
            Some((mode, capability)) => (mode, capability),
            None => (before.st_mode & 0o7777, attributes.get(CAPABILITY)?),
        };
        let shifted = capability.as_deref().map(|value| self.capability(value));
        let is_special = kind(&before) == FileType::RegularFile && (mode & SPECIAL != 0 || shifted.is_some());
        if is_moving && is_special && !had_note {
            let mut note = mode.to_le_bytes().to_vec();
            note.extend_from_slice(shifted.as_deref().unwrap_or_default());
            attributes.set(NOTE, &note)?;
        }
        chown()?;
        for name in ACLS {
            if let Some(shifted) = attributes.get(name)?.and_then(|value| self.acl(&value)) {
                attributes.set(name, &shifted)?;
            }
        }
        if rustix::fs::fstat(file)?.st_mode & 0o7777 != mode {
            rustix::fs::chmod(&attributes.path, Mode::from_raw_mode(mode))?;
        }
        let is_lost = is_moving || had_note;
        if let Some(value) = shifted.filter(|value| is_lost || capability.as_ref() != Some(value)) {
            attributes.set(CAPABILITY, &value)?;
        }
        if had_note || (is_moving && is_special) {
            rustix::fs::removexattr(&attributes.path, NOTE)?;
        }
        Ok(())
    }

    /// Shifts the root id that capabilities apply to, if they name one. Source: `struct vfs_ns_cap_data` of
    /// linux/capability.h.
    fn capability(&self, value: &[u8]) -> Vec<u8> {
        let mut shifted = value.to_vec();
        if let (24, Some(root)) = (value.len(), value.get(20..24).and_then(|root| root.try_into().ok())) {
            shifted[20..24].copy_from_slice(&self.id(u32::from_le_bytes(root)).to_le_bytes());
        }
        shifted
    }

    /// Shifts the users and groups of a list; `None` when none of them is of the old range. Source:
    /// linux/posix_acl_xattr.h.
    fn acl(&self, value: &[u8]) -> Option<Vec<u8>> {
        const USER: u16 = 0x02;
        const GROUP: u16 = 0x08;
        let mut shifted = value.to_vec();
        for entry in shifted.get_mut(4..)?.chunks_exact_mut(8) {
            if matches!(u16::from_le_bytes([entry[0], entry[1]]), USER | GROUP) {
                let id = u32::from_le_bytes([entry[4], entry[5], entry[6], entry[7]]);
                entry[4..8].copy_from_slice(&self.id(id).to_le_bytes());
            }
        }
        (shifted != value).then_some(shifted)
    }
}

impl Level {
    fn of(directory: &OwnedFd) -> io::Result<Self> {
        let stat = rustix::fs::fstat(directory)?;
        Ok(Self { device: stat.st_dev, inode: stat.st_ino, cookie: 0 })
    }

    /// Opens this directory from a subdirectory of it.
    fn open_from(&self, inner: &OwnedFd) -> io::Result<OwnedFd> {
        let directory = open(inner.as_fd(), OsStr::new(".."))?;
        let found = Self::of(&directory)?;
        if (found.device, found.inode) == (self.device, self.inode) {
            return Ok(directory);
        }
        Err(io::Error::other("a directory was moved meanwhile"))
    }
}

/// The extended attributes of a file that is not opened to read or write: opening a device or a FIFO would have an
/// effect.
struct Attributes {
    path: String,
    /// Their names, each followed by a NUL.
    names: Vec<u8>,
}

impl Attributes {
    fn of(file: BorrowedFd<'_>) -> rustix::io::Result<Self> {
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        let names = match rustix::fs::listxattr_query(&path) {
            Ok(0) | Err(Errno::OPNOTSUPP) => Vec::new(),
            Ok(_) => {
                let mut names = vec![0; ATTRIBUTE_LIMIT];
                let length = rustix::fs::listxattr(&path, &mut names)?;
                names.truncate(length);
                names
            }
            Err(errno) => return Err(errno),
        };
        Ok(Self { path, names })
    }

    fn get(&self, name: &str) -> rustix::io::Result<Option<Vec<u8>>> {
        if !self.names.split(|byte| *byte == 0).any(|known| known == name.as_bytes()) {
            return Ok(None);
        }
        let mut value = vec![0; ATTRIBUTE_LIMIT];
        let length = rustix::fs::getxattr(&self.path, name, &mut value)?;
        value.truncate(length);
        Ok(Some(value))
    }

    fn set(&self, name: &str, value: &[u8]) -> rustix::io::Result<()> {
        rustix::fs::setxattr(&self.path, name, value, XattrFlags::empty())
    }
}

/// Reads a note: mode, and capabilities where there were some.
fn read_note(note: &[u8]) -> Option<(u32, Option<Vec<u8>>)> {
    let (mode, capability) = note.split_at_checked(4)?;
    let mode = u32::from_le_bytes(mode.try_into().ok()?) & 0o7777;
    Some((mode, (!capability.is_empty()).then(|| capability.to_vec())))
}

fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

fn open(parent: BorrowedFd<'_>, name: &OsStr) -> io::Result<OwnedFd> {
    rustix::fs::openat2(parent, name, DIRECTORY, Mode::empty(), STAY).map_err(|errno| named(name, errno))
}

/// An error that names what could not be changed.
fn named(name: &OsStr, errno: Errno) -> io::Error {
    let what = match errno {
        Errno::XDEV => "something is mounted there".to_owned(),
        errno => crate::error::os_text(&errno.into()),
    };
    let name = name.as_bytes().escape_ascii();
    io::Error::new(io::Error::from(errno).kind(), format!("'{name}': {what}"))
}

#[cfg(test)]
mod tests;
