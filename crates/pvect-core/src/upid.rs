//! UPID: the name of a task.

use std::fmt;
use std::str::FromStr;

use crate::NodeName;

/// `UPID:<node>:<pid>:<pstart>:<starttime>:<type>:<id>:<user>:`, numbers in upper-case hex of 8 digits (pstart may
/// have 9). Source: `PVE::UPID`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upid {
    /// The node.
    pub node: NodeName,
    /// The worker's process id.
    pub pid: u32,
    /// The worker's start, clock ticks after boot.
    pub pstart: u64,
    /// When the task began, seconds since 1970.
    pub starttime: u32,
    /// The worker's type, such as `vzstart`.
    pub worker: String,
    /// What it is about, mostly a vmid; may be empty.
    pub id: String,
    /// Who asked, such as `root@pam`.
    pub user: String,
}

/// The text is no UPID.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not a UPID")]
pub struct InvalidUpid(pub String);

impl FromStr for Upid {
    type Err = InvalidUpid;

    fn from_str(text: &str) -> Result<Self, InvalidUpid> {
        Err(InvalidUpid(text.to_owned()))
    }
}

impl fmt::Display for Upid {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
