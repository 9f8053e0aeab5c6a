//! Reads the bytes of an archive: found by its first bytes, unpacked, counted.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use super::UnpackError;

/// The memory that an archive packed by xz may ask for, in bytes.
const XZ_MEMORY: u64 = 256 << 20;

/// The window of zstd, as a power of two: 128 MiB, the largest that the program zstd accepts without `--long`.
const ZSTD_WINDOW: u32 = 27;

/// How an archive is packed, determined by its first bytes, not by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// A plain tar.
    None,
    /// gzip.
    Gzip,
    /// Zstandard.
    Zstd,
    /// xz.
    Xz,
    /// bzip2.
    Bzip2,
    /// lzop: known, not supported.
    Lzop,
}

impl Compression {
    /// Determines how an archive is packed by its first bytes.
    pub fn of(head: &[u8]) -> Self {
        match head {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0x89, b'L', b'Z', b'O', ..] => Self::Lzop,
            _ => Self::None,
        }
    }
}

/// How many bytes are read to determine what kind of file it is.
pub(super) const HEAD: u64 = 512;

/// What kind of file was taken for an archive, usually because something else was downloaded.
pub(super) fn other_kind(head: &[u8]) -> Option<&'static str> {
    const KINDS: &[(&[u8], &str)] = &[
        (b"QFI\xfb", "a disk image (qcow2)"),
        (b"hsqs", "a squashfs image"),
        (b"PK\x03\x04", "a zip archive"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
        (b"!<arch>", "a Debian package"),
        (b"\x7fELF", "a program"),
    ];
    let text = head.trim_ascii_start();
    let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|text| text.eq_ignore_ascii_case(with));
    if [&b"<!doctype"[..], b"<html", b"<?xml"].iter().any(|with| begins(with)) {
        return Some("a web page: the download of the template failed");
    }
    KINDS.iter().find(|(with, _)| head.starts_with(with)).map(|(_, what)| *what)
}

/// Opens the stream of tar blocks in a file.
pub(super) fn open(file: File) -> io::Result<Box<dyn Read>> {
    let mut buffered = BufReader::with_capacity(256 * 1024, file);
    let unsupported = |name: &str| {
        let text =
            format!("it is compressed with {name}; supported are tar, tar.gz, tar.bz2, tar.xz and tar.zst");
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    };
    match Compression::of(buffered.fill_buf()?) {
        Compression::None => Ok(Box::new(buffered)),
        Compression::Gzip => {
            Ok(Box::new(BufReader::with_capacity(64 * 1024, flate2::bufread::MultiGzDecoder::new(buffered))))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Ok(Box::new(BufReader::with_capacity(128 * 1024, decoder)))
        }
        Compression::Xz => {
            // `xz -T0` makes several blocks, some tools several streams; -9 needs 65 MiB.
            let stream =
                liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
                    .map_err(io::Error::other)?;
            let decoder = liblzma::bufread::XzDecoder::new_stream(buffered, stream);
            Ok(Box::new(BufReader::with_capacity(128 * 1024, decoder)))
        }
        Compression::Bzip2 => {
            Ok(Box::new(BufReader::with_capacity(128 * 1024, bzip2::bufread::MultiBzDecoder::new(buffered))))
        }
        Compression::Lzop => unsupported("lzop"),
    }
}

/// Opens the stream of tar blocks of a layer, which is plain or packed by gzip or zstd.
pub(super) fn open_layer<'a>(blob: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let mut buffered = BufReader::with_capacity(128 * 1024, blob);
    match Compression::of(buffered.fill_buf()?) {
        Compression::Gzip => Ok(Box::new(flate2::bufread::MultiGzDecoder::new(buffered))),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Ok(Box::new(decoder))
        }
        _ => Ok(Box::new(buffered)),
    }
}

/// Turns an error of the stream into ours: errors of the tar crate and of the decoders are about the archive, system
/// errors are not.
pub(super) fn explain(archive: &Path, error: io::Error) -> UnpackError {
    let path = archive.to_owned();
    if error.raw_os_error().is_some() {
        return UnpackError::Read { path, source: error };
    }
    if error.kind() == io::ErrorKind::StorageFull {
        // Of an [`Options::room`].
        return UnpackError::Member {
            member: path.display().to_string(),
            what: error.to_string(),
            full: true,
        };
    }
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ if error.to_string().contains("requires too much memory") => {
            "unpacking it takes a window of more than 128 MiB: compress it without zstd's option --long"
                .to_owned()
        }
        // The names of members are in it.
        _ => plain(&error.to_string()),
    };
    UnpackError::NotAnArchive { path, what }
}

/// An archive may always unpack to this many bytes, because a large disk of zeros compresses well.
const ALWAYS: u64 = 4 << 30;
/// Beyond that, it may unpack to this many times its size. A root file system unpacks to three or four times its size.
const RATIO: u64 = 200;

/// How many bytes an archive from elsewhere may unpack to; `None` if it is not a regular file, whose size is unknown.
///
/// # Errors
/// When its metadata cannot be read.
pub fn in_proportion(archive: &Path) -> Result<Option<u64>, UnpackError> {
    let metadata = std::fs::metadata(archive)
        .map_err(|source| UnpackError::Read { path: archive.to_owned(), source })?;
    Ok(metadata.is_file().then(|| ALWAYS.max(metadata.len().saturating_mul(RATIO))))
}

/// How much may still be unpacked of an archive, or of all layers of an image together.
#[derive(Debug)]
pub(super) struct Allowance {
    most: Option<u64>,
    taken: Cell<u64>,
}

impl Allowance {
    pub(super) fn new(most: Option<u64>) -> Self {
        Self { most, taken: Cell::new(0) }
    }

    /// A stream that ends with an error when more is read.
    pub(super) fn of<R: Read>(&self, stream: R) -> Allowed<'_, R> {
        Allowed { stream, allowance: self }
    }

    fn take(&self, count: usize) -> io::Result<()> {
        self.taken.set(self.taken.get().saturating_add(count as u64));
        match self.most {
            Some(most) if self.taken.get() > most => {
                let text = format!("it unpacks to more than {most} bytes, which is out of all proportion");
                Err(io::Error::other(text))
            }
            _ => Ok(()),
        }
    }
}

/// See [`Allowance::of`].
pub(super) struct Allowed<'a, R> {
    stream: R,
    allowance: &'a Allowance,
}

impl<R: Read> Read for Allowed<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.allowance.take(count)?;
        Ok(count)
    }
}

/// A text with names of members on one line.
pub(super) fn plain(text: &str) -> String {
    let safe = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(safe).collect()
}

/// So much is read between two looks at the room, bytes.
const STEP: u64 = 4 << 20;

/// A stream that ends with an error when the work is interrupted or the room on a disk is used up: of a large member also
/// what is skipped takes its time.
pub(super) struct Watched<'a, R> {
    stream: R,
    interrupted: &'a dyn Fn() -> bool,
    room: &'a dyn Fn() -> io::Result<()>,
    /// Bytes since the room was looked at.
    passed: u64,
}

impl<'a, R> Watched<'a, R> {
    pub(super) fn new(
        stream: R,
        interrupted: &'a dyn Fn() -> bool,
        room: &'a dyn Fn() -> io::Result<()>,
    ) -> Self {
        Self { stream, interrupted, room, passed: 0 }
    }
}

impl<R: Read> Read for Watched<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if (self.interrupted)() {
            // Not of the kind `Interrupted`, after which readers try again.
            return Err(io::Error::other("interrupted by signal"));
        }
        if self.passed >= STEP {
            (self.room)()?;
            self.passed = 0;
        }
        let count = self.stream.read(buffer)?;
        self.passed += count as u64;
        Ok(count)
    }
}

/// Counts what is read.
pub(super) struct Counted<R> {
    inner: R,
    count: Rc<Cell<u64>>,
}

impl<R> Counted<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, count: Rc::new(Cell::new(0)) }
    }

    pub(super) fn count(&self) -> Rc<Cell<u64>> {
        Rc::clone(&self.count)
    }
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count.set(self.count.get() + count as u64);
        Ok(count)
    }
}
