//! A root file system seen from outside: paths that cannot lead out of it.
//!
//! Every path is resolved by openat2(2) with `RESOLVE_IN_ROOT` and `RESOLVE_NO_MAGICLINKS`: symlinks inside, absolute
//! ones and `..` included, end inside. The last component is never followed where something is written.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, CWD, FileType, Gid, Mode, OFlags, ResolveFlags, Stat, Uid};
use rustix::io::Errno;

/// How a path is resolved below the root.
const INSIDE: ResolveFlags = ResolveFlags::IN_ROOT.union(ResolveFlags::NO_MAGICLINKS);
/// The largest file that [`Rooted::read`] returns, in bytes.
pub const READ_LIMIT: u64 = 4 << 20;

/// An open root directory, and who owns what is made in it.
#[derive(Debug)]
pub struct Rooted {
    fd: OwnedFd,
    owner: (u32, u32),
}

impl Rooted {
    /// Opens a root directory; files made in it get this owner and group (host ids).
    ///
    /// # Errors
    /// When it is not a directory or cannot be opened.
    pub fn open(root: &Path, owner: (u32, u32)) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { fd: rustix::fs::openat(CWD, root, flags, Mode::empty())?, owner })
    }

    /// Opens a path inside, links followed (inside only).
    ///
    /// # Errors
    /// Those of openat2(2).
    pub fn open_at(&self, path: impl AsRef<Path>, flags: OFlags) -> io::Result<OwnedFd> {
        // EAGAIN: something was renamed or mounted meanwhile and the kernel could not tell whether it stayed inside.
        for _ in 0..32 {
            match rustix::fs::openat2(
                &self.fd,
                inside(path.as_ref()),
                flags | OFlags::CLOEXEC,
                Mode::empty(),
                INSIDE,
            ) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                result => return Ok(result?),
            }
        }
        Err(Errno::AGAIN.into())
    }

    /// Opens a directory inside (as a place only, `O_PATH`).
    ///
    /// # Errors
    /// When it is missing, or not a directory.
    pub fn dir(&self, path: impl AsRef<Path>) -> io::Result<OwnedFd> {
        self.open_at(path, OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Opens a directory inside and makes what is missing of it, with this mode.
    ///
    /// # Errors
    /// When a component is not a directory or cannot be made.
    pub fn make_dirs(&self, path: impl AsRef<Path>, mode: u32) -> io::Result<OwnedFd> {
        let path = path.as_ref();
        match self.dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            result => return result,
        }
        let Some(name) = path.file_name() else { return self.dir(path) };
        let parent = self.make_dirs(path.parent().unwrap_or(Path::new("")), mode)?;
        match rustix::fs::mkdirat(&parent, name, Mode::from_raw_mode(mode)) {
            Ok(()) => {
                let made = rustix::fs::openat(
                    &parent,
                    name,
                    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC,
                    Mode::empty(),
                )?;
                rustix::fs::fchown(&made, Some(self.uid()), Some(self.gid()))?;
                // The umask has removed bits from the mode that mkdir was given.
                rustix::fs::fchmod(&made, Mode::from_raw_mode(mode))?;
                Ok(made)
            }
            // Another process has made it meanwhile, or a dangling symlink has this name.
            Err(Errno::EXIST) => match self.dir(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Errno::NOTDIR.into()),
                result => result,
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Returns the state of a path without following its last component; `None` when there is nothing.
    ///
    /// # Errors
    /// Other than missing.
    pub fn lstat(&self, path: impl AsRef<Path>) -> io::Result<Option<Stat>> {
        match self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW) {
            Ok(fd) => Ok(Some(rustix::fs::fstat(fd)?)),
            Err(error) if absent(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Returns whether a path leads to a regular file, links followed.
    pub fn is_file(&self, path: impl AsRef<Path>) -> bool {
        self.kind(path) == Some(FileType::RegularFile)
    }

    /// Returns whether a path leads to a directory, links followed.
    pub fn is_dir(&self, path: impl AsRef<Path>) -> bool {
        self.kind(path) == Some(FileType::Directory)
    }

    fn kind(&self, path: impl AsRef<Path>) -> Option<FileType> {
        let fd = self.open_at(path, OFlags::PATH).ok()?;
        Some(FileType::from_raw_mode(rustix::fs::fstat(fd).ok()?.st_mode))
    }

    /// Reads a regular file whole, links followed; `None` when there is none.
    ///
    /// # Errors
    /// When it cannot be read or is larger than [`READ_LIMIT`].
    pub fn read(&self, path: impl AsRef<Path>) -> io::Result<Option<Vec<u8>>> {
        let path = path.as_ref();
        // Look first, because merely opening a device may have an effect. Then open without blocking, so that a fifo
        // with this name cannot hold us up.
        match self.open_at(path, OFlags::PATH) {
            Ok(fd) if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) == FileType::RegularFile => {}
            Ok(_) => return Ok(None),
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        }
        let fd = match self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY) {
            Ok(fd) => fd,
            Err(error) if absent(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        if FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode) != FileType::RegularFile {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        std::fs::File::from(fd).take(READ_LIMIT + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > READ_LIMIT { Err(Errno::FBIG.into()) } else { Ok(Some(bytes)) }
    }

    /// Reads a text file; bytes that are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    /// As [`Rooted::read`].
    pub fn read_text(&self, path: impl AsRef<Path>) -> io::Result<Option<String>> {
        Ok(self.read(path)?.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// Reads the target of a symlink; `None` when it is not one.
    pub fn read_link(&self, path: impl AsRef<Path>) -> Option<std::path::PathBuf> {
        let path = path.as_ref();
        let parent = self.dir(path.parent()?).ok()?;
        let target = rustix::fs::readlinkat(parent, path.file_name()?, Vec::new()).ok()?;
        Some(Path::new(OsStr::from_bytes(target.as_bytes())).to_owned())
    }

    /// Writes a file: writes a temporary file beside it and renames that. A symlink with this name is replaced, and
    /// missing directories are made (0755). The owner is the container's root. Not synced: a guest that is not started
    /// after a crash of the host is set up again at its next start.
    ///
    /// # Errors
    /// When it cannot be written; the old file is then untouched.
    pub fn write(&self, path: impl AsRef<Path>, bytes: &[u8], mode: u32) -> io::Result<()> {
        self.write_as(path.as_ref(), bytes, mode, self.owner)
    }

    /// As [`Rooted::write`], with an owner of its own (host ids).
    ///
    /// # Errors
    /// As [`Rooted::write`].
    pub fn write_as(&self, path: &Path, bytes: &[u8], mode: u32, owner: (u32, u32)) -> io::Result<()> {
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = self.make_dirs(path.parent().unwrap_or(Path::new("")), 0o755)?;
        let mut temporary = OsStr::new(".").to_owned();
        temporary.push(name);
        temporary.push(format!(".pvect-{}", std::process::id()));
        let _ = rustix::fs::unlinkat(&parent, &temporary, AtFlags::empty());
        let written = self
            .write_new(parent.as_fd(), &temporary, bytes, mode, owner)
            .and_then(|()| Ok(rustix::fs::renameat(&parent, &temporary, &parent, name)?));
        if written.is_err() {
            let _ = rustix::fs::unlinkat(&parent, &temporary, AtFlags::empty());
        }
        written
    }

    fn write_new(
        &self,
        parent: BorrowedFd<'_>,
        name: &OsStr,
        bytes: &[u8],
        mode: u32,
        owner: (u32, u32),
    ) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o600))?;
        let mut file = std::fs::File::from(fd);
        file.write_all(bytes)?;
        rustix::fs::fchown(&file, Some(Uid::from_raw(owner.0)), Some(Gid::from_raw(owner.1)))?;
        Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(mode))?)
    }

    /// Makes a symlink; what has its name is replaced unless it is a directory.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn symlink(&self, target: &str, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = self.make_dirs(path.parent().unwrap_or(Path::new("")), 0o755)?;
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
        }
        rustix::fs::symlinkat(target, &parent, name)?;
        let nofollow = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::chownat(&parent, name, Some(self.uid()), Some(self.gid()), nofollow)?)
    }

    /// Removes a file or symlink; a missing one is fine.
    ///
    /// # Errors
    /// When it exists but cannot be removed.
    pub fn remove(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let name = path.file_name().ok_or(Errno::INVAL)?;
        let parent = match self.dir(path.parent().unwrap_or(Path::new(""))) {
            Ok(parent) => parent,
            Err(error) if absent(&error) => return Ok(()),
            Err(error) => return Err(error),
        };
        match rustix::fs::unlinkat(&parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Removes a directory if it is empty; a symlink of this name is left alone.
    pub fn remove_empty_dir(&self, path: impl AsRef<Path>) {
        let path = path.as_ref();
        if let (Some(name), Ok(parent)) = (path.file_name(), self.dir(path.parent().unwrap_or(Path::new(""))))
        {
            let _ = rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR);
        }
    }

    /// Removes a file, a symlink, or a directory with everything in it; a missing one is fine.
    ///
    /// # Errors
    /// When something of it cannot be removed, such as a directory where something is mounted.
    pub fn remove_all(&self, path: impl AsRef<Path>) -> io::Result<()> {
        let path = path.as_ref();
        let name = path.file_name().ok_or(Errno::INVAL)?;
        match self.dir(path.parent().unwrap_or(Path::new(""))) {
            Ok(parent) => crate::removal::remove_tree(parent, name),
            Err(error) if absent(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Removes everything in a directory; a missing one is fine.
    ///
    /// # Errors
    /// As [`Rooted::remove_all`].
    pub fn clear(&self, path: impl AsRef<Path>) -> io::Result<()> {
        match self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW) {
            Ok(directory) => crate::removal::clear(&directory),
            Err(error) if absent(&error) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Lists the names in a directory inside, sorted; none when it is missing.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn names(&self, path: impl AsRef<Path>) -> io::Result<Vec<String>> {
        let fd = match self.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY) {
            Ok(fd) => fd,
            Err(error) if absent(&error) => return Ok(Vec::new()),
            Err(error) => return Err(error),
        };
        let mut names = Vec::new();
        for entry in rustix::fs::Dir::read_from(fd)? {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        names.sort();
        Ok(names)
    }

    /// The owner of what is made, as host ids.
    pub fn owner(&self) -> (u32, u32) {
        self.owner
    }

    fn uid(&self) -> Uid {
        Uid::from_raw(self.owner.0)
    }

    fn gid(&self) -> Gid {
        Gid::from_raw(self.owner.1)
    }
}

impl AsFd for Rooted {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Returns whether a file lies on proc or sysfs, where reading or opening may act on the host.
pub fn is_of_kernel(file: impl AsFd) -> bool {
    /// Source: linux/magic.h.
    const KINDS: [i64; 5] = [0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163, 0x7363_6673];
    rustix::fs::fstatfs(file).is_ok_and(|found| KINDS.contains(&found.f_type))
}

/// Returns whether an open file is a regular one or a directory: reading anything else may never end, or may have an
/// effect.
pub fn is_plain(file: impl AsFd) -> bool {
    let kind = rustix::fs::fstat(file).map(|stat| FileType::from_raw_mode(stat.st_mode));
    matches!(kind, Ok(FileType::RegularFile | FileType::Directory))
}

/// The root itself is `.`, because openat2 does not accept an empty path.
fn inside(path: &Path) -> &Path {
    if path.as_os_str().is_empty() { Path::new(".") } else { path }
}

fn absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

#[cfg(test)]
mod tests;
