//! What came of a bulk run.

use std::time::Duration;

use pvect::bulk::Ended;
use pvect::select::Candidate;
use pvect_core::{Error, ErrorKind, Result, Verb};
use serde::Serialize;

use crate::app::App;
use crate::args::Form;
use crate::ui::Label;
use crate::{errors, render};

/// The result of the work on one container.
#[derive(Debug)]
pub(super) struct Came {
    /// The status of `exec`'s command; 0 for everything else.
    pub(super) status: i32,
    pub(super) stdout: Vec<u8>,
    pub(super) stderr: Vec<u8>,
    pub(super) warnings: Vec<String>,
}

/// How it ended, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Done,
    /// It was in the wanted state already: started while running, or stopped while not running.
    Unchanged,
    Failed,
    Skipped,
}

impl State {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Unchanged => "unchanged",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
        }
    }
}

/// Returns how it ended. In a bulk run, a container that is in the wanted state already is not a failure.
pub(super) fn state(end: &Ended<Came>) -> State {
    match end {
        Ended::Done { value, .. } if value.status == 0 => State::Done,
        Ended::Failed { error, .. } if already(error) => State::Unchanged,
        Ended::Done { .. } | Ended::Failed { .. } => State::Failed,
        Ended::Skipped => State::Skipped,
    }
}

fn already(error: &Error) -> bool {
    let verb = error.run().map(|run| run.argv.as_slice()).unwrap_or_default();
    let is = |names: &[&str]| verb.iter().any(|word| names.contains(&word.as_str()));
    match error.kind() {
        ErrorKind::AlreadyRunning => is(&["start"]),
        ErrorKind::NotRunning => is(&["stop", "shutdown"]),
        _ => false,
    }
}

/// One container's result, for programs.
#[derive(Debug, Serialize)]
struct Record<'a> {
    vmid: u32,
    name: &'a str,
    node: &'a str,
    verb: &'a str,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    exit: Option<i32>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    stdout: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stderr: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
}

/// A run that has ended.
pub(super) struct Report<'a> {
    pub(super) app: &'a App,
    pub(super) verb: Verb,
    pub(super) chosen: &'a [Candidate],
    pub(super) ended: &'a [Ended<Came>],
    pub(super) took: Duration,
}

impl Report<'_> {
    /// Prints what programs read, or else what commands wrote and a summary; the exit status is 10 when some failed.
    pub(super) fn finish(&self) -> Result<u8> {
        let ui = &self.app.ui;
        let form = self.app.form(Form::Table);
        match form {
            Form::Json | Form::Yaml | Form::Csv => {
                let records: Vec<Record<'_>> =
                    self.chosen.iter().zip(self.ended).map(|(one, end)| self.record(one, end)).collect();
                let columns = ["vmid", "name", "result", "seconds", "message"];
                ui.print(render::records(&ui.globals, form, &columns, &records)?)?;
            }
            Form::Table | Form::Plain => self.texts()?,
        }
        let count = |wanted| self.ended.iter().filter(|end| state(end) == wanted).count();
        let failed = count(State::Failed);
        if !ui.json_errors() && !ui.globals.quiet {
            let counted: Vec<String> = [State::Done, State::Unchanged, State::Failed, State::Skipped]
                .into_iter()
                .filter(|state| count(*state) > 0)
                .map(|state| format!("{} {}", count(state), state.as_str()))
                .collect();
            ui.note(&format!("{} in {:.2} s", counted.join(", "), self.took.as_secs_f64()));
        }
        Ok(if failed == 0 { 0 } else { ErrorKind::Partial.exit_status() })
    }

    /// What commands wrote, each line with its container's name in front; when quiet, also errors with their hints.
    fn texts(&self) -> Result<()> {
        let ui = &self.app.ui;
        for (one, end) in self.chosen.iter().zip(self.ended) {
            match end {
                Ended::Done { value, .. } => {
                    value
                        .warnings
                        .iter()
                        .for_each(|line| ui.warning(&format!("{} {}: {line}", one.vmid, one.name)));
                    if self.verb == Verb::Exec {
                        for line in String::from_utf8_lossy(&value.stdout).lines() {
                            ui.print(format!("{}: {line}\n", one.name))?;
                        }
                        for line in String::from_utf8_lossy(&value.stderr).lines() {
                            ui.note(&format!("{}: {line}", one.name));
                        }
                    }
                }
                Ended::Failed { error, .. } if state(end) == State::Failed => {
                    let whose = format!("{} {}", one.vmid, one.name);
                    if ui.globals.quiet {
                        ui.labelled(Label::Error, &format!("{whose}: {error}"));
                    }
                    errors::detail(ui, error, &whose, true);
                }
                Ended::Failed { .. } | Ended::Skipped => {}
            }
        }
        Ok(())
    }

    fn record<'a>(&'a self, one: &'a Candidate, end: &'a Ended<Came>) -> Record<'a> {
        let mut record = Record {
            vmid: one.vmid.get(),
            name: &one.name,
            node: one.node.as_str(),
            verb: self.verb.name(),
            result: state(end).as_str(),
            seconds: None,
            exit: None,
            warnings: &[],
            stdout: None,
            stderr: None,
            kind: None,
            message: None,
        };
        let seconds = |took: &Duration| Some((took.as_secs_f64() * 1000.0).round() / 1000.0);
        match end {
            Ended::Done { value, took } => {
                record.seconds = seconds(took);
                record.warnings = &value.warnings;
                let text = |bytes: &[u8]| Some(String::from_utf8_lossy(bytes).into_owned());
                if self.verb == Verb::Exec {
                    record.exit = Some(value.status);
                    record.stderr = text(&value.stderr);
                }
                record.stdout =
                    text(&value.stdout).filter(|text| self.verb == Verb::Exec || !text.is_empty());
            }
            Ended::Failed { error, took } => {
                record.seconds = seconds(took);
                record.kind = Some(error.kind().as_str());
                record.message = Some(error.to_string());
            }
            Ended::Skipped => {}
        }
        record
    }
}
