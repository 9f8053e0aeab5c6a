//! Where a path is looked up: on the host, or below a container's root directory.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;

use crate::error::os_text;
use crate::rooted::{is_of_kernel, is_plain};

/// Where a path is looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Place<'a> {
    /// On the host, from its root and the working directory.
    Host,
    /// Below a root directory; nothing in the path leads out of it.
    Inside(&'a OwnedFd),
}

impl Place<'_> {
    pub(super) fn open(self, path: &str, flags: OFlags, mode: Mode) -> rustix::io::Result<OwnedFd> {
        /// How often to try again when something was renamed or mounted meanwhile. Source: openat2(2).
        const TRIES: usize = 32;
        let flags = flags | OFlags::CLOEXEC;
        let Self::Inside(root) = self else { return rustix::fs::openat(CWD, path, flags, mode) };
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        for _ in 0..TRIES {
            match rustix::fs::openat2(root, path, flags, mode, resolve) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                opened => return opened,
            }
        }
        Err(Errno::AGAIN)
    }

    /// Opens an existing file to overwrite it. In a container, devices, fifos and files of the kernel are refused: they
    /// do not keep what is written, and writing may affect the host.
    pub(super) fn overwrite(self, path: &str) -> Result<OwnedFd, String> {
        let text = |errno: Errno| os_text(&errno.into());
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let place = match self {
            Self::Host => return self.open(path, flags, Mode::from_raw_mode(0o666)).map_err(text),
            Self::Inside(_) => match self.open(path, OFlags::PATH, Mode::empty()) {
                // A symlink to a file that does not exist yet. The guest may have made it meanwhile, so it is checked
                // again.
                Err(Errno::NOENT) => {
                    let made = flags.difference(OFlags::TRUNC);
                    let made = self.open(path, made, Mode::from_raw_mode(0o666)).map_err(text)?;
                    check_kind(&made)?;
                    rustix::fs::ftruncate(&made, 0).map_err(text)?;
                    return Ok(made);
                }
                place => place.map_err(text)?,
            },
        };
        check_kind(&place)?;
        // Open the same file that was checked.
        let same = format!("/proc/self/fd/{}", place.as_raw_fd());
        Self::Host.open(&same, flags.difference(OFlags::CREATE), Mode::empty()).map_err(text)
    }

    pub(super) fn unlink(self, path: &str) -> rustix::io::Result<()> {
        let Self::Inside(_) = self else { return rustix::fs::unlinkat(CWD, path, AtFlags::empty()) };
        let (parent, name) = path.trim_end_matches('/').rsplit_once('/').unwrap_or((".", path));
        let parent = if parent.is_empty() { "/" } else { parent };
        let directory = self.open(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        rustix::fs::unlinkat(directory, name, AtFlags::empty())
    }
}

/// Refuses what is not a file with a content of its own.
fn check_kind(file: &OwnedFd) -> Result<(), String> {
    if !is_plain(file) {
        return Err("it is not a regular file".to_owned());
    }
    if is_of_kernel(file) {
        return Err("it is on proc or sysfs".to_owned());
    }
    Ok(())
}
