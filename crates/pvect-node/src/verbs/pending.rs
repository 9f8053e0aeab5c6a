//! `pct pending`: shows the configuration with its pending changes.

use pvect_core::Call;
use pvect_core::config::pending_output;

use crate::{Node, NodeResult, Output, store};

/// Shows the configuration with its pending changes. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let stored = store::load_telling(node, super::vmid(call)?, output)?;
    output.text(pending_output(&stored.config.pending_items()));
    Ok(0)
}
