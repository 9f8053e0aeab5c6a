//! How errors are shown: one place.

use std::io::ErrorKind as IoKind;

use pvect_core::Error;
use pvect_core::error::Exit;
use serde::Serialize;

use crate::hints::hints;
use crate::ui::{Label, Ui};

/// An error as one JSON object.
#[derive(Debug, Serialize)]
struct Object<'a> {
    kind: &'a str,
    message: String,
    vmid: Option<u32>,
    argv: Option<&'a [String]>,
    exit: Option<i32>,
    stdout: Option<&'a str>,
    stderr: Option<&'a str>,
    hint: Option<String>,
}

/// Writes the error to stderr and returns the exit status. A closed stdout is not reported as an error.
pub fn show(ui: &Ui, error: &Error) -> u8 {
    show_with(ui, error, Vec::new())
}

/// As [`show`], with further hints.
pub fn show_with(ui: &Ui, error: &Error, further: Vec<String>) -> u8 {
    if matches!(error, Error::Io { source, .. } if source.kind() == IoKind::BrokenPipe) {
        return 0;
    }
    let mut hints = hints(error);
    hints.extend(further);
    if ui.json_errors() {
        json(ui, error, &hints);
    } else {
        human(ui, error, &hints);
    }
    error.kind().exit_status()
}

fn json(ui: &Ui, error: &Error, hints: &[String]) {
    let run = error.run();
    let object = Object {
        kind: error.kind().as_str(),
        message: error.to_string(),
        vmid: error.vmid().map(|vmid| vmid.get()),
        argv: run.map(|run| run.argv.as_slice()),
        exit: run.and_then(|run| run.exit).map(|exit| match exit {
            Exit::Status(code) => code,
            Exit::Signal(number) => 128 + number,
        }),
        stdout: run.map(|run| run.stdout.as_str()),
        stderr: run.map(|run| run.stderr.as_str()),
        hint: (!hints.is_empty()).then(|| hints.join("\n")),
    };
    ui.note(&serde_json::to_string(&object).unwrap_or_else(|error| format!("{{\"message\":\"{error}\"}}")));
}

fn human(ui: &Ui, error: &Error, hints: &[String]) {
    match error {
        Error::InvalidArgument(list) => {
            list.iter().for_each(|one| ui.labelled(Label::Error, &one.to_string()));
        }
        Error::Settings { what } => what.lines().for_each(|line| ui.labelled(Label::Error, line)),
        _ => ui.labelled(Label::Error, &error.to_string()),
    }
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string();
        ui.note(&format!("  because: {}", text.split(" (os error").next().unwrap_or(&text)));
        source = cause.source();
    }
    detail(ui, error, "pct", ui.globals.quiet);
    hints.iter().for_each(|hint| ui.labelled(Label::Hint, hint));
}

/// Shows what pct wrote besides the message, with `whose` before each line; also the task's log, if it was not shown
/// while it ran.
pub fn detail(ui: &Ui, error: &Error, whose: &str, with_log: bool) {
    const SHOWN: usize = 40;
    let Some(run) = error.run() else { return };
    let message = error.to_string();
    // Do not repeat what the message says already.
    let news = |text: &str| -> Vec<String> {
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
        let new = lines.iter().any(|line| !message.contains(line.trim()));
        if new { lines.iter().map(|line| format!("  {whose}: {line}")).collect() } else { Vec::new() }
    };
    if with_log {
        let log = news(&run.stdout);
        log[log.len().saturating_sub(SHOWN)..].iter().for_each(|line| ui.note(line));
    }
    news(&run.stderr).iter().take(SHOWN).for_each(|line| ui.note(line));
}
