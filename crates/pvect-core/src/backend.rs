//! The two traits that every backend implements: [`Inspect`] reads, [`Operate`] changes.

use async_trait::async_trait;

use crate::config::{ContainerConfig, PendingItem, SnapshotEntry};
use crate::{CheckedCall, Listing, Result, SnapshotName, Status, Vmid};

/// Which view of the configuration is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum ConfigView {
    /// Pending changes merged in, pending deletions left out: what the next start will use.
    #[default]
    Pending,
    /// The present values.
    Current,
    /// What a snapshot recorded.
    Snapshot(SnapshotName),
}

/// Reads containers of one node.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// Lists the node's containers by ascending vmid.
    async fn list(&self) -> Result<Vec<Listing>>;
    /// Reads the whole status record (`status --verbose`).
    async fn status(&self, vmid: Vmid) -> Result<Status>;
    /// Reads the configuration.
    async fn config(&self, vmid: Vmid, view: &ConfigView) -> Result<ContainerConfig>;
    /// Reads current and pending values, key by key.
    async fn pending(&self, vmid: Vmid) -> Result<Vec<PendingItem>>;
    /// Lists the snapshots, parents first; `current` is not among them.
    async fn snapshots(&self, vmid: Vmid) -> Result<Vec<SnapshotEntry>>;
}

/// Where a running task's log lines go, as they come.
pub trait Events: Send {
    /// One line that pct wrote to its stdout (a task's log), without its line end.
    fn log(&mut self, line: &str);
    /// One line that pct wrote to its stderr.
    fn warning(&mut self, line: &str);
}

/// Discards the events.
impl Events for () {
    fn log(&mut self, _line: &str) {}
    fn warning(&mut self, _line: &str) {}
}

/// What a finished operation reported.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Outcome {
    /// stdout, as it was printed (bounded).
    pub stdout: Vec<u8>,
    /// Warnings: lines of stderr of a run that succeeded.
    pub warnings: Vec<String>,
    /// The status: 0, except for `exec`, `enter` and `console`, which pass on the command's.
    pub status: i32,
}

/// Changes containers of one node.
#[async_trait]
pub trait Operate: Send + Sync {
    /// Carries out one call and returns when its end has been seen.
    ///
    /// # Errors
    /// Any [`crate::Error`]; after a time-out it says what was left behind.
    async fn operate(&self, call: &CheckedCall, events: &mut dyn Events) -> Result<Outcome>;
}
