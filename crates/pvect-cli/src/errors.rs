//! How errors are shown: one place.

use std::io::ErrorKind as IoKind;

use pvect_core::call::shell_quoted;
use pvect_core::error::{Exit, Refusal, Unavailable};
use pvect_core::{Error, ErrorKind};
use serde::Serialize;

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

/// Writes the error to stderr and returns the exit status. A closed stdout is no error worth a word.
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

/// Shows what pct wrote besides the message, `whose` before each line; the task's log too when it was not shown as
/// it came.
pub fn detail(ui: &Ui, error: &Error, whose: &str, with_log: bool) {
    const SHOWN: usize = 40;
    let Some(run) = error.run() else { return };
    let message = error.to_string();
    // What the message says already is not said again.
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

/// What would mend it, by kind.
pub fn hints(error: &Error) -> Vec<String> {
    let about =
        |text: &str| error.vmid().map(|vmid| text.replace("{}", &vmid.to_string())).into_iter().collect();
    match (error.kind(), error) {
        (_, Error::Timeout { left, vmid, .. }) => {
            let mend =
                left.mend.as_ref().map(|mend| format!("`{}` mends that", mend.replacen("pct ", "pvect ", 1)));
            let look = vmid.map(|vmid| format!("`pvect status {vmid} --verbose` shows its state now"));
            mend.or(look).into_iter().collect()
        }
        (_, Error::Refused { refusal, .. }) => refused(refusal, &about),
        (_, Error::ConnectionLost { may_have_run: true, vmid, .. }) => match vmid {
            Some(vmid) => vec![format!("look first, then try again: `pvect status {vmid} --verbose`")],
            None => vec!["look at what was done before you try again".to_owned()],
        },
        (_, Error::ConnectionLost { .. }) => vec!["nothing was done; it can be tried again".to_owned()],
        (_, Error::NotAvailable { reason: Unavailable::Missing, path }) if path.is_relative() => {
            vec!["set ssh.pct_path to where pct is on that node".to_owned()]
        }
        (_, Error::NotAvailable { reason: Unavailable::Missing, .. }) => vec![
            "--standalone runs containers without Proxmox VE; `pvect doctor` says what is missing".to_owned(),
        ],
        (ErrorKind::PctNotAvailable, _) => vec!["`pvect doctor` says what is missing".to_owned()],
        (ErrorKind::PctPermissionDenied, Error::PermissionDenied { .. }) => {
            vec!["run it as root, or with --sudo".to_owned()]
        }
        (ErrorKind::Locked, Error::Failed { message, .. }) if message.contains("lock file") => {
            vec!["another command works on the container; try again when it has ended".to_owned()]
        }
        (ErrorKind::Locked, _) => {
            about("if nothing works on the container any more, `pvect unlock {}` removes the lock")
        }
        (ErrorKind::NotRunning, _) => about("`pvect start {}` starts it"),
        (ErrorKind::AlreadyRunning, _) => about("`pvect stop {}` or `pvect shutdown {}` stops it"),
        (ErrorKind::Protected, _) => about("`pvect set {} --protection 0` takes the protection away"),
        (ErrorKind::AlreadyExists, Error::Failed { message, .. }) if message.contains("on node") => {
            vec!["without a number, create takes the next free one".to_owned()]
        }
        (ErrorKind::Conflict, _) => about("read it again with `pvect config {}` and repeat the change"),
        (ErrorKind::PctInvalidOutput, _) => {
            let argv = error.run().map(|run| shell_quoted(&run.argv));
            argv.map(|argv| format!("`{argv}` shows what it prints")).into_iter().collect()
        }
        (ErrorKind::NotFound, _) => missing(error),
        (ErrorKind::NoQuorum, _) => vec!["`pvecm status` shows the state of the cluster".to_owned()],
        _ => Vec::new(),
    }
}

/// What shows the things of the kind that was not found.
fn missing(error: &Error) -> Vec<String> {
    let message = error.to_string();
    let shows = |command: &str, what: &str| vec![format!("`{command}` shows {what}")];
    if message.contains("snapshot '") {
        let vmid = error.vmid().map(|vmid| vmid.to_string()).unwrap_or_else(|| "VMID".to_owned());
        shows(&format!("pvect listsnapshot {vmid}"), "the snapshots")
    } else if message.contains("vztmpl/") || message.contains("template") {
        shows("pvect template list", "the templates")
    } else if message.starts_with("there is no container ") && !message.contains("There are: ") {
        shows("pvect list", "the containers")
    } else {
        Vec::new()
    }
}

/// How to do it all the same.
fn refused(refusal: &Refusal, about: &dyn Fn(&str) -> Vec<String>) -> Vec<String> {
    match refusal {
        Refusal::RebootLocked { .. } => about(
            "`pvect unlock {}` removes a lock that nothing holds any more; --force reboots all the same",
        ),
        Refusal::RollbackRunning => about("`pvect shutdown {}` ends it cleanly; --force kills it"),
        Refusal::DfStopped => about("`pvect df {} --mount` does it; `pvect start {}` starts the container"),
        Refusal::TokenInArgv => vec![
            "--token-file FILE or --token-stdin keeps it out of pvect's own argv and the shell's history; \
             --allow-token-in-argv hands it to pct all the same"
                .to_owned(),
        ],
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use pvect_core::error::Run;

    use super::*;

    fn failed(kind: ErrorKind, message: &str) -> Error {
        Error::Failed {
            kind,
            message: message.to_owned(),
            vmid: "101".parse().ok(),
            run: Box::new(Run::default()),
        }
    }

    #[test]
    fn hints_name_the_command() {
        assert_eq!(
            hints(&failed(ErrorKind::NotRunning, "CT 101 not running")),
            ["`pvect start 101` starts it"]
        );
        assert_eq!(
            hints(&failed(ErrorKind::Locked, "CT is locked (backup)")),
            ["if nothing works on the container any more, `pvect unlock 101` removes the lock"]
        );
        assert_eq!(hints(&failed(ErrorKind::PctOperationFailed, "x")), Vec::<String>::new());
    }
}
