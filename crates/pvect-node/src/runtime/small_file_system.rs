//! A small file system in memory, for what only a container's monitor is to see: its mount namespace alone has it.

use std::path::Path;

use rustix::mount::MountFlags;

use crate::{Failure, NodeResult, storage};

/// Mounts a small file system, unless one is mounted there already.
///
/// # Errors
/// When it cannot be mounted.
pub(super) fn mount(place: &Path) -> NodeResult<()> {
    std::fs::create_dir_all(place).map_err(|error| Failure::io("can't create", place, &error))?;
    let table = Path::new("/proc/thread-self/mountinfo");
    let place = place.canonicalize().map_err(|error| Failure::io("can't find", place, &error))?;
    if storage::mounted_below_in(table, &place)?.contains(&place) {
        return Ok(());
    }
    rustix::mount::mount("none", &place, "tmpfs", MountFlags::empty(), c"size=64k,mode=0755")
        .map_err(|errno| Failure::io("can't mount a file system at", &place, &errno.into()))
}
