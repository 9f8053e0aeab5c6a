//! `pct unmount`: unmounts what `pct mount` mounted.

use pvect_core::{Call, Lock};

use crate::{Node, NodeResult, Output, locked, storage, store};

/// Unmounts a container's file systems and removes the lock `mounted`. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let _lock = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    store::load_telling(node, vmid, output)?;
    // Before the lock value is checked, so that this also repairs what `pct unlock` left mounted.
    storage::unmount_all(&node.layout.rootfs(vmid))?;
    locked::remove(node, vmid, &Lock::Mounted, output)?;
    Ok(0)
}
