//! How much of a file system what comes out of a guest may take: a guest's file can grow without end.

use std::io;
use std::os::fd::AsFd;

/// How many bytes may be used on a file system that is nearly full.
const SMALL: u64 = 16 << 20;
/// The part of a file system that stays free: one in this many.
const RESERVE: u64 = 20;

/// The free space of a file system when a copy began.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    began: u64,
}

impl Room {
    /// Measures the file system that an open file or directory is on.
    ///
    /// # Errors
    /// What the system says.
    pub fn of(file: impl AsFd) -> io::Result<Self> {
        Ok(Self { began: free(file)?.0 })
    }

    /// Returns an error once less than 5 % of the file system is free and more than 16 MiB were used.
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

/// The space that users other than root can still use, and the total, in bytes.
fn free(file: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstatvfs(file)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok((bytes(stat.f_bavail), bytes(stat.f_blocks)))
}
