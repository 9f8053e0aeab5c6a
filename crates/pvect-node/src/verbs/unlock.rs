//! `pct unlock`: removes the lock of a configuration.

use pvect_core::Call;

use crate::{Failure, Node, NodeResult, Output};

/// Removes the lock of a configuration. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(_node: &Node, _call: &Call, _output: &mut Output<'_>) -> NodeResult<u8> {
    Err(Failure::new("not there yet"))
}
