//! `startup`.

use std::fmt;

/// Order and delays at start and shutdown of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Startup {
    /// Position; lower ones start first and stop last.
    pub order: Option<u32>,
    /// Seconds to wait after the start.
    pub up: Option<u32>,
    /// Seconds that the shutdown may take.
    pub down: Option<u32>,
}

impl Startup {
    /// Parses the value of `startup`; `None` when it breaks the grammar.
    pub fn parse(_text: &str) -> Option<Self> {
        None
    }
}

impl fmt::Display for Startup {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
