//! Starts containers, their pending changes first.

use pvect_core::{ContainerConfig, Vmid};

use crate::interrupt::Interrupt;
use crate::{Node, NodeResult, Output, pending, runtime};

/// Starts a container and returns when its init runs. The configuration lock is held by the caller.
///
/// Pending changes are applied and saved first. The rest is [`runtime::start()`].
///
/// # Errors
/// Those of [`runtime::start()`]; when the changes cannot be saved.
pub fn start(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    debug: bool,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    // A signal that comes while changes are applied ends the start, not the changes.
    let interrupt = Interrupt::watch();
    // LXC could not use the name, and would only say that something failed.
    runtime::refuse_foreign(node, vmid)?;
    let config = pending::apply(node, vmid, config, output)?;
    interrupt.check()?;
    runtime::start(node, vmid, &config, debug, output)
}
