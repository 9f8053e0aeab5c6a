//! `pct unmount`: unmounts what `pct mount` mounted.

use pvect_core::{Call, Lock};

use crate::{Failure, Node, NodeResult, Output, locked, storage, store};

/// Unmounts a container's file systems and removes the lock `mounted`. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = call.vmid().ok_or_else(|| Failure::with_exit("400 not enough arguments", 2))?;
    let _lock = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    store::load(node, vmid)?;
    // Before the lock value is looked at: it also mends what `pct unlock` left mounted.
    storage::unmount_all(&node.layout.rootfs(vmid))?;
    locked::remove(node, vmid, &Lock::Mounted)?;
    Ok(0)
}
