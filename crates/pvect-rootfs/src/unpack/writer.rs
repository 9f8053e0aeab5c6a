//! Writes archive members into a root, none of them outside of it.

mod make;
pub(super) mod member;
mod problem;

use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, OFlags};
use tar::EntryType;

use super::UnpackError;
use super::numbers::Time;
use super::pax::{Record, Records};
use super::reader::plain;
use super::sparse::Sparse;
use crate::idmap::IdMap;
use crate::rooted::Rooted;
use make::{special, stamps, symlink};
use member::{But, VOLUME_LABEL, is_device_file, is_member, kind_of, relative, value};
use problem::{Problem, named};

const BLOCK: usize = 128 * 1024;

/// Writes members below one root.
pub(super) struct Writer<'a> {
    root: Rooted,
    map: &'a IdMap,
    /// The directory of the last member, because members usually come directory by directory.
    parent: Option<(PathBuf, OwnedFd)>,
    /// Directories, whose times are set at the end, when nothing more is written into them.
    times: Vec<(PathBuf, Time)>,
    block: Vec<u8>,
    /// The records of the member that is being written, if they are read separately from the archive.
    records: Records,
    /// Whether a member replaces an existing file, as in the layers of an image.
    replaces: bool,
    /// Whether a member whose owner is not in the map is given to the container's root.
    lenient: bool,
}

/// How a member was written.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// As the archive has it.
    Whole,
    /// Not exactly: a line about it, and whether something of it is lost.
    But(String, bool),
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

    /// A writer for the layers of an image: each layer replaces files of those below.
    pub(super) fn of_layers(root: &Path, map: &'a IdMap) -> io::Result<Self> {
        Ok(Self { replaces: true, ..Self::new(root, map)? })
    }

    /// If the member is a whiteout, removes what the layers below have with this name, or in this directory. Returns
    /// whether it is one. Source: the OCI image specification, layer.md.
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
        removed.map_err(|problem| named(&String::from_utf8_lossy(name), problem))
    }

    /// Makes it write members whose owner is not in the map, with the container's root as the owner.
    pub(super) fn leniently(mut self, lenient: bool) -> Self {
        self.lenient = lenient;
        self
    }

    /// Makes it take the records of members from a [`super::pax::Stream`].
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
            Err(problem) => Err(named(&member, problem)),
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
        // There are none, or the header is damaged, in which case the crate returns an error.
        let mut found = Vec::new();
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record?;
            let Ok(key) = record.key() else { continue };
            found.push(Record { key: key.to_owned(), value: record.value_bytes().to_vec() });
        }
        Ok(found)
    }

    /// Opens the directory of a member, making what is missing of it.
    fn take_parent(&mut self, path: &Path) -> io::Result<(PathBuf, OwnedFd)> {
        match self.parent.take() {
            Some(parent) if parent.0 == path => Ok(parent),
            _ => Ok((path.to_owned(), self.root.make_dirs(path, 0o755)?)),
        }
    }

    /// Sets the times of the directories.
    pub(super) fn finish(self) -> Result<(), UnpackError> {
        for (path, mtime) in self.times {
            let fd = match self.root.open_at(&path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW) {
                // A later member of the layer has replaced it.
                Err(_) if self.replaces => continue,
                other => other,
            };
            let set = fd.and_then(|fd| Ok(rustix::fs::futimens(fd, &stamps(mtime))?));
            set.map_err(|error| named(&path.display().to_string(), Problem::Io(error)))?;
        }
        Ok(())
    }
}

/// A line about a member, in the form of tar.
pub(super) fn line(member: &str, what: &str) -> String {
    format!("tar: {}: {what}", plain(member))
}
