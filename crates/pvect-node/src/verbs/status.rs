//! `pct status`: prints the state.

use pvect_core::Call;

use crate::{Failure, Node, NodeResult, Output};

/// Prints the state. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(_node: &Node, _call: &Call, _output: &mut Output<'_>) -> NodeResult<u8> {
    Err(Failure::new("not there yet"))
}
