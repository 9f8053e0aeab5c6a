//! `pct enter`: opens a shell in a container; this process becomes it.

use pvect_core::Call;

use crate::{Node, NodeResult, Output, runtime, store};

/// Opens a shell in a container. Returns only when that fails.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    store::load_telling(node, vmid, output)?;
    super::exec::check_running(node, vmid)?;
    Err(runtime::attach(node, vmid, super::exec::environment(call), &[]))
}
