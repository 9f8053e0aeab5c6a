//! `pct suspend`, `pct resume`: refused. They are experimental in the real one, which writes the processes of a
//! container to disk with CRIU; containers with a mount namespace of LXC's monitor, as this node's are, cannot be.

use pvect_core::{Call, Verb};

use crate::{Failure, Node, NodeResult, Output, runtime, store};

/// Refuses to suspend or resume a container; what the real pct refuses first is refused in its words.
///
/// # Errors
/// Always: `CT <vmid> not running`, `CT <vmid> already running`, or why this node cannot do it.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let running = runtime::is_running(node, vmid);
    match call.verb() {
        Verb::Suspend if !running => return Err(Failure::new(format!("CT {vmid} not running"))),
        Verb::Resume if running => return Err(Failure::new(format!("CT {vmid} already running"))),
        _ => {}
    }
    store::load_telling(node, vmid, output)?;
    Err(Failure::new(format!(
        "the standalone node cannot {} CT {vmid}: it does not write containers' processes to disk; use stop and start",
        call.verb()
    )))
}
