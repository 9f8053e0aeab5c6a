//! Stopping a run from outside.

use std::sync::Arc;

use tokio::sync::watch;

/// Stops the runs of a backend: the first [`CancelHandle::cancel`] like a time-out, the second at once.
///
/// Clones share one state. A handle stays cancelled.
#[derive(Debug, Clone)]
pub struct CancelHandle {
    count: Arc<watch::Sender<u32>>,
}

impl CancelHandle {
    /// Makes a handle that nobody has cancelled.
    pub fn new() -> Self {
        Self { count: Arc::new(watch::Sender::new(0)) }
    }

    /// Stops what runs: sends SIGTERM and waits for the grace period; called again, sends SIGKILL.
    pub fn cancel(&self) {
        self.count.send_modify(|count| *count = count.saturating_add(1));
    }

    /// Returns whether it was cancelled.
    pub fn is_cancelled(&self) -> bool {
        *self.count.borrow() > 0
    }

    /// Returns a receiver of how often it was cancelled, for work that is stopped in another way.
    pub fn subscribe(&self) -> watch::Receiver<u32> {
        self.count.subscribe()
    }

    /// Waits until it was cancelled at least `times` times.
    pub(crate) async fn reached(&self, times: u32) {
        let mut receiver = self.count.subscribe();
        // The sender lives in `self`, so the channel cannot close while this waits.
        let _ = receiver.wait_for(|count| *count >= times).await;
    }
}

impl Default for CancelHandle {
    fn default() -> Self {
        Self::new()
    }
}
