//! Makes what a member is, by its name in an open directory.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::Writer;
use super::member::{Meta, relative};
use super::problem::Problem;
use crate::unpack::numbers::Time;
use crate::unpack::sparse::Sparse;

/// The largest file that is unpacked, in bytes: holes take no space in an archive, but take time here.
const LARGEST_FILE: u64 = 1 << 40;
/// Runs of zeros of this many bytes become holes.
const HOLE: usize = 4096;

impl Writer<'_> {
    pub(super) fn directory(&mut self, path: &Path, meta: &Meta) -> Result<(), Problem> {
        let mut made = false;
        let fd = if let Some(name) = path.file_name() {
            let parent = self.take_parent(path.parent().unwrap_or(Path::new("")))?;
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            if self.replaces
                && matches!(
                    rustix::fs::openat(&parent.1, name, flags, Mode::empty()),
                    Err(Errno::LOOP | Errno::NOTDIR)
                )
            {
                rustix::fs::unlinkat(&parent.1, name, AtFlags::empty())?;
            }
            let mkdir = rustix::fs::mkdirat(&parent.1, name, Mode::from_raw_mode(0o700));
            made = mkdir.is_ok() || self.replaces;
            let opened = match mkdir {
                Ok(()) | Err(Errno::EXIST) => rustix::fs::openat(&parent.1, name, flags, Mode::empty()),
                Err(error) => Err(error),
            };
            self.parent = Some(parent);
            match opened {
                // A symlink or a file with this name exists and is kept.
                Err(Errno::LOOP | Errno::NOTDIR) => return Ok(()),
                other => other?,
            }
        } else {
            self.root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?
        };
        // An existing directory that somebody has changed (on an older volume) is kept as it is.
        let stat = rustix::fs::fstat(&fd)?;
        let untouched = (stat.st_uid, stat.st_gid) == self.root.owner() && stat.st_mode & 0o7777 == 0o755;
        if made || untouched {
            finish(fd.as_fd(), meta)?;
            self.times.push((path.to_owned(), meta.mtime));
        }
        Ok(())
    }

    pub(super) fn file<R: Read>(
        &mut self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        entry: &mut tar::Entry<'_, R>,
        sparse: Option<Sparse>,
        meta: &Meta,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<(), Problem> {
        let size = sparse.as_ref().map_or(entry.size(), |sparse| sparse.size);
        if size > LARGEST_FILE {
            return Err(Problem::Text(format!("it has {size} bytes, more than 1 TiB")));
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = match rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600)) {
            Err(Errno::EXIST) => return Ok(()),
            other => other?,
        };
        let mut file = File::from(fd);
        match sparse {
            Some(sparse) => sparse.copy(entry, &file, &mut self.block, interrupted)?,
            None => copy(entry, &mut file, &mut self.block, interrupted)?,
        }
        finish(file.as_fd(), meta)?;
        rustix::fs::futimens(&file, &stamps(meta.mtime))?;
        Ok(())
    }

    pub(super) fn hardlink(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        target: &[u8],
    ) -> Result<(), Problem> {
        let target = relative(target)?;
        let missing = || Problem::Text(format!("its target '{}' is missing", target.display()));
        let last = target.file_name().ok_or_else(missing)?;
        let directory = match self.root.dir(target.parent().unwrap_or(Path::new(""))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            other => other?,
        };
        // Without AT_SYMLINK_FOLLOW, so that a symlink itself is linked.
        match rustix::fs::linkat(&directory, last, parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(Errno::NOENT) => Err(missing()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Owner first: a change of owner drops set-user-id bits and capabilities.
fn finish(fd: BorrowedFd<'_>, meta: &Meta) -> Result<(), Problem> {
    rustix::fs::fchown(fd, Some(Uid::from_raw(meta.uid)), Some(Gid::from_raw(meta.gid)))?;
    rustix::fs::fchmod(fd, Mode::from_raw_mode(meta.mode))?;
    for attribute in &meta.attributes {
        match rustix::fs::fsetxattr(fd, attribute.name.as_str(), &attribute.value, XattrFlags::empty()) {
            // A file system without them: as tar's --warning=no-xattr-write.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

pub(super) fn symlink(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    target: &[u8],
    meta: &Meta,
) -> Result<(), Problem> {
    match rustix::fs::symlinkat(OsStr::from_bytes(target), parent, name) {
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    }
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
    rustix::fs::chownat(parent, name, Some(uid), Some(gid), nofollow)?;
    Ok(rustix::fs::utimensat(parent, name, &stamps(meta.mtime), nofollow)?)
}

pub(super) fn special(
    parent: BorrowedFd<'_>,
    name: &OsStr,
    kind: FileType,
    device: u64,
    meta: &Meta,
) -> Result<(), Problem> {
    match rustix::fs::mknodat(parent, name, kind, Mode::from_raw_mode(0o600), device) {
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    }
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
    rustix::fs::chownat(parent, name, Some(uid), Some(gid), nofollow)?;
    // The node was just made and nothing else is working in this root, so it is not a symlink.
    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(meta.mode), AtFlags::empty())?;
    Ok(rustix::fs::utimensat(parent, name, &stamps(meta.mtime), nofollow)?)
}

pub(super) fn stamps(mtime: Time) -> Timestamps {
    let time = Timespec { tv_sec: mtime.seconds, tv_nsec: mtime.nanoseconds.into() };
    Timestamps { last_access: time, last_modification: time }
}

/// Copies a member's data; blocks of zeros become holes.
fn copy(
    from: &mut impl Read,
    to: &mut File,
    block: &mut [u8],
    interrupted: &dyn Fn() -> bool,
) -> Result<(), Problem> {
    let mut length = 0_u64;
    let mut hole = false;
    loop {
        if interrupted() {
            return Err(Problem::Interrupted);
        }
        let count = match from.read(block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error.into()),
        };
        let data = &block[..count];
        hole = count >= HOLE && data.iter().all(|byte| *byte == 0);
        if hole {
            to.seek(SeekFrom::Current(i64::try_from(count).unwrap_or(0)))?;
        } else {
            to.write_all(data)?;
        }
        length += count as u64;
    }
    if hole {
        to.set_len(length)?;
    }
    Ok(())
}
