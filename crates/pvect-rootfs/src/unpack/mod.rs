//! Unpacks templates into a root file system.
//!
//! The archive is read by the `tar` crate and written here, so that nothing leads out of the root: every path is
//! resolved inside it (`crate::rooted`), members with `..` are refused, leading slashes are dropped, what is made is
//! made by its last component in an open directory and never through a symlink of that name.
//!
//! As the real pct (GNU tar with `--skip-old-files --exclude './dev/*'`): what exists is kept, device files below
//! `/dev` are left out, owners are the container's (shifted for unprivileged ones), modes, times, hardlinks, POSIX
//! ACLs, `user.*` attributes and file capabilities are kept.

mod attributes;
mod numbers;
pub mod oci;
mod pax;
mod reader;
mod sparse;
mod writer;

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub use reader::{Compression, in_proportion};

use crate::Failure;
use crate::error::os_text;
use crate::idmap::IdMap;
use writer::{Writer, Written};

/// The most members of an archive; a distribution has less than a million files.
const MOST_MEMBERS: u64 = 10_000_000;

/// Why an archive could not be unpacked.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// The archive cannot be opened or read.
    #[error("failed to read '{}' - {}", path.display(), os_text(source))]
    Read {
        /// The archive.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is no tar archive, or a damaged one.
    #[error("'{}' is not a template archive: {what}", path.display())]
    NotAnArchive {
        /// The archive.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// A member cannot be unpacked.
    #[error("can't unpack '{member}' - {what}")]
    Member {
        /// The member's name.
        member: String,
        /// Why.
        what: String,
        /// Whether the disk is full.
        full: bool,
    },
    /// A signal came.
    #[error("interrupted by signal")]
    Interrupted,
}

impl From<UnpackError> for Failure {
    fn from(error: UnpackError) -> Self {
        Self::new(error.to_string())
    }
}

/// What was unpacked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Bytes of the archive, unpacked, in whole records of 10240 as GNU tar counts.
    pub bytes: u64,
    /// How long it took.
    pub time: Duration,
    /// How many members were left out or lost something (with `ignore_errors` only).
    pub failed: u64,
}

impl Summary {
    /// Returns what GNU tar ends with: [`Summary::line`], and a line about what failed.
    pub fn lines(&self) -> Vec<String> {
        let failed = "tar: Exiting with failure status due to previous errors".to_owned();
        std::iter::once(self.line()).chain((self.failed > 0).then_some(failed)).collect()
    }

    /// Returns the line that GNU tar ends with: `Total bytes read: 2150400 (2.1MiB, 92MiB/s)`.
    pub fn line(&self) -> String {
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let rate = self.bytes as f64 / self.time.as_secs_f64().max(1e-6);
        #[expect(clippy::cast_precision_loss, reason = "a size for people")]
        let size = self.bytes as f64;
        format!("Total bytes read: {} ({}, {}/s)", self.bytes, human(size), human(rate))
    }
}

/// A size in GNU tar's form: rounded up, one decimal below ten.
fn human(bytes: f64) -> String {
    let mut value = bytes;
    for unit in ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"] {
        if value < 1024.0 || unit == "EiB" {
            let tenths = (value * 10.0).ceil() / 10.0;
            return match unit {
                "B" => format!("{}{unit}", value.ceil()),
                _ if tenths < 10.0 => format!("{tenths:.1}{unit}"),
                _ => format!("{}{unit}", value.ceil()),
            };
        }
        value /= 1024.0;
    }
    String::new()
}

/// How an archive is unpacked.
pub struct Options<'a> {
    /// From the container's ids to the host's.
    pub idmap: &'a IdMap,
    /// Carry on when a member cannot be unpacked. A member whose owner is not in the map belongs to the container's
    /// root, without set-user-id and set-group-id bits.
    pub ignore_errors: bool,
    /// Gets a line for each member that was left out or changed.
    pub report: &'a dyn Fn(&str),
    /// The most bytes that it may unpack to, see [`in_proportion`]; `None` for an archive of our own making, which may
    /// hold any amount of zeros.
    pub most: Option<u64>,
    /// Asked by [`extract`] every few MiB: an error of the kind [`io::ErrorKind::StorageFull`] ends the work, for it would leave too
    /// little room on a disk.
    pub room: &'a dyn Fn() -> io::Result<()>,
    /// Asked between members and blocks; `true` ends the work.
    pub interrupted: &'a dyn Fn() -> bool,
}

impl Options<'_> {
    /// Reports a member that was left out or changed; returns whether it is whole.
    fn judge(&self, written: Result<Written, UnpackError>) -> Result<bool, UnpackError> {
        match written {
            Ok(Written::Whole) => Ok(true),
            Ok(Written::But(line, is_lost)) => {
                (self.report)(&line);
                Ok(!is_lost)
            }
            Err(UnpackError::Member { member, what, full: false }) if self.ignore_errors => {
                (self.report)(&writer::line(&member, &what));
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }
}

/// Unpacks an archive into an existing directory.
///
/// # Errors
/// When the file is no tar archive (plain, or packed by gzip, bzip2, xz or zstd), is damaged, or a member cannot be
/// unpacked. What was unpacked by then stays; the caller removes the whole root.
pub fn extract(archive: &Path, root: &Path, options: &Options<'_>) -> Result<Summary, UnpackError> {
    or_interrupted(options.interrupted, unpack(archive, root, options))
}

/// What failed once a signal had come failed because of it.
fn or_interrupted<T>(interrupted: &dyn Fn() -> bool, done: Result<T, UnpackError>) -> Result<T, UnpackError> {
    done.map_err(|error| if interrupted() { UnpackError::Interrupted } else { error })
}

fn unpack(archive: &Path, root: &Path, options: &Options<'_>) -> Result<Summary, UnpackError> {
    let read_failed = |source| UnpackError::Read { path: archive.to_owned(), source };
    let started = Instant::now();
    let file = File::open(archive).map_err(read_failed)?;
    let stream = reader::open(file).map_err(|error| reader::explain(archive, error))?;
    let allowance = reader::Allowance::new(options.most);
    let stream = reader::Watched::new(allowance.of(stream), options.interrupted, options.room);
    let counted = reader::Counted::new(stream);
    let count = counted.count();
    let records = pax::Records::default();
    let mut tar = tar::Archive::new(pax::Stream::new(counted, &records));
    let writer = Writer::new(root, options.idmap).map_err(read_failed)?;
    let mut writer = writer.with_records(&records).leniently(options.ignore_errors);
    let mut members = 0_u64;
    let mut failed = 0_u64;
    for entry in tar.entries().map_err(|error| reader::explain(archive, error))? {
        if (options.interrupted)() {
            return Err(UnpackError::Interrupted);
        }
        let mut entry = entry.map_err(|error| reader::explain(archive, error))?;
        members += 1;
        check_members(archive, members, MOST_MEMBERS)?;
        failed += u64::from(!options.judge(writer.write(&mut entry, options.interrupted))?);
    }
    if members == 0 {
        return Err(UnpackError::NotAnArchive {
            path: archive.to_owned(),
            what: "it has no members".to_owned(),
        });
    }
    writer.finish()?;
    let bytes = count.get().next_multiple_of(10_240);
    Ok(Summary { bytes, time: started.elapsed(), failed })
}

/// Checks that a file is an archive, by its beginning.
///
/// # Errors
/// When it is not one, with what it is instead, if that is known; when it cannot be read.
pub fn check(archive: &Path) -> Result<(), UnpackError> {
    let read_failed = |source| UnpackError::Read { path: archive.to_owned(), source };
    let not_one = |what: &str| UnpackError::NotAnArchive { path: archive.to_owned(), what: what.to_owned() };
    let file = File::open(archive).map_err(read_failed)?;
    let mut head = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(&file, reader::HEAD), &mut head).map_err(read_failed)?;
    if head.is_empty() {
        return Err(not_one("it is empty"));
    }
    if let Some(other) = reader::other_kind(&head) {
        return Err(not_one(&format!("it is {other}")));
    }
    io::Seek::rewind(&mut &file).map_err(read_failed)?;
    let mut stream = reader::open(file).map_err(|error| reader::explain(archive, error))?;
    let mut header = [0; 512];
    io::Read::read_exact(&mut stream, &mut header).map_err(|error| reader::explain(archive, error))?;
    // A block of zeros is the end of an archive. That it has no members is reported when it is unpacked.
    if header != [0; 512] && numbers::rewrite(&mut header).is_none() {
        return Err(not_one("what is in it is not a tar"));
    }
    Ok(())
}

fn check_members(archive: &Path, members: u64, most: u64) -> Result<(), UnpackError> {
    if members <= most {
        return Ok(());
    }
    let what = format!("it has more than {most} members");
    Err(UnpackError::NotAnArchive { path: archive.to_owned(), what })
}

/// How far an archive is searched for a member.
pub struct Search<'a> {
    /// The largest member that is read, bytes.
    pub largest: u64,
    /// The most bytes that the archive may unpack to before the member comes, see [`in_proportion`].
    pub most: Option<u64>,
    /// Asked between two reads; `true` ends the work.
    pub interrupted: &'a dyn Fn() -> bool,
}

/// Reads one regular member of an archive, by its path below the root; `None` when there is none.
///
/// # Errors
/// When the archive cannot be read, or the member is larger or comes later than the search goes;
/// [`UnpackError::Interrupted`].
pub fn read_member(archive: &Path, name: &Path, search: &Search<'_>) -> Result<Option<Vec<u8>>, UnpackError> {
    or_interrupted(search.interrupted, find_member(archive, name, search, MOST_MEMBERS))
}

fn find_member(
    archive: &Path,
    name: &Path,
    search: &Search<'_>,
    most_members: u64,
) -> Result<Option<Vec<u8>>, UnpackError> {
    let file =
        File::open(archive).map_err(|source| UnpackError::Read { path: archive.to_owned(), source })?;
    let explain = |error| reader::explain(archive, error);
    let records = pax::Records::default();
    let allowance = reader::Allowance::new(search.most);
    let stream = allowance.of(reader::open(file).map_err(explain)?);
    let stream = reader::Watched::new(stream, search.interrupted, &|| Ok(()));
    let mut tar = tar::Archive::new(pax::Stream::new(stream, &records));
    let mut members = 0_u64;
    for entry in tar.entries().map_err(explain)? {
        let mut entry = entry.map_err(explain)?;
        members += 1;
        check_members(archive, members, most_members)?;
        if !entry.header().entry_type().is_file() || !writer::member::is_member(&entry.path_bytes(), name) {
            continue;
        }
        if entry.size() > search.largest {
            let what = format!("it has {} bytes, more than {}", entry.size(), search.largest);
            return Err(UnpackError::Member { member: name.display().to_string(), what, full: false });
        }
        let mut bytes = Vec::new();
        io::Read::read_to_end(&mut entry, &mut bytes).map_err(explain)?;
        return Ok(Some(bytes));
    }
    if members == 0 {
        let what = "it has no members".to_owned();
        return Err(UnpackError::NotAnArchive { path: archive.to_owned(), what });
    }
    Ok(None)
}

/// Bounds what the tar crate keeps in memory of a stream of tar blocks: long names, extended headers, and the maps of
/// sparse files.
///
/// For a stream from somebody else that is not unpacked by [`extract`]. What is beyond the bounds, and an extended
/// header that is damaged or has a name with a line break, is an error of the kind `InvalidData` when it is read.
pub fn bounded(from: impl io::Read) -> impl io::Read {
    pax::Stream::new(from, &pax::Records::default()).with_plain_names()
}

#[cfg(test)]
mod gnu;
#[cfg(test)]
mod tests;
