//! The configuration files: read, locked, replaced.

use pvect_core::Vmid;
use pvect_core::config::ContainerConfig;

use crate::{Node, NodeResult, Output};

/// A configuration as it was read, with the digest of its bytes.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The parsed file.
    pub config: ContainerConfig,
    /// SHA-1 of the raw bytes, hex.
    pub digest: String,
    /// Warnings of the parser, for stderr.
    pub warnings: Vec<String>,
}

/// The exclusive lock on one container's configuration (`flock`); dropped, it is released.
#[derive(Debug)]
pub struct ConfigLock {
    _file: std::fs::File,
}

/// Reads a configuration.
///
/// # Errors
/// `Configuration file ... does not exist` (2), or what the system said.
pub fn load(_node: &Node, _vmid: Vmid) -> NodeResult<Stored> {
    Err(crate::Failure::new("not there yet"))
}

/// Returns the vmids that have a configuration, ascending.
///
/// # Errors
/// When the directory cannot be read; a missing one is an empty list.
pub fn vmids(_node: &Node) -> NodeResult<Vec<Vmid>> {
    Ok(Vec::new())
}

/// Writes a configuration: temporary file beside it, fsync, rename, fsync of the directory.
///
/// # Errors
/// When a value holds a line break or the file cannot be written; the old file is then untouched.
pub fn save(_node: &Node, _vmid: Vmid, _config: &ContainerConfig) -> NodeResult<()> {
    Err(crate::Failure::new("not there yet"))
}

/// Makes a configuration that must not exist yet (`O_EXCL` through link(2)), so that two creates cannot both win.
///
/// # Errors
/// `CT <vmid> already exists on node '<node>'` (2) when it exists.
pub fn create(_node: &Node, _vmid: Vmid, _config: &ContainerConfig) -> NodeResult<()> {
    Err(crate::Failure::new("not there yet"))
}

/// Removes a configuration.
///
/// # Errors
/// When the file cannot be removed; a missing one is fine.
pub fn remove(_node: &Node, _vmid: Vmid) -> NodeResult<()> {
    Err(crate::Failure::new("not there yet"))
}

/// Takes the lock file of a container; waits up to `seconds`, saying so on stderr as the real one does.
///
/// # Errors
/// `can't lock file '<path>' - got timeout`.
pub fn lock(_node: &Node, _vmid: Vmid, _seconds: u64, _output: &mut Output<'_>) -> NodeResult<ConfigLock> {
    Err(crate::Failure::new("not there yet"))
}
