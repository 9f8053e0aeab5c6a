//! What happens while pct runs.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use pvect_core::{Call, Events};

use crate::ui::Ui;
use crate::visible::printable;

/// Where the log of a task goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogTo {
    /// To stdout: it is the result.
    Stdout,
    /// To stderr.
    Stderr,
    /// Nowhere.
    Nowhere,
}

/// Shows the log as it comes, and a spinner on a terminal.
pub struct Progress {
    ui: Ui,
    to: LogTo,
    bar: Option<ProgressBar>,
}

impl Progress {
    /// Starts showing the progress of a call.
    pub fn new(ui: &Ui, call: &Call, to: LogTo) -> Self {
        let spins = ui.shows_progress() && call.verb().spec().task.is_some();
        let bar = spins.then(|| {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            let about = call.args().first().map(String::as_str).unwrap_or_default();
            bar.set_message(printable(&format!("{} {about}", call.verb())));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Self { ui: ui.clone(), to, bar }
    }
}

impl Events for Progress {
    fn log(&mut self, line: &str) {
        let show = || match self.to {
            // A closed stdout is noticed when the result is written.
            LogTo::Stdout => drop(self.ui.print(format!("{line}\n"))),
            LogTo::Stderr => self.ui.note(line),
            LogTo::Nowhere => {}
        };
        match &self.bar {
            Some(bar) => bar.suspend(show),
            None => show(),
        }
    }

    /// Warnings are shown when the end is known: until then they may be the error.
    fn warning(&mut self, _line: &str) {}
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A bar of bytes that come in parts, on a terminal.
#[cfg(feature = "image")]
pub struct Bytes {
    bar: Option<ProgressBar>,
    parts: std::sync::Mutex<std::collections::BTreeMap<String, u64>>,
}

#[cfg(feature = "image")]
impl Bytes {
    /// Starts a bar.
    pub fn new(ui: &Ui, about: &str) -> Self {
        let bar = ui.shows_progress().then(|| {
            let bar = ProgressBar::new(0);
            let form = "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";
            if let Ok(style) = ProgressStyle::with_template(form) {
                bar.set_style(style);
            }
            bar.set_message(printable(about));
            bar
        });
        Self { bar, parts: std::sync::Mutex::default() }
    }

    /// Sets how many bytes there are.
    pub fn expect(&self, size: u64) {
        if let Some(bar) = &self.bar {
            bar.set_length(size);
        }
        self.change(|parts| parts.clear());
    }

    /// Sets how much of a part is there.
    pub fn there(&self, part: &str, bytes: u64) {
        self.change(|parts| {
            parts.insert(part.to_owned(), bytes);
        });
    }

    /// Adds to a part.
    pub fn more(&self, part: &str, bytes: u64) {
        self.change(|parts| *parts.entry(part.to_owned()).or_default() += bytes);
    }

    /// Runs what writes to the terminal.
    pub fn aside(&self, write: impl FnOnce()) {
        match &self.bar {
            Some(bar) => bar.suspend(write),
            None => write(),
        }
    }

    fn change(&self, how: impl FnOnce(&mut std::collections::BTreeMap<String, u64>)) {
        let mut parts = self.parts.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        how(&mut parts);
        if let Some(bar) = &self.bar {
            bar.set_position(parts.values().sum());
        }
    }
}

#[cfg(feature = "image")]
impl Drop for Bytes {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
