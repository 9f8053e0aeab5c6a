//! Sizes of disks: powers of 1024, a plain number means bytes.

use std::fmt;

/// A size in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct DiskSize(pub u64);

impl DiskSize {
    /// Parses `disk-size`: digits, perhaps a fraction, perhaps K, M, G or T (or KiB, MiB ...); fractions of a byte are cut.
    pub fn parse(_text: &str) -> Option<Self> {
        None
    }

    /// Returns the size in GiB as `STORAGE:SIZE` writes it: `4`, `0.5`.
    pub fn gib_text(self) -> String {
        String::new()
    }
}

/// Prints the largest of T, G, M, K that divides exactly, else plain bytes.
impl fmt::Display for DiskSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
