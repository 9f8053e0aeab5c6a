//! `startup`.

use std::fmt;

use crate::shape;

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
    ///
    /// Blank parts are ignored, the last of repeated parts counts, and a number beyond 32 bits becomes the largest. The
    /// empty text and `0` are refused, as Proxmox VE refuses them.
    pub fn parse(text: &str) -> Option<Self> {
        let [order, up, down] = shape::startup(text)?;
        Some(Self { order, up, down })
    }
}

impl fmt::Display for Startup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = [("order", self.order), ("up", self.up), ("down", self.down)];
        let parts = parts.iter().filter_map(|(key, value)| value.map(|value| format!("{key}={value}")));
        f.write_str(&parts.collect::<Vec<_>>().join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_is_parsed_and_printed() {
        for (text, printed) in [
            ("order=2,up=10,down=20", "order=2,up=10,down=20"),
            ("down=5, ,3", "order=3,down=5"),
            ("1,,", "order=1"),
            ("up=99999999999", "up=4294967295"),
        ] {
            assert_eq!(Startup::parse(text).unwrap().to_string(), printed, "{text}");
        }
        for bad in ["", "0", "bogus", "order=", "up=-1", "order=1;up=2", "Order=1", " 1", "order=+1"] {
            assert_eq!(Startup::parse(bad), None, "{bad:?}");
        }
    }
}
