//! Starts containers, their pending changes first.

use std::borrow::Cow;

use pvect_core::{ContainerConfig, Vmid};

use crate::change::Changes;
use crate::interrupt::Interrupt;
use crate::{Node, NodeResult, Output, runtime, store};

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
    // LXC could not take the name, and would say only that something failed.
    runtime::refuse_foreign(node, vmid)?;
    let config = apply_pending(node, vmid, config, output)?;
    interrupt.check()?;
    runtime::start(node, vmid, &config, debug, output)
}

/// Brings pending changes into force and saves them; without any, nothing is written. What fails stays pending.
fn apply_pending<'a>(
    node: &Node,
    vmid: Vmid,
    config: &'a ContainerConfig,
    output: &mut Output<'_>,
) -> NodeResult<Cow<'a, ContainerConfig>> {
    if config.pending.is_none() {
        return Ok(Cow::Borrowed(config));
    }
    let mut config = config.clone();
    let changed = Changes::new(node, vmid, &mut config, None).apply(output);
    if let Err(failure) = store::save(node, vmid, &config) {
        changed.undo(node, vmid, output);
        return Err(failure);
    }
    Ok(Cow::Owned(config))
}
