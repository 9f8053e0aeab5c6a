//! What the header and the extended header say of a member: path, type, owner, mode and times.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::FileType;
use tar::EntryType;

use super::Writer;
use super::problem::Problem;
use crate::unpack::attributes::{Attribute, attribute};
use crate::unpack::numbers::{self, Time};
use crate::unpack::pax::Record;

/// Types of GNU tar: the directory of a dump, a part of a file on several volumes, old long names, a label.
const DUMPED_DIRECTORY: u8 = b'D';
const CONTINUED: u8 = b'M';
const OLD_LONG_NAMES: u8 = b'N';
pub(super) const VOLUME_LABEL: u8 = b'V';

/// What every kind of member has.
pub(super) struct Meta {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
    pub(super) mtime: Time,
    pub(super) attributes: Vec<Attribute>,
    /// The owner and group in the archive, if they are not in the map.
    pub(super) lost: Option<(u64, u64)>,
}

/// How a written member differs from the archive.
pub(super) enum But {
    /// It belongs to the container's root instead of this user and group, which are not in the map.
    OtherOwner(u64, u64),
    /// Its type is unknown.
    UnknownKind(u8),
}

impl Writer<'_> {
    /// Maps the metadata.
    pub(super) fn meta(&self, header: &tar::Header, records: &[Record]) -> Result<Meta, Problem> {
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
                // Without set-user-id and set-group-id bits, so that a program of another user does not run as root.
                (uid, gid, mode & 0o1777, Some((user, group)))
            }
            (None, _) => return Err(Problem::Text(format!("the container's id map has no user {user}"))),
            (_, None) => return Err(Problem::Text(format!("the container's id map has no group {group}"))),
        };
        Ok(Meta { uid, gid, mode, mtime, attributes: attributes.collect(), lost })
    }

    /// Device nodes are for privileged containers only, as in the real pct, whose tar runs in the user namespace;
    /// the 0:0 node, which overlayfs uses as a whiteout, is allowed there too.
    pub(super) fn device(&self, kind: EntryType, header: &tar::Header) -> Result<(FileType, u64), Problem> {
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
}

/// The value of a record; the last one counts.
pub(super) fn value<'r>(records: &'r [Record], key: &str) -> Option<&'r [u8]> {
    records.iter().rev().find(|record| record.key == key).map(|record| &record.value[..])
}

/// A number from the extended header, or else from the header.
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

/// The type that a member is written as. A file whose name ends with a slash is a directory, as in the oldest archives;
/// a member of an unknown type becomes a file.
pub(super) fn kind_of(header: &tar::Header, name: &[u8]) -> (EntryType, Option<But>) {
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

/// The path of a member below the root: leading slashes and `.` dropped, `..` refused as GNU tar does.
pub(super) fn relative(name: &[u8]) -> Result<PathBuf, Problem> {
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
pub(in crate::unpack) fn is_member(name: &[u8], path: &Path) -> bool {
    relative(name).is_ok_and(|found| found == path)
}

/// LXC makes /dev itself.
pub(super) fn is_device_file(path: &Path) -> bool {
    path.strip_prefix("dev").is_ok_and(|rest| !rest.as_os_str().is_empty())
}
