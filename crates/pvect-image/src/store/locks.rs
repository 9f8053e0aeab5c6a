//! The lock files of the store (flock(2)).

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};

use super::Store;
use crate::{ImageError, ImageResult};

const INTERVAL: Duration = Duration::from_millis(50);

/// Whoever has it uses the store; dropped, the lock is released.
#[derive(Debug)]
pub(crate) struct Using {
    _file: File,
}

/// Locks a file, or returns `false` when somebody else holds it.
pub(super) fn try_lock(file: &File, how: FlockOperation) -> std::io::Result<bool> {
    loop {
        match flock(file, how) {
            Ok(()) => return Ok(true),
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(false),
            Err(errno) => return Err(errno.into()),
        }
    }
}

impl Store {
    /// Keeps blobs that no name holds yet from being pruned.
    ///
    /// # Errors
    /// When a prune goes on for too long.
    pub(crate) fn share(&self) -> ImageResult<Using> {
        self.lock("lock", FlockOperation::NonBlockingLockShared)
    }

    /// Has the store alone.
    ///
    /// # Errors
    /// When somebody uses it for too long.
    pub(super) fn alone(&self) -> ImageResult<Using> {
        self.lock("lock", FlockOperation::NonBlockingLockExclusive)
    }

    /// Has the index alone.
    ///
    /// # Errors
    /// When somebody holds it for too long.
    pub(super) fn index_alone(&self) -> ImageResult<Using> {
        self.lock("index.lock", FlockOperation::NonBlockingLockExclusive)
    }

    fn lock(&self, name: &str, how: FlockOperation) -> ImageResult<Using> {
        let path = self.root.join(name);
        let failed = |error| ImageError::io("lock", &path, error);
        let file = File::options()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(OFlags::NOFOLLOW.bits() as i32)
            .open(&path)
            .map_err(failed)?;
        let deadline = Instant::now() + self.patience;
        while !try_lock(&file, how).map_err(failed)? {
            if Instant::now() >= deadline {
                let text = "another command works on the images; try again when it has ended";
                return Err(ImageError::Held(text.to_owned()));
            }
            std::thread::sleep(INTERVAL);
        }
        Ok(Using { _file: file })
    }
}
