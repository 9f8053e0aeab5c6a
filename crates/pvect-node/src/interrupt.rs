//! SIGINT, SIGTERM and SIGHUP while a long verb runs: noted, and asked for between two steps.
//!
//! So a create that is told to end undoes what it did. Signals that come while it undoes are noted too and change
//! nothing. When nobody watches, the signals end the process as ever; a process that runs one command
//! ([`crate::run_to_exit`]) is not ended by them any more once a part of its work has watched: what is done stays
//! done, and is reported.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use signal_hook::SigId;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::{Failure, NodeResult};

const SIGNALS: [i32; 3] = [SIGHUP, SIGINT, SIGTERM];

/// How many watchers there are, and whether there are none.
static WATCHERS: AtomicUsize = AtomicUsize::new(0);
static NOBODY: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// The flag that all parts of the process's one command share: a signal that came between two parts counts for the
/// second.
static COMMAND: OnceLock<Arc<AtomicBool>> = OnceLock::new();

/// Declares that this process runs one verb and ends.
pub(crate) fn one_command() {
    COMMAND.get_or_init(Arc::default);
}

/// Notes the signals until it is dropped.
#[derive(Debug)]
pub struct Interrupt {
    flag: Arc<AtomicBool>,
    ids: Vec<SigId>,
}

impl Interrupt {
    /// Starts to note the signals.
    pub fn watch() -> Self {
        let nobody = NOBODY.get_or_init(|| {
            let nobody = Arc::new(AtomicBool::new(false));
            for signal in SIGNALS {
                // Once a handler is installed, it must carry out the default action itself.
                let _ = signal_hook::flag::register_conditional_default(signal, Arc::clone(&nobody));
            }
            nobody
        });
        WATCHERS.fetch_add(1, Ordering::SeqCst);
        nobody.store(false, Ordering::SeqCst);
        let flag = COMMAND.get().cloned().unwrap_or_default();
        // A signal that cannot be watched keeps its default action and ends the process.
        let ids = SIGNALS
            .into_iter()
            .filter_map(|signal| signal_hook::flag::register(signal, Arc::clone(&flag)).ok())
            .collect();
        Self { flag, ids }
    }

    /// Returns whether one of the signals has come.
    pub fn came(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Returns the flag that is set when one of the signals comes.
    pub fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.flag)
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
        if COMMAND.get().is_some() {
            return;
        }
        for id in self.ids.drain(..) {
            signal_hook::low_level::unregister(id);
        }
        let was_last = WATCHERS.fetch_sub(1, Ordering::SeqCst) == 1;
        if let Some(nobody) = NOBODY.get().filter(|_| was_last) {
            nobody.store(true, Ordering::SeqCst);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Runs an ignored test in a process of its own, because a signal reaches every watcher in a process.
    pub(crate) fn alone(test: &str) {
        let mut command = std::process::Command::new(std::env::current_exe().unwrap());
        let output = command.args(["--exact", test, "--ignored"]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
    }

    #[test]
    fn a_signal_is_noted() {
        alone("interrupt::tests::noted");
        alone("interrupt::tests::shared");
    }

    #[test]
    #[ignore = "run in a process of its own"]
    fn noted() {
        let watched = Interrupt::watch();
        assert!(watched.check().is_ok());
        signal_hook::low_level::raise(SIGHUP).unwrap();
        assert_eq!(watched.check().unwrap_err().text, "interrupted by signal");
        assert!(Interrupt::watch().check().is_ok());
    }

    #[test]
    #[ignore = "run in a process of its own"]
    fn shared() {
        one_command();
        drop(Interrupt::watch());
        signal_hook::low_level::raise(SIGTERM).unwrap();
        assert_eq!(Interrupt::watch().check().unwrap_err().text, "interrupted by signal");
    }
}
