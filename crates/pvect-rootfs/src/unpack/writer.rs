//! Writes archive members into a root, none of them outside of it.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use tar::EntryType;

use super::UnpackError;
use super::attributes::{Attribute, attribute};
use super::numbers::{self, Time};
use super::pax::{Record, Records};
use super::sparse::{self, Sparse};
use crate::error::os_text;
use crate::idmap::IdMap;
use crate::rooted::Rooted;

/// The largest file that is unpacked, in bytes: holes in an archive cost it nothing and us time.
const LARGEST_FILE: u64 = 1 << 40;
const BLOCK: usize = 128 * 1024;
/// Runs of zeros of this many bytes become holes.
const HOLE: usize = 4096;

/// Types of GNU tar: the directory of a dump, a part of a file on several volumes, long names of old, a label.
const DUMPED_DIRECTORY: u8 = b'D';
const CONTINUED: u8 = b'M';
const OLD_LONG_NAMES: u8 = b'N';
const VOLUME_LABEL: u8 = b'V';

/// Writes members below one root.
pub(super) struct Writer<'a> {
    root: Rooted,
    map: &'a IdMap,
    /// The directory of the last member: members mostly come directory by directory.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Directories, whose times are set when nothing more is put into them.
    times: Vec<(PathBuf, Time)>,
    block: Vec<u8>,
    /// The records of the member that is being written, where they are read apart from the archive.
    records: Records,
    /// Whether a member replaces what is there, as the layers of an image do.
    replaces: bool,
    /// Whether a member whose owner is not in the map goes to the container's root.
    lenient: bool,
}

/// How a member was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// As the archive has it.
    Whole,
    /// Not quite so: a line about it, and whether something of it is lost.
    But(String, bool),
}

/// What is common to every kind of member.
struct Meta {
    uid: u32,
    gid: u32,
    mode: u32,
    mtime: Time,
    attributes: Vec<Attribute>,
    /// The owner and group in the archive, if they are not in the map.
    lost: Option<(u64, u64)>,
}

/// How a member was not written quite as the archive has it.
enum But {
    /// It belongs to the container's root, and not to this user and group, which the map does not have.
    OtherOwner(u64, u64),
    /// It is of no known type.
    UnknownKind(u8),
}

/// Why one member failed, before its name is put to it.
enum Problem {
    Io(io::Error),
    Text(String),
    Interrupted,
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<sparse::Problem> for Problem {
    fn from(problem: sparse::Problem) -> Self {
        match problem {
            sparse::Problem::Io(error) => Self::Io(error),
            sparse::Problem::Map(text) => Self::Text(text.to_owned()),
            sparse::Problem::Interrupted => Self::Interrupted,
        }
    }
}

impl From<Errno> for Problem {
    fn from(error: Errno) -> Self {
        Self::Io(error.into())
    }
}

impl<'a> Writer<'a> {
    pub(super) fn new(root: &Path, map: &'a IdMap) -> io::Result<Self> {
        let root = Rooted::open(root, map.root())?;
        Ok(Self {
            root,
            map,
            parent: None,
            times: Vec::new(),
            block: vec![0; BLOCK],
            records: Records::default(),
            replaces: false,
            lenient: false,
        })
    }

    /// A writer for the layers of an image: what a layer has replaces what the ones below have.
    pub(super) fn of_layers(root: &Path, map: &'a IdMap) -> io::Result<Self> {
        Ok(Self { replaces: true, ..Self::new(root, map)? })
    }

    /// Does what a whiteout says: removes what the layers below have of this name, or in this directory. Returns
    /// whether the member is one. Source: the OCI image specification, layer.md.
    pub(super) fn whiteout(&mut self, name: &[u8]) -> Result<bool, UnpackError> {
        let removed = relative(name).and_then(|path| {
            let Some(file) = path.file_name().and_then(|file| file.as_bytes().strip_prefix(b".wh.")) else {
                return Ok(false);
            };
            let directory = path.parent().unwrap_or(Path::new(""));
            self.parent = None;
            if file == b".wh..opq" {
                self.root.clear(directory)?;
            } else if !file.is_empty() && !matches!(file, b"." | b"..") {
                self.root.remove_all(directory.join(OsStr::from_bytes(file)))?;
            }
            Ok(true)
        });
        removed.map_err(|problem| named(String::from_utf8_lossy(name).into_owned(), problem))
    }

    /// Has it write members whose owner is not in the map, as the container's root.
    pub(super) fn leniently(mut self, lenient: bool) -> Self {
        self.lenient = lenient;
        self
    }

    /// Has it take the records of members from here: those of a [`super::pax::Stream`].
    pub(super) fn with_records(mut self, records: &Records) -> Self {
        self.records = records.clone();
        self
    }

    /// Writes one member.
    pub(super) fn write<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Written, UnpackError> {
        let member = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        match self.try_write(entry, interrupted) {
            Ok(None) => Ok(Written::Whole),
            Ok(Some(But::OtherOwner(user, group))) => {
                let why = format!("Cannot change ownership to uid {user}, gid {group}: Invalid argument");
                Ok(Written::But(line(&member, &why), true))
            }
            Ok(Some(But::UnknownKind(kind))) => {
                let why = format!("Unknown file type '{}', extracted as normal file", kind.escape_ascii());
                Ok(Written::But(line(&member, &why), false))
            }
            Err(problem) => Err(named(member, problem)),
        }
    }

    fn try_write<R: Read>(
        &mut self,
        entry: &mut tar::Entry<'_, R>,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<Option<But>, Problem> {
        let records = self.records(entry)?;
        let value = |key: &str| value(&records, key);
        let sparse = Sparse::of(&records)?;
        let name = sparse.as_ref().and_then(|sparse| sparse.name.as_deref()).or(value("path"));
        let name = name.map_or_else(|| entry.path_bytes(), Cow::Borrowed).into_owned();
        let path = relative(&name)?;
        let target = value("linkpath").map(Cow::Borrowed).or_else(|| entry.link_name_bytes());
        let target = target.unwrap_or_default().into_owned();
        let (kind, unknown) = kind_of(entry.header(), &name);
        if kind.is_pax_global_extensions() || kind.as_byte() == VOLUME_LABEL || is_device_file(&path) {
            return Ok(None);
        }
        let meta = self.meta(entry.header(), &records)?;
        let but = meta.lost.map(|(user, group)| But::OtherOwner(user, group)).or(unknown);
        if path.as_os_str().is_empty() && !kind.is_dir() {
            return Ok(None);
        }
        if kind.is_dir() {
            return self.directory(&path, &meta).map(|()| but);
        }
        let no_name = || Problem::Text("it has no name".to_owned());
        let name = path.file_name().ok_or_else(no_name)?.to_owned();
        // A hard link to itself would lose its file.
        if self.replaces && !(kind.is_hard_link() && is_member(&target, &path)) {
            self.root.remove_all(&path)?;
            // What was removed may be the directory that is open.
            self.parent = None;
        }
        let parent = self.take_parent(path.parent().unwrap_or(Path::new("")))?;
        let made = match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                self.file(parent.1.as_fd(), &name, entry, sparse, &meta, interrupted)
            }
            EntryType::Link => self.hardlink(parent.1.as_fd(), &name, &target),
            EntryType::Symlink => symlink(parent.1.as_fd(), &name, &target, &meta),
            EntryType::Fifo => special(parent.1.as_fd(), &name, FileType::Fifo, 0, &meta),
            EntryType::Char | EntryType::Block => {
                let (node, device) = self.device(kind, entry.header())?;
                special(parent.1.as_fd(), &name, node, device, &meta)
            }
            other => Err(Problem::Text(format!(
                "members of the type '{}' are not supported",
                char::from(other.as_byte()).escape_default()
            ))),
        };
        self.parent = Some(parent);
        // A hard link has the owner of its file.
        made.map(|()| but.filter(|_| !kind.is_hard_link()))
    }

    /// The records of a member's extended header.
    fn records<R: Read>(&self, entry: &mut tar::Entry<'_, R>) -> Result<Vec<Record>, Problem> {
        let records = self.records.take();
        if !records.is_empty() {
            return Ok(records);
        }
        // There are none, or the header is damaged: the crate says so.
        let mut found = Vec::new();
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record?;
            let Ok(key) = record.key() else { continue };
            found.push(Record { key: key.to_owned(), value: record.value_bytes().to_vec() });
        }
        Ok(found)
    }

    /// Maps the metadata.
    fn meta(&self, header: &tar::Header, records: &[Record]) -> Result<Meta, Problem> {
        let attributes = records.iter().filter_map(|record| attribute(&record.key, &record.value, self.map));
        let stored = |key: &str, field| stored_number(header, records, key, field);
        let (user, group) = (stored("uid", numbers::UID)?, stored("gid", numbers::GID)?);
        let mapped = |id: u64, map: &dyn Fn(u32) -> Option<u32>| u32::try_from(id).ok().and_then(map);
        let owner = (mapped(user, &|id| self.map.user(id)), mapped(group, &|id| self.map.group(id)));
        let mode = stored("", numbers::MODE)?;
        let mode = u32::try_from(mode & 0o7777).unwrap_or(0);
        let mtime = match value(records, "mtime") {
            Some(text) => Time::parse(text).ok_or_else(|| not_a_number("mtime"))?,
            None => Time::of(
                numbers::number(&header.as_bytes()[numbers::MTIME]).ok_or_else(|| not_a_number("mtime"))?,
            ),
        };
        let (uid, gid, mode, lost) = match owner {
            (Some(uid), Some(gid)) => (uid, gid, mode, None),
            _ if self.lenient => {
                let (uid, gid) = self.root.owner();
                // Not for whoever owned it to run as root.
                (uid, gid, mode & 0o1777, Some((user, group)))
            }
            (None, _) => return Err(Problem::Text(format!("the container's id map has no user {user}"))),
            (_, None) => return Err(Problem::Text(format!("the container's id map has no group {group}"))),
        };
        Ok(Meta { uid, gid, mode, mtime, attributes: attributes.collect(), lost })
    }

    /// Opens the directory of a member, making what is missing of it.
    fn take_parent(&mut self, path: &Path) -> io::Result<(PathBuf, OwnedFd)> {
        match self.parent.take() {
            Some(parent) if parent.0 == path => Ok(parent),
            _ => Ok((path.to_owned(), self.root.make_dirs(path, 0o755)?)),
        }
    }

    fn directory(&mut self, path: &Path, meta: &Meta) -> Result<(), Problem> {
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
                // A symlink or a file has this name already and is kept.
                Err(Errno::LOOP | Errno::NOTDIR) => return Ok(()),
                other => other?,
            }
        } else {
            self.root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)?
        };
        // One that somebody changed already (on a volume that was there before) is kept as it is.
        let stat = rustix::fs::fstat(&fd)?;
        let untouched = (stat.st_uid, stat.st_gid) == self.root.owner() && stat.st_mode & 0o7777 == 0o755;
        if made || untouched {
            finish(fd.as_fd(), meta)?;
            self.times.push((path.to_owned(), meta.mtime));
        }
        Ok(())
    }

    fn file<R: Read>(
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

    fn hardlink(&self, parent: BorrowedFd<'_>, name: &OsStr, target: &[u8]) -> Result<(), Problem> {
        let target = relative(target)?;
        let missing = || Problem::Text(format!("its target '{}' is missing", target.display()));
        let last = target.file_name().ok_or_else(missing)?;
        let directory = match self.root.dir(target.parent().unwrap_or(Path::new(""))) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing()),
            other => other?,
        };
        // Without AT_SYMLINK_FOLLOW: a symlink is linked itself.
        match rustix::fs::linkat(&directory, last, parent, name, AtFlags::empty()) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(Errno::NOENT) => Err(missing()),
            Err(error) => Err(error.into()),
        }
    }

    /// Device nodes are for privileged containers only, as in the real pct, whose tar runs in the user namespace;
    /// the 0:0 node, which overlayfs uses as a whiteout, is allowed there too.
    fn device(&self, kind: EntryType, header: &tar::Header) -> Result<(FileType, u64), Problem> {
        let number = |field| {
            let number = numbers::number(&header.as_bytes()[field]);
            number.and_then(|number| u32::try_from(number).ok()).ok_or_else(|| not_a_number("device"))
        };
        let has_device = header.as_ustar().is_some() || header.as_gnu().is_some();
        let (major, minor) =
            if has_device { (number(numbers::MAJOR)?, number(numbers::MINOR)?) } else { (0, 0) };
        let node = if kind == EntryType::Char { FileType::CharacterDevice } else { FileType::BlockDevice };
        let whiteout = node == FileType::CharacterDevice && (major, minor) == (0, 0);
        if !self.map.is_identity() && !whiteout {
            return Err(Problem::Text("an unprivileged container cannot have device nodes".to_owned()));
        }
        Ok((node, rustix::fs::makedev(major, minor)))
    }

    /// Sets the times of the directories.
    pub(super) fn finish(self) -> Result<(), UnpackError> {
        for (path, mtime) in self.times {
            let fd = match self.root.open_at(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW) {
                // A later member of the layer took its place.
                Err(_) if self.replaces => continue,
                other => other,
            };
            let set = fd.and_then(|fd| Ok(rustix::fs::futimens(fd, &stamps(mtime))?));
            set.map_err(|error| named(path.display().to_string(), Problem::Io(error)))?;
        }
        Ok(())
    }
}

/// A line about a member, as tar words it.
pub(super) fn line(member: &str, what: &str) -> String {
    let safe = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    format!("tar: {}: {what}", member.chars().map(safe).collect::<String>())
}

/// The value of a record; what stands later counts.
fn value<'r>(records: &'r [Record], key: &str) -> Option<&'r [u8]> {
    records.iter().rev().find(|record| record.key == key).map(|record| &record.value[..])
}

/// A number of the extended header, else of the header.
fn stored_number(
    header: &tar::Header,
    records: &[Record],
    key: &str,
    field: std::ops::Range<usize>,
) -> Result<u64, Problem> {
    let number = match value(records, key) {
        Some(text) => std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()),
        None => numbers::number(&header.as_bytes()[field]).and_then(|number| u64::try_from(number).ok()),
    };
    number.ok_or_else(|| not_a_number(if key.is_empty() { "mode" } else { key }))
}

fn not_a_number(what: &str) -> Problem {
    Problem::Text(format!("its {what} is not a number that it can have"))
}

/// What is made of a member. A file whose name ends with a slash is a directory, as the oldest archives have them; what is
/// of no known type is a file.
fn kind_of(header: &tar::Header, name: &[u8]) -> (EntryType, Option<But>) {
    let kind = header.entry_type();
    match kind.as_byte() {
        b'0' | b'7' if name.ends_with(b"/") => (EntryType::Directory, None),
        DUMPED_DIRECTORY => (EntryType::Directory, None),
        b'0'..=b'7' | b'g' | b'x' | b'L' | b'K' | b'S' | CONTINUED | OLD_LONG_NAMES | VOLUME_LABEL => {
            (kind, None)
        }
        byte => (EntryType::Regular, Some(But::UnknownKind(byte))),
    }
}

fn named(member: String, problem: Problem) -> UnpackError {
    match problem {
        Problem::Interrupted => UnpackError::Interrupted,
        Problem::Text(what) => UnpackError::Member { member, what, full: false },
        Problem::Io(error) => {
            let full = matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
            UnpackError::Member { member, what: os_text(&error), full }
        }
    }
}

/// The path of a member below the root: leading slashes and `.` dropped, `..` refused as GNU tar does.
fn relative(name: &[u8]) -> Result<PathBuf, Problem> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(name)).components() {
        match component {
            Component::Normal(part) => path.push(part),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
            Component::ParentDir => return Err(Problem::Text("its path contains '..'".to_owned())),
        }
    }
    Ok(path)
}

/// Whether a member's name leads to a path below the root.
pub(super) fn is_member(name: &[u8], path: &Path) -> bool {
    relative(name).is_ok_and(|found| found == path)
}

/// LXC makes /dev itself.
fn is_device_file(path: &Path) -> bool {
    path.strip_prefix("dev").is_ok_and(|rest| !rest.as_os_str().is_empty())
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

fn symlink(parent: BorrowedFd<'_>, name: &OsStr, target: &[u8], meta: &Meta) -> Result<(), Problem> {
    match rustix::fs::symlinkat(OsStr::from_bytes(target), parent, name) {
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    }
    let nofollow = AtFlags::SYMLINK_NOFOLLOW;
    let (uid, gid) = (Uid::from_raw(meta.uid), Gid::from_raw(meta.gid));
    rustix::fs::chownat(parent, name, Some(uid), Some(gid), nofollow)?;
    Ok(rustix::fs::utimensat(parent, name, &stamps(meta.mtime), nofollow)?)
}

fn special(
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
    // The node was made just now and nothing else works in this root: it is not a symlink.
    rustix::fs::chmodat(parent, name, Mode::from_raw_mode(meta.mode), AtFlags::empty())?;
    Ok(rustix::fs::utimensat(parent, name, &stamps(meta.mtime), nofollow)?)
}

fn stamps(mtime: Time) -> Timestamps {
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
