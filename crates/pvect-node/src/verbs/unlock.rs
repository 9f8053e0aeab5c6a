//! `pct unlock`: removes the lock of a container's configuration.

use pvect_core::Call;

use crate::{Failure, Node, NodeResult, Output, store};

/// Removes the lock of a container's configuration. Returns the exit status.
///
/// # Errors
/// `no lock found trying to remove any lock` (25) and those of reading and writing.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let mut config = store::load_telling(node, vmid, output)?.config;
    if !config.main.remove("lock") {
        return Err(Failure::with_exit("no lock found trying to remove any lock", super::AFTER_LOAD_EXIT));
    }
    store::save(node, vmid, &config)?;
    tracing::info!(%vmid, "removed the lock of the configuration");
    Ok(0)
}
