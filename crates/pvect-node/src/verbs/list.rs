//! `pct list`: lists the containers.

use pvect_core::Call;

use crate::{Failure, Node, NodeResult, Output};

/// Lists the containers. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(_node: &Node, _call: &Call, _output: &mut Output<'_>) -> NodeResult<u8> {
    Err(Failure::new("not there yet"))
}
