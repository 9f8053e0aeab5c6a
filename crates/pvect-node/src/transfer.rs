//! One file being copied into a container or out of it.
//!
//! Both ways, the path is resolved below the container's root directory (openat2(2) with `RESOLVE_IN_ROOT`), which is
//! opened once. Going in, a process of its own joins the container's user namespace and writes there, with no more
//! rights than the container's root has: owners are the container's.

pub(crate) mod copy;
pub(crate) mod place;
pub(crate) mod wanted;

use std::fs::File;
use std::io::{self, ErrorKind};

use pvect_rootfs::room::Room;
use rustix::fs::{Gid, Mode, OFlags, Uid};

use crate::error::os_text;
use crate::interrupt::Interrupt;
use crate::{Failure, NodeResult};
use copy::copy;
use place::Place;
use wanted::Attributes;

/// A file that is being written; what is not finished is removed again.
#[derive(Debug)]
pub(crate) struct Target<'a> {
    place: Place<'a>,
    path: &'a str,
    file: File,
    is_new: bool,
    /// The permissions that were asked for.
    mode: Option<u32>,
}

impl<'a> Target<'a> {
    /// Makes the file, or empties the one that is there; symlinks are followed, as pct does.
    ///
    /// A new file has the permissions that were asked for, or else 0666 minus the umask; an existing one keeps its own
    /// unless others were asked for.
    ///
    /// # Errors
    /// `failed to create file: <path>: <reason>`, `failed to change file owner: <reason>`.
    pub(crate) fn create(place: Place<'a>, path: &'a str, attributes: Attributes) -> NodeResult<Self> {
        let Attributes { user, group, mode } = attributes;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NONBLOCK | OFlags::NOCTTY;
        // Nobody else may read it until the owner is right.
        let first = Mode::from_raw_mode(if mode.is_some() || user.is_some() { 0 } else { 0o666 });
        let (fd, is_new) = match place.open(path, flags, first) {
            Ok(fd) => (fd, true),
            Err(_) => {
                let fd = place.overwrite(path);
                let fd = fd.map_err(|why| Failure::new(format!("failed to create file: {path}: {why}")))?;
                (fd, false)
            }
        };
        let target = Self { place, path, file: File::from(fd), is_new, mode };
        let set = target.set(user, group, mode.or_else(|| is_new.then(|| 0o666 & !umask())));
        if let Err(errno) = set {
            target.undo();
            return Err(Failure::new(format!("failed to change file owner: {}", os_text(&errno.into()))));
        }
        Ok(target)
    }

    /// The owner first, because changing it removes set-user-id bits.
    fn set(&self, user: Option<u32>, group: Option<u32>, mode: Option<u32>) -> rustix::io::Result<()> {
        if user.is_some() || group.is_some() {
            rustix::fs::fchown(&self.file, user.map(Uid::from_raw), group.map(Gid::from_raw))?;
        }
        mode.map_or(Ok(()), |mode| rustix::fs::fchmod(&self.file, Mode::from_raw_mode(mode)))
    }

    /// Copies everything of a file into this one. A directory has nothing to copy: as with the real pct, an empty
    /// file is made of it.
    ///
    /// # Errors
    /// `failed to copy to <path>: <reason>`; a new file is removed again, an existing one is left empty.
    pub(crate) fn fill(self, source: &File, interrupt: &Interrupt) -> NodeResult<()> {
        self.fill_while(source, &|| heed(interrupt))
    }

    /// As [`Target::fill`], and leaves some room on the file system: the source is a guest's, which can grow for ever.
    ///
    /// # Errors
    /// As [`Target::fill`].
    pub(crate) fn fill_with_room(self, source: &File, interrupt: &Interrupt) -> NodeResult<()> {
        let failed =
            |error: io::Error| Failure::new(format!("failed to copy to {}: {}", self.path, os_text(&error)));
        let file = self.file.try_clone().map_err(failed)?;
        let room = Room::of(&file).map_err(failed)?;
        let check = || heed(interrupt).and_then(|()| room.check(&file));
        self.fill_while(source, &check)
    }

    fn fill_while(self, source: &File, check: &dyn Fn() -> io::Result<()>) -> NodeResult<()> {
        let copied = match copy(source, &self.file, check) {
            Err(error) if error.kind() == ErrorKind::IsADirectory => Ok(()),
            copied => copied,
        };
        // Writing removes set-user-id and set-group-id bits if the writer may not set them.
        match copied.and_then(|()| Ok(self.set(None, None, self.mode)?)) {
            Ok(()) => Ok(()),
            Err(error) => {
                let text = format!("failed to copy to {}: {}", self.path, os_text(&error));
                self.undo();
                Err(Failure::new(text))
            }
        }
    }

    fn undo(self) {
        // Only the first failure is reported, not one of the clean-up.
        if self.is_new {
            let _ = self.place.unlink(self.path);
        } else {
            let _ = self.file.set_len(0);
        }
    }
}

/// The umask, which can only be read by setting it. Only for a process without other threads that make files.
fn umask() -> u32 {
    let mask = rustix::process::umask(Mode::empty());
    rustix::process::umask(mask);
    mask.as_raw_mode()
}

pub(crate) fn heed(interrupt: &Interrupt) -> io::Result<()> {
    if interrupt.came() { Err(io::Error::other("interrupted by signal")) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
