//! A mount namespace of this thread alone: mounts made in it end with it, also when the process is killed.

use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::{Failure, NodeResult};

/// Until this is dropped, the thread (and each process that it starts) has mounts of its own.
#[derive(Debug)]
pub struct PrivateMounts {
    before: OwnedFd,
}

impl PrivateMounts {
    /// Leaves the namespace of the host's mounts; what is mounted there stays visible.
    ///
    /// # Errors
    /// When the system refuses (not root).
    pub fn enter() -> NodeResult<Self> {
        let failed = |error: rustix::io::Errno| {
            Failure::new(format!(
                "can't make a mount namespace - {}",
                crate::error::os_text(&std::io::Error::from(error))
            ))
        };
        let before = rustix::fs::openat(
            CWD,
            "/proc/thread-self/ns/mnt",
            OFlags::RDONLY | OFlags::CLOEXEC,
            Mode::empty(),
        )
        .map_err(failed)?;
        #[expect(
            deprecated,
            reason = "its successor is unsafe for the sake of file descriptors only, not of mounts"
        )]
        rustix::thread::unshare(UnshareFlags::NEWNS).map_err(failed)?;
        let guard = Self { before };
        mount_change("/", MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC).map_err(failed)?;
        Ok(guard)
    }
}

impl Drop for PrivateMounts {
    fn drop(&mut self) {
        use std::os::fd::AsFd;
        // This cannot fail for a thread that just came from there. If it does, the thread still sees the host's mounts
        // as they were, and a container's mounts are made in a namespace of their own anyway.
        let _ = move_into_link_name_space(self.before.as_fd(), Some(LinkNameSpaceType::Mount));
    }
}
