//! How much of a file system what comes out of a guest may take: a guest's file can grow without end.

use std::io;
use std::os::fd::AsFd;

/// How many bytes may be used on a file system that is nearly full.
const SMALL: u64 = 16 << 20;
/// The part of a file system that stays free: one in this many.
const RESERVE: u64 = 20;
/// What stays free of a large one when a container is made on it, bytes: enough for those that run to go on writing.
const ENOUGH: u64 = 1 << 30;

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
        if self.is_taken(free, total / RESERVE) {
            let text = "less than 5 % of the disk would stay free (--fill copies it anyway)";
            return Err(io::Error::other(text));
        }
        Ok(())
    }

    /// As [`Room::check`] for a container that is being made: of a large file system 1 GiB is enough.
    ///
    /// # Errors
    /// That, of the kind [`io::ErrorKind::StorageFull`]; what the system says.
    pub fn check_for_container(&self, file: impl AsFd) -> io::Result<()> {
        let (free, total) = free(file)?;
        let kept = ENOUGH.min(total / RESERVE);
        if self.is_taken(free, kept) {
            let text = format!("less than {} MiB of the disk would stay free", kept >> 20);
            return Err(io::Error::new(io::ErrorKind::StorageFull, text));
        }
        Ok(())
    }

    fn is_taken(&self, free: u64, kept: u64) -> bool {
        self.began.saturating_sub(free) > SMALL && free < kept
    }
}

/// The space that users other than root can still use, and the total, in bytes.
fn free(file: impl AsFd) -> io::Result<(u64, u64)> {
    let stat = rustix::fs::fstatvfs(file)?;
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    Ok((bytes(stat.f_bavail), bytes(stat.f_blocks)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_does_not_count_and_enough_is_left() {
        let room = Room { began: 10 << 30 };
        for (free, is_taken) in [(10 << 30, false), (2 << 30, false), ((1 << 30) - 1, true)] {
            assert_eq!(room.is_taken(free, ENOUGH), is_taken, "{free}");
        }
        // It was nearly full before.
        let room = Room { began: 20 << 20 };
        assert!(!room.is_taken(4 << 20, ENOUGH) && room.is_taken(3 << 20, ENOUGH));
        let disk = std::fs::File::open("/").unwrap();
        assert!(Room::of(&disk).unwrap().check_for_container(&disk).is_ok());
    }
}
