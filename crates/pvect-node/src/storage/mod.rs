//! Storages: storage.cfg, volumes, templates.

use std::path::{Path, PathBuf};

use pvect_core::size::DiskSize;
use pvect_core::{ContainerConfig, Vmid, VolumeId};

use crate::{Failure, Node, NodeResult};

/// Returns the path of an existing volume (`local:101/vm-101-disk-0.raw`, `local:vztmpl/x.tar.zst`).
///
/// # Errors
/// `storage '<id>' does not exist`, `volume '<id>' does not exist`.
pub fn volume_path(_node: &Node, _volume: &VolumeId) -> NodeResult<PathBuf> {
    Err(Failure::new("not there yet"))
}

/// Makes a volume for a container, formatted and empty: a raw ext4 image, or a directory when `size` is 0.
/// What mkfs and the like print is passed to `log`, line by line, in pct's form.
///
/// # Errors
/// When the storage does not exist, cannot hold root file systems, or is full; nothing is left then.
pub fn allocate(
    _node: &Node,
    _storage: &str,
    _vmid: Vmid,
    _size: DiskSize,
    _unprivileged: bool,
    _log: &mut dyn FnMut(&str),
) -> NodeResult<VolumeId> {
    Err(Failure::new("not there yet"))
}

/// Removes a volume; the parent directory too when it became empty.
///
/// # Errors
/// When it exists and cannot be removed.
pub fn free(_node: &Node, _volume: &VolumeId) -> NodeResult<()> {
    Err(Failure::new("not there yet"))
}

/// Mounts rootfs and all mp[n] of a configuration below `root`, in order of their paths; mount points inside are
/// resolved so that no symlink leads out of `root`. On failure everything is unmounted again.
///
/// Called in a private mount namespace at start (the mounts end with it), and in the host's for create.
///
/// # Errors
/// When a volume is missing or a mount fails.
pub fn mount_all(_node: &Node, _vmid: Vmid, _config: &ContainerConfig, _root: &Path) -> NodeResult<()> {
    Err(Failure::new("not there yet"))
}

/// Unmounts everything at and below `root`, last mounted first.
///
/// # Errors
/// When something is still in use.
pub fn unmount_all(_root: &Path) -> NodeResult<()> {
    Err(Failure::new("not there yet"))
}
