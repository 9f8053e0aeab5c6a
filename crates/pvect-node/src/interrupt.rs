//! SIGINT, SIGTERM and SIGHUP while a long verb runs: noted, and asked for between two steps.
//!
//! So a create that is told to end undoes what it did. Signals that come while it undoes are noted too and change
//! nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{Failure, NodeResult};

/// The signals are noted as long as this lives.
#[derive(Debug)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    ids: Vec<SigId>,
}

impl Interrupt {
    /// Begins to note the signals.
    pub fn watch() -> Self {
        let flag = Arc::new(AtomicBool::new(false));
        // A signal that cannot be watched keeps its default: it ends the process.
        let ids = [SIGHUP, SIGINT, SIGTERM]
            .into_iter()
            .filter_map(|signal| signal_hook::flag::register(signal, Arc::clone(&flag)).ok())
            .collect();
        Self { flag, ids }
    }

    /// Returns whether one of the signals has come.
    pub fn came(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Fails once one of the signals has come.
    ///
    /// # Errors
    /// `interrupted by signal`.
    pub fn check(&self) -> NodeResult<()> {
        if self.came() { Err(Failure::new("interrupted by signal")) } else { Ok(()) }
    }
}

impl Drop for Interrupt {
    fn drop(&mut self) {
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_is_noted() {
        let watched = Interrupt::watch();
        assert!(watched.check().is_ok());
        signal_hook::low_level::raise(SIGHUP).unwrap();
        assert_eq!(watched.check().unwrap_err().text, "interrupted by signal");
    }
}
