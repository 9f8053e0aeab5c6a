//! When pending changes come into force: before a start, and when a container has ended, however it did.
//!
//! The real pct applies them whenever a container has ended, by a hook of LXC. Here the command that ends it does so, and
//! says what fails; the hook ([`crate::ended`]) where there is none.

use std::borrow::Cow;

use pvect_core::{ContainerConfig, Vmid};

use crate::change::Changes;
use crate::{Node, NodeResult, Output, store};

/// Brings pending changes into force and saves them; without any, nothing is written. What fails stays pending.
///
/// # Errors
/// When the changes cannot be saved; what was made for them is gone then.
pub(crate) fn apply<'a>(
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

/// As [`apply`], when a container has just ended; the caller holds its lock file. What fails is a warning: the container
/// has ended all the same, and the next start tries again.
pub(crate) fn after_end(node: &Node, vmid: Vmid, output: &mut Output<'_>) {
    // A hook script may have changed it.
    let stored = store::load(node, vmid);
    // What mkfs and the like print is for the log of a hook, which nobody reads.
    let applied = stored
        .and_then(|stored| output.briefly(|output| apply(node, vmid, &stored.config, output).map(drop)));
    if let Err(failure) = applied {
        output.warn(failure.text);
    }
}
