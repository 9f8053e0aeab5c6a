//! The end of a file that grows.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags, open};

/// How much is read at a time, bytes. Of a longer end, what is before it is left out.
const LIMIT: u64 = 1024 * 1024;

/// The end of a log, and then what is added to it.
///
/// Only a regular file is read: a guest may write to where its console is logged, and a pipe or a device of its choice
/// would hold up the reader, or answer it.
#[derive(Debug)]
pub struct Tail {
    path: PathBuf,
    /// Which file it was, and how far it was read.
    read: Option<(u64, u64, u64)>,
}

impl Tail {
    /// Makes a reader; nothing is opened yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), read: None }
    }

    /// Reads the last lines, at most `lines` and 1 MiB, as they are; what comes later is for [`Tail::more`].
    ///
    /// # Errors
    /// When it is not a regular file, or cannot be read.
    pub fn last(&mut self, lines: usize) -> io::Result<Vec<u8>> {
        let mut file = self.open()?;
        let meta = file.metadata()?;
        let from = meta.len().saturating_sub(LIMIT);
        let bytes = self.take(&mut file, from)?;
        // The first one of what was cut is not whole.
        let cut =
            if from > 0 { bytes.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) } else { 0 };
        let text = &bytes[cut..];
        let ends = text.iter().enumerate().rev().filter(|(at, byte)| **byte == b'\n' && at + 1 < text.len());
        let start = match lines {
            0 => text.len(),
            lines => ends.map(|(at, _)| at + 1).nth(lines - 1).unwrap_or(0),
        };
        Ok(text[start..].to_vec())
    }

    /// Reads what was added since the last call, at most 1 MiB; all of a file that took the place of the earlier one,
    /// or was emptied.
    ///
    /// # Errors
    /// As [`Tail::last`].
    pub fn more(&mut self) -> io::Result<Vec<u8>> {
        let mut file = self.open()?;
        let meta = file.metadata()?;
        let from = match self.read {
            Some((dev, ino, at)) if (dev, ino) == (meta.dev(), meta.ino()) && at <= meta.len() => at,
            _ => 0,
        };
        self.take(&mut file, from)
    }

    fn open(&self) -> io::Result<File> {
        // Opening a pipe must not wait, nor a terminal become ours.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::NOCTTY | OFlags::CLOEXEC;
        let file = File::from(open(&self.path, flags, Mode::empty())?);
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"))
    }

    fn take(&mut self, file: &mut File, from: u64) -> io::Result<Vec<u8>> {
        let meta = file.metadata()?;
        file.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        file.take(LIMIT).read_to_end(&mut bytes)?;
        self.read = Some((meta.dev(), meta.ino(), from + bytes.len() as u64));
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_last_lines_come_first_and_then_what_is_added() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut tail = Tail::new(&path);
        assert_eq!(tail.last(2).unwrap_err().kind(), io::ErrorKind::NotFound);
        fs::write(&path, "one\ntwo\nthree\n").unwrap();
        for (lines, expected) in [(0, ""), (1, "three\n"), (2, "two\nthree\n"), (9, "one\ntwo\nthree\n")] {
            assert_eq!(String::from_utf8(Tail::new(&path).last(lines).unwrap()).unwrap(), expected);
        }
        assert_eq!(tail.last(2).unwrap(), b"two\nthree\n");
        assert_eq!(tail.more().unwrap(), b"");
        fs::write(&path, "one\ntwo\nthree\nfour").unwrap();
        assert_eq!(tail.more().unwrap(), b"four");
        fs::write(&path, "new\n").unwrap();
        assert_eq!(tail.more().unwrap(), b"new\n");
        fs::write(dir.path().join("other"), "of another file\n").unwrap();
        fs::rename(dir.path().join("other"), &path).unwrap();
        assert_eq!(tail.more().unwrap(), b"of another file\n");
    }

    #[test]
    fn of_a_long_file_whole_lines_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        fs::write(&path, format!("{}\nlast\n", "x".repeat(2 << 20))).unwrap();
        assert_eq!(Tail::new(&path).last(100).unwrap(), b"last\n");
    }

    #[test]
    fn nothing_but_a_file_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let (pipe, link) = (dir.path().join("pipe"), dir.path().join("link"));
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        fs::write(dir.path().join("log"), "secret\n").unwrap();
        std::os::unix::fs::symlink(dir.path().join("log"), &link).unwrap();
        assert!(Tail::new(&pipe).last(1).is_err());
        assert!(Tail::new(&link).last(1).is_err());
        assert!(Tail::new(dir.path()).last(1).is_err());
    }
}
