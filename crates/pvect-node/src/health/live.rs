//! Whether somebody works on a container.

use std::fs::File;
use std::path::Path;

use pvect_core::Vmid;
use rustix::fs::{FlockOperation, flock};

use super::Host;
use crate::{Node, task};

/// Returns whether a lock file of the container is held, or a task on it is under way. `ours`: we hold its lock file
/// ourselves.
pub(super) fn is_live(node: &Node, host: &Host, vmid: Vmid, ours: bool) -> bool {
    (!ours && is_held(&node.layout.config_lock(vmid)))
        || is_held(&node.layout.operation_lock(vmid))
        || has_task(node, host, vmid)
}

/// Takes the lock for a moment to find out; a process that wants it at the same time tries again within milliseconds.
fn is_held(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => false,
        Err(rustix::io::Errno::WOULDBLOCK) => true,
        // Unknown: treat it as held, so that nothing is changed.
        Err(_) => true,
    }
}

fn has_task(node: &Node, host: &Host, vmid: Vmid) -> bool {
    let id = vmid.to_string();
    let others = |pid: u32| pid != std::process::id();
    task::lists::active_at(node, &host.proc).iter().any(|upid| upid.id == id && others(upid.pid))
}
