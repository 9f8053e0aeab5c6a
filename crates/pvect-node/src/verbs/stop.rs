//! `pct stop`: kills all processes of a container.

use pvect_core::{Call, Vmid};
use rustix::process::{Pid, Signal, kill_process};

use crate::runtime::{self, StopMode};
use crate::{Failure, Node, NodeResult, Output, pending, store, task};

/// Kills all processes of a container. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let (skip_lock, overrule) = (super::is_on(call, "skiplock"), super::is_on(call, "overrule-shutdown"));
    check_running(node, vmid)?;
    task::run(node, "vzstop", &vmid.to_string(), output, |log, output| {
        if overrule {
            let ended = end_shutdowns(node, vmid);
            if !ended.is_empty() {
                log.line(output, &format!("overruled vzshutdown tasks: {}", ended.join(", ")));
            }
        }
        let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
        let config = store::load(node, vmid)?.config;
        if !skip_lock {
            super::start::check_lock(&config)?;
        }
        log.capture(output, |output| {
            runtime::stop(node, vmid, &config, StopMode::Kill, output)?;
            pending::after_end(node, vmid, output);
            Ok(())
        })
    })?;
    Ok(0)
}

/// Refuses a container that does not run, known or not.
///
/// # Errors
/// `CT <vmid> not running`.
pub(super) fn check_running(node: &Node, vmid: Vmid) -> NodeResult<()> {
    match runtime::is_running(node, vmid) {
        true => Ok(()),
        false => Err(Failure::new(format!("CT {vmid} not running"))),
    }
}

/// Ends the shutdowns of a container that are under way; they hold its configuration's lock. Returns their names.
fn end_shutdowns(node: &Node, vmid: Vmid) -> Vec<String> {
    let id = vmid.to_string();
    let shutdowns =
        task::lists::active(node).into_iter().filter(|upid| upid.worker == "vzshutdown" && upid.id == id);
    shutdowns
        .filter_map(|upid| {
            let pid = Pid::from_raw(i32::try_from(upid.pid).ok()?)?;
            kill_process(pid, Signal::TERM).ok()?;
            Some(upid.to_string())
        })
        .collect()
}
