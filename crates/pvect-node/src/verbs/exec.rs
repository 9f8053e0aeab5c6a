//! `pct exec`: runs a command in a container; this process becomes it, or waits for it.

use pvect_core::{Call, Vmid};

use crate::runtime::{self, Environment};
use crate::{Failure, Node, NodeResult, Output, store};

/// Runs a command in a container. The command's status is this process's.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    store::load_telling(node, vmid, output)?;
    check_running(node, vmid)?;
    let words: Vec<String> = call.args().iter().skip(1).chain(call.command_words()).cloned().collect();
    if words.is_empty() {
        return Err(Failure::new("missing command"));
    }
    runtime::attach(node, vmid, environment(call), &words)
}

/// Refuses a container that does not run, and one whose init is not in its own cgroup: LXC's programs would enter the
/// namespaces of any process that the monitor names.
///
/// # Errors
/// `container '<vmid>' not running!`; why the process that the monitor names is not trusted.
pub(super) fn check_running(node: &Node, vmid: Vmid) -> NodeResult<()> {
    if !runtime::is_running(node, vmid) {
        return Err(Failure::new(format!("container '{vmid}' not running!")));
    }
    runtime::init(node, vmid).map(drop)
}

/// The option `keep-env`, which is on unless it is switched off.
pub(super) fn environment(call: &Call) -> Environment {
    match call.has("keep-env") && !super::is_on(call, "keep-env") {
        true => Environment::Clear,
        false => Environment::Keep,
    }
}
