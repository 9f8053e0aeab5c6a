//! `pct enter`: opens a shell in a container; this process becomes it, or waits for it.

use pvect_core::Call;

use crate::{Node, NodeResult, Output, runtime, store};

/// Opens a shell in a container. Its status is this process's.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    store::load_telling(node, vmid, output)?;
    super::exec::check_running(node, vmid)?;
    runtime::attach(node, vmid, super::exec::environment(call), &[])
}
