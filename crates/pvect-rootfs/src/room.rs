//! How much of a file system what comes out of a guest may take: a guest's file can grow without end.

use std::io;
use std::os::fd::AsFd;

/// What may be taken of a file system that is nearly full, bytes.
const SMALL: u64 = 16 << 20;
/// Of a file system this part stays free.
const RESERVE: u64 = 20;

/// The room of a file system when a copy began.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    began: u64,
}

impl Room {
    /// Looks at the file system that an open file or directory lies on.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self { began: free(file)?.0 })
    }

    /// Returns an error once less than 5 % of the file system is free and more than 16 MiB were taken.
    ///
    /// # Errors
    /// That; what the system says.
    pub fn check(&self, file: impl AsFd) -> io::Result<()> {
        let (free, total) = free(file)?;
        if self.began.saturating_sub(free) > SMALL && free < total / RESERVE {
            let text = "less than 5 % of the disk would stay free (--fill copies it anyway)";
            return Err(io::Error::other(text));
        }
        Ok(())
    }
}

/// What others than root may still take, and all that there is, bytes.
fn free(file: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstatvfs(file)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok((bytes(stat.f_bavail), bytes(stat.f_blocks)))
}
