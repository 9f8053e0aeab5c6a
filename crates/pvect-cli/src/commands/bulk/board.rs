//! What a bulk run shows: on a terminal a changing line for each container, elsewhere a line when each one ends.

use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use pvect::bulk::{Ended, Happening};
use pvect::select::Candidate;
use pvect_core::Verb;

use super::report::{Came, State, state};
use crate::ui::Ui;
use crate::visible::printable;

/// Shows the run on stderr.
pub(super) struct Board<'a> {
    ui: &'a Ui,
    verb: Verb,
    chosen: &'a [Candidate],
    /// The lines of a terminal.
    lines: Option<MultiProgress>,
    bars: Vec<Option<ProgressBar>>,
}

impl<'a> Board<'a> {
    pub(super) fn new(ui: &'a Ui, verb: Verb, chosen: &'a [Candidate]) -> Self {
        let lines = ui.shows_progress().then(MultiProgress::new);
        Self { ui, verb, chosen, lines, bars: vec![None; chosen.len()] }
    }

    pub(super) fn show(&mut self, index: usize, what: &Happening<'_, Came>) {
        match what {
            Happening::Began => self.begin(index),
            Happening::Log(line) | Happening::Warning(line) => {
                if let Some(Some(bar)) = self.bars.get(index) {
                    bar.set_message(printable(&format!("{}  {}", self.name(index), line.trim())));
                }
            }
            Happening::Ended(end) => self.end(index, end),
        }
    }

    fn begin(&mut self, index: usize) {
        let Some(lines) = &self.lines else { return };
        let bar = lines.add(ProgressBar::new_spinner());
        if let Ok(style) = ProgressStyle::with_template("{spinner} {wide_msg} {elapsed}") {
            bar.set_style(style);
        }
        bar.set_message(printable(&format!("{}  {}", self.name(index), self.verb)));
        bar.enable_steady_tick(Duration::from_millis(120));
        self.bars[index] = Some(bar);
    }

    fn end(&mut self, index: usize, end: &Ended<Came>) {
        if let Some(bar) = self.bars[index].take() {
            bar.finish_and_clear();
        }
        if self.ui.json_errors() || self.ui.globals.quiet {
            return;
        }
        let line = format!("{}  {}", self.name(index), outcome(end));
        let note = || self.ui.note(&line);
        match &self.lines {
            Some(lines) => lines.suspend(note),
            None => note(),
        }
    }

    fn name(&self, index: usize) -> String {
        let one = &self.chosen[index];
        format!("{} {}", one.vmid, one.name)
    }
}

fn outcome(end: &Ended<Came>) -> String {
    let word = state(end).as_str();
    match end {
        Ended::Done { value, took } if value.status != 0 => {
            format!(
                "{word}: the command ended with status {} after {:.2} s",
                value.status,
                took.as_secs_f64()
            )
        }
        Ended::Done { took, .. } => format!("{word} in {:.2} s", took.as_secs_f64()),
        Ended::Failed { error, .. } if state(end) == State::Unchanged => format!("{word}: {error}"),
        Ended::Failed { error, .. } => format!("{word}: {error}"),
        Ended::Skipped => format!("{word}: another failed"),
    }
}
