//! `pct reboot`: shuts a container down and starts it again.

use pvect_core::Call;

use crate::{Failure, Node, NodeResult, Output};

/// Shuts a container down and starts it again. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(_node: &Node, _call: &Call, _output: &mut Output<'_>) -> NodeResult<u8> {
    Err(Failure::new("not there yet"))
}
