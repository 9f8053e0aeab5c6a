//! `pct shutdown`: asks a container's init to end.

use std::time::Duration;

use pvect_core::Call;

use crate::runtime::{self, StopMode};
use crate::{Failure, Node, NodeResult, Output, pending, store, task};

/// How long init may take unless the call says otherwise, seconds.
const TIMEOUT: u64 = 60;

/// Asks a container's init to end. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let mode = StopMode::Shutdown { timeout: timeout(call), then_kill: super::is_on(call, "forceStop") };
    super::stop::check_running(node, vmid)?;
    task::run(node, "vzshutdown", &vmid.to_string(), output, |log, output| {
        let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
        let config = store::load(node, vmid)?.config;
        if let Some(lock) = config.lock() {
            return Err(Failure::locked(&lock));
        }
        log.capture(output, |output| {
            runtime::stop(node, vmid, &config, mode, output)?;
            pending::after_end(node, vmid, output);
            Ok(())
        })
    })?;
    Ok(0)
}

/// The time-out of a call.
pub(super) fn timeout(call: &Call) -> Duration {
    let seconds = call.get("timeout").and_then(|text| text.parse().ok());
    Duration::from_secs(seconds.unwrap_or(TIMEOUT))
}
