//! `pct reboot`: shuts a container down and starts it again.

use pvect_core::Call;

use crate::runtime::{self, StopMode};
use crate::{Failure, Node, NodeResult, Output, store, task};

/// Shuts a container down and starts it again; pending changes are applied. Returns the exit status.
///
/// The real pct stops a locked container and then fails to start it; here it is refused before that.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let mode = StopMode::Shutdown { timeout: super::shutdown::timeout(call), then_kill: true };
    if !runtime::is_running(node, vmid) {
        return Err(Failure::new(format!("VM {vmid} not running")));
    }
    task::run(node, "vzreboot", &vmid.to_string(), output, |log, output| {
        let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
        let config = store::load(node, vmid)?.config;
        super::start::check_lock(&config)?;
        if !runtime::is_running(node, vmid) {
            return Ok(());
        }
        log.capture(output, |output| {
            runtime::stop(node, vmid, &config, mode, output)?;
            // The guest cannot have changed the configuration, but a hook script can.
            let config = store::load(node, vmid)?.config;
            crate::start::start(node, vmid, &config, false, output)
        })
    })?;
    Ok(0)
}
