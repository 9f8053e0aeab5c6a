//! What the containers of the node that the program runs on do: events as they happen, and samples of their use.
//!
//! Both read the node's own files and sockets, so they are for root on the node: a [`Client`] that reaches its
//! containers through ssh or the API has neither.
//!
//! ```no_run
//! # fn main() -> pvect::Result<()> {
//! use std::time::Duration;
//! use pvect::live::Event;
//!
//! let client = pvect::Client::connect(pvect::Settings::default())?;
//! let mut watcher = client.watch()?;
//! loop {
//!     for event in watcher.wait(Duration::from_secs(60))? {
//!         if let Event::State { vmid, running } = event {
//!             println!("{vmid} {}", if running { "runs" } else { "has stopped" });
//!         }
//!     }
//! }
//! # }
//! ```

use std::time::Duration;

use pvect_core::{Error, Result, Vmid};
use pvect_native::NativeBackend;
pub use pvect_native::{Change, Details, Event, Frame, Rates, Sample};

use crate::{Client, Place};

/// Watches a node. Waiting blocks the thread: in an asynchronous program, give it a thread of its own.
#[derive(Debug)]
pub struct Watcher(pvect_native::Watcher);

impl Watcher {
    /// Waits until something happens, at most for `limit`; returns an empty list when the time is over.
    ///
    /// # Errors
    /// `Io` when waiting fails.
    pub fn wait(&mut self, limit: Duration) -> Result<Vec<Event>> {
        let failed = |source| Error::Io { what: "the node cannot be watched any more".to_owned(), source };
        self.0.wait(limit).map_err(failed)
    }
}

/// Reads how much of the node the containers use. It caches configurations that have not changed.
#[derive(Debug)]
pub struct Sampler(pvect_native::Sampler);

impl Sampler {
    /// Reads all containers, by number; `detailed` chooses those whose [`Details`] are read. Two samples give
    /// [`Rates`].
    ///
    /// # Errors
    /// When the directory of the configurations cannot be read.
    pub fn sample(&mut self, detailed: impl Fn(Vmid) -> bool) -> Result<Vec<Sample>> {
        self.0.sample(detailed)
    }
}

impl Client {
    /// Starts to watch the node; what exists already is not an event.
    ///
    /// # Errors
    /// `Unsupported` if the node's own files are not read; `Io` when the kernel does not let it watch.
    pub fn watch(&self) -> Result<Watcher> {
        let backend = self.on_the_node("watch")?;
        let tasks = match self.place() {
            Place::Standalone { root, .. } => root.join("log/tasks"),
            _ => "/var/log/pve/tasks".into(),
        };
        let failed = |source| Error::Io { what: "the node cannot be watched".to_owned(), source };
        pvect_native::Watcher::new(backend, tasks).map(Watcher).map_err(failed)
    }

    /// Makes a sampler of the node's containers.
    ///
    /// # Errors
    /// `Unsupported` where the node's own files are not read.
    pub fn sampler(&self) -> Result<Sampler> {
        Ok(Sampler(pvect_native::Sampler::new(self.on_the_node("top")?)))
    }

    fn on_the_node(&self, what: &str) -> Result<NativeBackend> {
        self.native_backend().cloned().ok_or_else(|| {
            let what = format!("{what} reads the node's own files and sockets: run it on the node, as root");
            Error::Unsupported { what, vmid: None }
        })
    }
}
