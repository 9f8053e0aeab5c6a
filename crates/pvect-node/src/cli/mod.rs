//! The command line of pct: parsing, usage texts, dispatch.

use crate::{Node, Output};

/// Parses the words after `pct`, runs the verb, and returns the exit status.
pub fn run(_node: &Node, _words: &[String], output: &mut Output<'_>) -> u8 {
    output.warn("not there yet");
    255
}
