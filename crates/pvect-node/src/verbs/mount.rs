//! `pct mount`: mounts a container's file systems on the host.

use pvect_core::{Call, Lock};

use crate::{Node, NodeResult, Output, hostmount, locked, store};

/// Mounts a container's file systems on the host, at `lib/lxc/<vmid>/rootfs`, and locks it as `mounted`. Returns the
/// exit status.
///
/// As in the real pct the lock stays when the mounting fails: `pct unlock` or `pct unmount` removes it.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let _lock = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let config = locked::set(node, vmid, &Lock::Mounted, output)?;
    let root = hostmount::mount(node, vmid, &config, output)?;
    output.line(format!("mounted CT {vmid} in '{}'", root.display()));
    Ok(0)
}
