//! Blobs on their way into the store.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use rustix::fs::{FlockOperation, OFlags};

use super::{Store, locks, sync_directory};
use crate::digest::Hasher;
use crate::documents::Descriptor;
use crate::{Digest, ImageError, ImageResult};

/// What there is of a blob when somebody wants to bring it.
#[derive(Debug)]
pub(crate) enum Begun {
    /// All of it.
    Whole,
    /// Somebody else brings it just now.
    Elsewhere,
    /// This much, maybe nothing.
    Partial(Box<Partial>),
}

/// A part of a blob, held by whoever has this. Dropped, it stays for the next one.
#[derive(Debug)]
pub(crate) struct Partial {
    file: File,
    path: PathBuf,
    target: PathBuf,
    digest: Digest,
    size: u64,
    hasher: Hasher,
    length: u64,
}

impl Store {
    /// Begins to bring a blob, or goes on with it: what is there is read and hashed.
    ///
    /// # Errors
    /// When the files cannot be read or made.
    pub(crate) fn begin(&self, blob: &Descriptor) -> ImageResult<Begun> {
        if self.has(blob) {
            return Ok(Begun::Whole);
        }
        let digest = &blob.digest;
        let name = format!("{}-{}", digest.algorithm().as_str(), digest.hex());
        let path = self.root.join("partial").join(name);
        let failed = |error| ImageError::io("write", &path, error);
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits() as i32)
            .open(&path)
            .map_err(failed)?;
        if !locks::try_lock(&file, FlockOperation::NonBlockingLockExclusive).map_err(failed)? {
            return Ok(Begun::Elsewhere);
        }
        // Whoever held it may have finished it, or given it up, since it was opened.
        if self.has(blob) {
            return Ok(Begun::Whole);
        }
        let hasher = Hasher::new(digest.algorithm());
        let target = self.path(digest);
        let mut partial =
            Partial { file, path, target, digest: digest.clone(), size: blob.size, hasher, length: 0 };
        if !partial.has_its_name() {
            return Ok(Begun::Elsewhere);
        }
        partial.read_again()?;
        Ok(Begun::Partial(Box::new(partial)))
    }
}

impl Partial {
    fn has_its_name(&self) -> bool {
        use std::os::unix::fs::MetadataExt;
        let same = |a: &fs::Metadata, b: &fs::Metadata| a.ino() == b.ino() && a.dev() == b.dev();
        match (self.file.metadata(), fs::symlink_metadata(&self.path)) {
            (Ok(open), Ok(named)) => same(&open, &named),
            _ => false,
        }
    }

    fn failed(&self, error: std::io::Error) -> ImageError {
        ImageError::io("write", &self.path, error)
    }

    fn read_again(&mut self) -> ImageResult<()> {
        let mut buffer = vec![0; 256 << 10];
        loop {
            let count = match self.file.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(error)),
            };
            self.hasher.update(&buffer[..count]);
            self.length += count as u64;
            if self.length > self.size {
                return self.restart();
            }
        }
        Ok(())
    }

    /// Returns how many bytes are there.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Returns how many bytes are missing.
    pub(crate) fn missing(&self) -> u64 {
        self.size - self.length
    }

    /// Forgets what is there.
    ///
    /// # Errors
    /// When the file cannot be emptied.
    pub(crate) fn restart(&mut self) -> ImageResult<()> {
        self.length = 0;
        self.hasher = Hasher::new(self.digest.algorithm());
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map(drop)
            .map_err(|error| self.failed(error))
    }

    /// Adds bytes.
    ///
    /// # Errors
    /// When they are more than the blob has; when they cannot be written. What was written stays.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> ImageResult<()> {
        if bytes.len() as u64 > self.missing() {
            let text = format!(
                "the blob {} is longer than the {} bytes that it should have",
                self.digest, self.size
            );
            self.discard();
            return Err(ImageError::Damaged(text));
        }
        self.file.write_all(bytes).map_err(|error| self.failed(error))?;
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Verifies the whole blob, and puts it where blobs are. One that is not what its name says is removed.
    ///
    /// # Errors
    /// When it is too short (what is there stays), has another digest, or cannot be put there.
    pub(crate) fn finish(self) -> ImageResult<()> {
        if self.missing() > 0 {
            let text = format!("the blob {} ends after {} of {} bytes", self.digest, self.length, self.size);
            return Err(ImageError::Broken(text));
        }
        let found = self.hasher.clone().finish();
        if found != self.digest {
            self.discard();
            return Err(ImageError::Damaged(format!(
                "the blob {} was damaged on its way: its digest is {found}",
                self.digest
            )));
        }
        let put = || {
            self.file.sync_all()?;
            fs::rename(&self.path, &self.target)?;
            sync_directory(&self.target)
        };
        put().map_err(|error| ImageError::io("write", &self.target, error))
    }

    /// Removes what is there; what cannot be removed is read again next time, and found wrong then.
    fn discard(&self) {
        let _ = fs::remove_file(&self.path);
    }
}
