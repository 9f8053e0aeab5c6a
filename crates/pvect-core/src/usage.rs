//! How full a volume is.

use serde::Serialize;

/// One file system of a container, as `pct df` shows it.
///
/// pct prints sizes with one decimal, so the bytes here are as exact as that.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FileSystem {
    /// `rootfs`, `mp0`, ...
    pub volume: String,
    /// What is mounted: a volume id, a directory or a device of the host.
    pub source: String,
    /// The size in bytes.
    pub size: u64,
    /// How many bytes are used.
    pub used: u64,
    /// How many bytes are free for users other than root.
    pub available: u64,
    /// How full it is, 0 to 100.
    pub percent: f64,
    /// The path in the container.
    pub path: String,
}
