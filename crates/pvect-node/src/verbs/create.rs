//! `pct create`: makes a container from a template.

use pvect_core::Call;

use crate::{Failure, Node, NodeResult, Output};

/// Makes a container from a template. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(_node: &Node, _call: &Call, _output: &mut Output<'_>) -> NodeResult<u8> {
    Err(Failure::new("not there yet"))
}
