//! `pct console`: opens a container's console; this process becomes it.

use pvect_core::Call;

use crate::{Node, NodeResult, Output, runtime, store};

/// The prefix of the key sequence that leaves the console.
const ESCAPE: &str = "^a";

/// Opens a container's console. Its status is this process's.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let config = store::load_telling(node, vmid, output)?.config;
    super::exec::check_running(node, vmid)?;
    let escape = call.get("escape").unwrap_or(ESCAPE);
    runtime::console(node, vmid, config.main.cmode(), Some(escape))
}
