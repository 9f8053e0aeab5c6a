//! Reads the bytes of an archive: found by its first bytes, unpacked, counted.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use super::UnpackError;

/// The memory that an archive packed by xz may ask for, in bytes.
const XZ_MEMORY: u64 = 256 << 20;

/// The window of zstd, as a power of two: 128 MiB, what the program zstd takes without `--long`.
const ZSTD_WINDOW: u32 = 27;

/// An archive may unpack to so many bytes whatever it is packed to; a large disk of zeros packs well.
const ALWAYS: u64 = 4 << 30;
/// Beyond that it may unpack to so many times its size. A root file system unpacks to three or four times its size.
const RATIO: u64 = 200;

/// How an archive is packed; told by its first bytes, not by its name.
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
    /// Tells the packing of an archive by its first bytes.
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

/// Opens the stream of tar blocks in a file.
pub(super) fn open(file: File) -> io::Result<Box<dyn Read>> {
    let packed = Counted::new(file);
    let count = packed.count();
    let mut buffered = BufReader::with_capacity(256 * 1024, packed);
    let unsupported = |name: &str| {
        let text = format!("it is packed by {name}; supported are tar, tar.gz, tar.bz2, tar.xz and tar.zst");
        Err(io::Error::new(io::ErrorKind::Unsupported, text))
    };
    let decoder: Box<dyn Read> = match Compression::of(buffered.fill_buf()?) {
        Compression::None => return Ok(Box::new(buffered)),
        Compression::Gzip => {
            Box::new(BufReader::with_capacity(64 * 1024, flate2::bufread::MultiGzDecoder::new(buffered)))
        }
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(BufReader::with_capacity(128 * 1024, decoder))
        }
        Compression::Xz => {
            // `xz -T0` makes several blocks, some tools several streams; -9 needs 65 MiB.
            let stream =
                liblzma::stream::Stream::new_stream_decoder(XZ_MEMORY, liblzma::stream::CONCATENATED)
                    .map_err(io::Error::other)?;
            let decoder = liblzma::bufread::XzDecoder::new_stream(buffered, stream);
            Box::new(BufReader::with_capacity(128 * 1024, decoder))
        }
        Compression::Bzip2 => {
            Box::new(BufReader::with_capacity(128 * 1024, bzip2::bufread::MultiBzDecoder::new(buffered)))
        }
        Compression::Lzop => return unsupported("lzop"),
    };
    Ok(Box::new(InProportion::new(decoder, count)))
}

/// Opens the stream of tar blocks of a layer, which is plain or packed by gzip or zstd.
pub(super) fn open_layer<'a>(blob: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
    let packed = Counted::new(blob);
    let count = packed.count();
    let mut buffered = BufReader::with_capacity(128 * 1024, packed);
    let decoder: Box<dyn Read + 'a> = match Compression::of(buffered.fill_buf()?) {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered)),
        Compression::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(buffered)?;
            decoder.window_log_max(ZSTD_WINDOW)?;
            Box::new(decoder)
        }
        _ => return Ok(Box::new(buffered)),
    };
    Ok(Box::new(InProportion::new(decoder, count)))
}

/// Ends a stream that unpacks to much more than it is packed to: made to fill disks.
struct InProportion<R> {
    unpacked: R,
    packed: Rc<Cell<u64>>,
    count: u64,
    always: u64,
}

impl<R> InProportion<R> {
    fn new(unpacked: R, packed: Rc<Cell<u64>>) -> Self {
        Self { unpacked, packed, count: 0, always: ALWAYS }
    }
}

impl<R: Read> Read for InProportion<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.unpacked.read(buffer)?;
        self.count += count as u64;
        if self.count > self.always.max(self.packed.get().saturating_mul(RATIO)) {
            let text = format!("it unpacks to more than {RATIO} times its size and more than 4 GiB");
            return Err(io::Error::other(text));
        }
        Ok(count)
    }
}

/// Words an error of the stream: the tar crate's and the decoders' are about the archive, system errors are not.
pub(super) fn explain(archive: &Path, error: io::Error) -> UnpackError {
    let path = archive.to_owned();
    if error.raw_os_error().is_some() {
        return UnpackError::Read { path, source: error };
    }
    let what = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it ends too early".to_owned(),
        _ if error.to_string().contains("requires too much memory") => {
            "unpacking it takes a window of more than 128 MiB: pack it without zstd's option --long"
                .to_owned()
        }
        _ => error.to_string(),
    };
    UnpackError::NotAnArchive { path, what }
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

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What becomes of so many bytes, packed by gzip, when so many are always taken.
    fn unpacked(bytes: &[u8], always: u64) -> io::Result<u64> {
        let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        packer.write_all(bytes).unwrap();
        let packed = packer.finish().unwrap();
        let packed = Counted::new(packed.as_slice());
        let count = packed.count();
        let decoder = flate2::read::GzDecoder::new(packed);
        let mut stream = InProportion { unpacked: decoder, packed: count, count: 0, always };
        io::copy(&mut stream, &mut io::sink())
    }

    #[test]
    fn what_unpacks_out_of_proportion_is_refused() {
        let zeros = vec![0; 4 << 20];
        assert_eq!(unpacked(&zeros, 4 << 20).unwrap(), 4 << 20);
        let refused = unpacked(&zeros, 1 << 20).unwrap_err().to_string();
        assert_eq!(refused, "it unpacks to more than 200 times its size and more than 4 GiB");
        // As well as text packs, and better.
        let lines: Vec<u8> = (0..200_000).flat_map(|line| format!("{line} line\n").into_bytes()).collect();
        assert_eq!(unpacked(&lines, 0).unwrap(), lines.len() as u64);
    }
}
