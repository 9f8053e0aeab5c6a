//! What a file holds, in short: size and SHA-256.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use sha2::{Digest, Sha256};

/// What two equal files have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// The size in bytes; `None` if only a hash was computed.
    pub size: Option<u64>,
    /// SHA-256, lower-case hex; empty if the size was enough.
    pub sha256: String,
}

impl Fingerprint {
    /// Whether both can belong to the same content.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let sizes = self.size.zip(other.size);
        self.sha256 == other.sha256 && sizes.is_none_or(|(one, two)| one == two)
    }
}

/// Shows size and hash.
impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.size {
            Some(size) if self.sha256.is_empty() => write!(f, "{size} bytes"),
            Some(size) => write!(f, "{size} bytes, sha256 {}", self.sha256),
            None => write!(f, "sha256 {}", self.sha256),
        }
    }
}

/// Hashes what is read or written through it.
pub(super) struct Hashing<R> {
    inner: R,
    hash: Sha256,
    size: u64,
}

impl<R> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    pub(super) fn finish(self) -> Fingerprint {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Fingerprint { size: Some(self.size), sha256 }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

/// Reads a file of this machine. It blocks.
pub(super) fn of_file(path: &Path) -> io::Result<Fingerprint> {
    of_open(File::open(path)?, &|| false)
}

/// Reads an open file to its end, or until `stop` says so, which is asked before each block. It blocks.
pub(super) fn of_open(file: File, stop: &dyn Fn() -> bool) -> io::Result<Fingerprint> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    of_reader(file, stop)
}

/// Reads to the end, or until `stop` says so, which is asked before each block. It blocks.
pub(super) fn of_reader(reader: impl Read, stop: &dyn Fn() -> bool) -> io::Result<Fingerprint> {
    let mut reader = Hashing::new(reader);
    let mut buffer = vec![0; 1 << 20];
    loop {
        if stop() {
            return Err(stopped());
        }
        if reader.read(&mut buffer)? == 0 {
            return Ok(reader.finish());
        }
    }
}

/// The error of work that was stopped. Not `Interrupted`, because readers try again after that.
pub(super) fn stopped() -> io::Error {
    io::Error::other("interrupted")
}

/// What is at a path of a container.
#[derive(Debug)]
pub(super) enum Found {
    /// A file with this content.
    File(Fingerprint),
    /// A file that was not read.
    Unread,
    /// A directory.
    Directory,
    /// Nothing.
    Nothing,
    /// It cannot be read: it is a device or a pipe, or the container does not have a program to read it with.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_differ_in_size_or_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let found = of_file(&path).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(found, Fingerprint { size: Some(3), sha256: abc.to_owned() });
        assert!(found.fits(&Fingerprint { size: None, sha256: abc.to_owned() }));
        assert!(!found.fits(&Fingerprint { size: Some(4), sha256: abc.to_owned() }));
        assert!(!found.fits(&Fingerprint { size: None, sha256: "0".repeat(64) }));
    }
}
