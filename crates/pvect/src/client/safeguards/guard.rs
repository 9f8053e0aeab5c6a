//! What pct would do without asking: traps reboot-locked, rollback-kills, df-mounts, argv-secrets.

use pvect_core::error::Hazard;
use pvect_core::{Call, Error, Lock, Result, RunState, Verb};

use super::Manner;
use crate::Client;

/// Refuses what was not asked for explicitly.
///
/// What the status does not show (a missing container) is left to the verb itself.
pub(super) async fn check(client: &Client, call: &Call, manner: &Manner) -> Result<()> {
    let refused = |hazard| Err(Error::Refused { hazard, vmid: call.vmid() });
    if call.verb() == Verb::RemoteMigrate {
        let secret = call.args().last().is_some_and(|endpoint| endpoint.contains("apitoken="));
        return if secret && !manner.token_in_argv { refused(Hazard::TokenInArgv) } else { Ok(()) };
    }
    let asked = match call.verb() {
        Verb::Df => manner.mount,
        _ => manner.force,
    };
    let Some(vmid) = call.vmid().filter(|_| !asked) else { return Ok(()) };
    let status = client.status(vmid).await?;
    match (call.verb(), status.status, status.lock) {
        // The lock `mounted` does not prevent a start, so the reboot can finish.
        (Verb::Reboot, RunState::Running, Some(lock)) if lock != Lock::Mounted => {
            refused(Hazard::RebootLocked { lock })
        }
        (Verb::Rollback, RunState::Running, _) => refused(Hazard::RollbackRunning),
        (Verb::Df, RunState::Stopped, _) => refused(Hazard::DfStopped),
        _ => Ok(()),
    }
}
