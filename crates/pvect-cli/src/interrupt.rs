//! Ctrl-C stops what runs, with a grace period; a second one stops it at once.

use pvect::{CancelHandle, Client};
use tokio::signal::unix::{SignalKind, signal};

/// Passes SIGINT, SIGTERM and SIGHUP on to what the client runs, from now on.
pub fn watch(client: &Client) {
    cancel_on_signals(&client.cancel_handle());
}

/// Cancels the handle with each of the signals.
pub fn cancel_on_signals(handle: &CancelHandle) {
    for kind in [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()] {
        // If the signal cannot be watched, it keeps its default action.
        let Ok(mut stream) = signal(kind) else { continue };
        let handle = handle.clone();
        tokio::spawn(async move {
            while stream.recv().await.is_some() {
                handle.cancel();
            }
        });
    }
}
