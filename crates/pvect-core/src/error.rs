//! The error kinds of pvect, made for branching.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::schema::{Reason, Violation};
use crate::{Lock, Vmid};

mod finding;
mod kind;
mod subject;

pub use finding::Finding;
pub use kind::ErrorKind;
pub use subject::Subject;

/// The result of everything in pvect.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It returned this status.
    Status(i32),
    /// A signal ended it.
    Signal(i32),
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(code) => write!(f, "exit status {code}"),
            Self::Signal(number) => write!(f, "signal {number}"),
        }
    }
}

/// One finished run of pct, kept in the error that it led to. Secrets are masked already.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Run {
    /// The argv, program first, secrets masked.
    pub argv: Vec<String>,
    /// How it ended; `None` when it was not seen to end.
    pub exit: Option<Exit>,
    /// What it wrote to stdout (the task's log, for tasks), cut at a bound.
    pub stdout: String,
    /// What it wrote to stderr, cut at a bound.
    pub stderr: String,
}

/// Why there is no pct to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unavailable {
    /// There is nothing at the path.
    Missing,
    /// It exists, but is not an executable file.
    NotExecutable,
    /// sudo is needed and missing, or it would ask for a password.
    Sudo(String),
    /// The node did not answer.
    Unreachable(String),
}

/// What a stopped or timed-out run left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeftBehind {
    /// The container's state, if it could be read.
    pub status: Option<crate::RunState>,
    /// The lock that is still set.
    pub lock: Option<Lock>,
    /// The command that repairs it, if there is one.
    pub fix: Option<String>,
}

/// What pct would do without asking, and pvect refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Hazard {
    /// reboot stops the container, and the lock then keeps it from starting again.
    #[error("the container is locked ({lock}): a reboot would stop it and could not start it again")]
    RebootLocked {
        /// The lock.
        lock: Lock,
    },
    /// rollback kills a running container first.
    #[error("the container is running: a rollback would kill all its processes")]
    RollbackRunning,
    /// df mounts a stopped container to measure it.
    #[error("the container is not running: df would mount its volumes on the host and lock it meanwhile")]
    DfStopped,
    /// The process list shows a token that is in argv.
    #[error(
        "pct takes the token of remote-migrate only in its argv, where every user of the node can read it"
    )]
    TokenInArgv,
}

impl Hazard {
    /// Returns the kind of error that it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::RebootLocked { .. } => ErrorKind::Locked,
            Self::RollbackRunning => ErrorKind::AlreadyRunning,
            Self::DfStopped => ErrorKind::NotRunning,
            Self::TokenInArgv => ErrorKind::InvalidArgument,
        }
    }
}

/// Any failure of pvect.
///
/// `Display` is one line that says what happened; the run of pct behind it is in [`Error::run`], the kind for
/// branching in [`Error::kind`]. It never holds a secret.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no pct to run.
    #[error("{}", unavailable(path, reason))]
    NotAvailable {
        /// The path that was asked for.
        path: PathBuf,
        /// What is wrong with it.
        reason: Unavailable,
    },
    /// The connection to the node was lost.
    #[error("the connection to '{node}' was lost: {what}; {}", fate(*may_have_run))]
    ConnectionLost {
        /// The node, as ssh was given it.
        node: String,
        /// `false`: the command was certainly not started. `true`: it may have run, completely or in part, and may
        /// still be running.
        may_have_run: bool,
        /// What ssh said.
        what: String,
        /// The container, where the call names one.
        vmid: Option<Vmid>,
        /// The run so far.
        run: Box<Run>,
    },
    /// pct could not be started, or its end was not seen.
    #[error("pct could not be run to its end: {what}")]
    Spawn {
        /// What happened.
        what: String,
        /// The run so far.
        run: Box<Run>,
        /// The system's error, where there is one.
        source: Option<std::io::Error>,
    },
    /// pct, or a request to the API, ended with a failure; `kind` is what its text means.
    #[error("{message}")]
    Failed {
        /// What the text means.
        kind: ErrorKind,
        /// The text, as pct printed it, without its decoration.
        message: String,
        /// The container, where the call names one.
        vmid: Option<Vmid>,
        /// The run.
        run: Box<Run>,
    },
    /// What pct printed could not be understood.
    #[error("the {} could not be understood: {what}", whose(run))]
    InvalidOutput {
        /// What was expected, and where the output differs.
        what: String,
        /// The run, with the raw text.
        run: Box<Run>,
    },
    /// The time-out passed, or the user interrupted.
    #[error("{}", timed_out(*after, *interrupted, run.exit.is_some() || after.is_zero(), left))]
    Timeout {
        /// How long pct ran.
        after: Duration,
        /// `true` when the user (Ctrl-C) ended it, not the time-out.
        interrupted: bool,
        /// The container, where the call names one.
        vmid: Option<Vmid>,
        /// What was left behind.
        left: Box<LeftBehind>,
        /// The run.
        run: Box<Run>,
    },
    /// Not root.
    #[error("{what}")]
    PermissionDenied {
        /// What was not permitted.
        what: String,
    },
    /// Something that pvect itself found wrong; `finding` has what it is about as data.
    #[error("{finding}")]
    Found {
        /// What was found.
        finding: Finding,
        /// The container, if it is known.
        vmid: Option<Vmid>,
        /// The run that led to it, if there was one.
        run: Option<Box<Run>>,
    },
    /// A name that means nothing, or more than one thing.
    #[error("{what}")]
    NotFound {
        /// What was looked for, and the candidates.
        what: String,
        /// The container, where it was named by number.
        vmid: Option<Vmid>,
    },
    /// Values that break the schema; pct was not started.
    #[error("{}", violations(.0))]
    InvalidArgument(Vec<Violation>),
    /// Something that pct would do, and that pvect does only when it is asked for explicitly; pct was not started.
    #[error("{hazard}")]
    Refused {
        /// What, and why.
        hazard: Hazard,
        /// The container.
        vmid: Option<Vmid>,
    },
    /// Something that pvect, or this backend, does not do.
    #[error("{what}")]
    Unsupported {
        /// What was asked and what can do it.
        what: String,
        /// The id, where one was named.
        vmid: Option<Vmid>,
    },
    /// Some of a bulk run failed.
    #[error("{failed} of {total} failed")]
    Partial {
        /// How many failed.
        failed: usize,
        /// Of how many.
        total: usize,
    },
    /// The settings are wrong.
    #[error("{what}")]
    Settings {
        /// File, key and what is wrong.
        what: String,
    },
    /// A file or stream on this side failed.
    #[error("{what}")]
    Io {
        /// What was done to which path.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
}

impl Error {
    /// Returns the kind, for branching.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAvailable { .. } => ErrorKind::PctNotAvailable,
            Self::ConnectionLost { .. } => ErrorKind::ConnectionLost,
            Self::Spawn { .. } => ErrorKind::PctCommandFailed,
            Self::Failed { kind, .. } => *kind,
            Self::InvalidOutput { .. } => ErrorKind::PctInvalidOutput,
            Self::Timeout { .. } => ErrorKind::PctTimeout,
            Self::PermissionDenied { .. } => ErrorKind::PctPermissionDenied,
            Self::Found { finding, .. } => finding.kind(),
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::InvalidArgument(_) => ErrorKind::InvalidArgument,
            Self::Refused { hazard, .. } => hazard.kind(),
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Partial { .. } => ErrorKind::Partial,
            Self::Settings { .. } => ErrorKind::InvalidSettings,
            Self::Io { .. } => ErrorKind::Io,
        }
    }

    /// Returns the run of pct that led here, if there was one.
    pub fn run(&self) -> Option<&Run> {
        match self {
            Self::Spawn { run, .. }
            | Self::ConnectionLost { run, .. }
            | Self::Failed { run, .. }
            | Self::InvalidOutput { run, .. }
            | Self::Timeout { run, .. } => Some(run),
            Self::Found { run, .. } => run.as_deref(),
            _ => None,
        }
    }

    /// Returns the container that it is about, if it is known.
    pub fn vmid(&self) -> Option<Vmid> {
        match self {
            Self::Failed { vmid, .. }
            | Self::ConnectionLost { vmid, .. }
            | Self::Timeout { vmid, .. }
            | Self::Found { vmid, .. }
            | Self::NotFound { vmid, .. }
            | Self::Refused { vmid, .. }
            | Self::Unsupported { vmid, .. } => *vmid,
            _ => None,
        }
    }

    /// Makes the error for a container that does not exist.
    pub fn no_container(vmid: Vmid) -> Self {
        Self::Found { finding: Finding::NoContainer { vmid }, vmid: Some(vmid), run: None }
    }

    /// Makes the error for one value that breaks the schema.
    pub fn invalid(violation: Violation) -> Self {
        Self::InvalidArgument(vec![violation])
    }

    /// Makes the error for an option that pvect refuses, in its own words: `--name: text`.
    pub fn bad_option(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::invalid(Violation::option(name, Reason::other(text)))
    }

    /// Makes the error for a positional argument that pvect refuses, in its own words: `<name>: text`.
    pub fn bad_argument(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::invalid(Violation::positional(name, Reason::other(text)))
    }
}

fn unavailable(path: &std::path::Path, reason: &Unavailable) -> String {
    let path = path.display();
    match reason {
        Unavailable::Missing => format!("there is no pct at '{path}'"),
        Unavailable::NotExecutable => format!("'{path}' is not an executable file"),
        Unavailable::Sudo(text) => format!("sudo cannot run '{path}': {text}"),
        Unavailable::Unreachable(text) => format!("the node cannot be reached to run '{path}': {text}"),
    }
}

/// Whose run it is; that of a request to the API begins with the method.
fn whose(run: &Run) -> &'static str {
    match run.argv.first().map(String::as_str) {
        Some("GET" | "POST" | "PUT" | "DELETE") => "answer of the API",
        _ => "output of pct",
    }
}

fn fate(may_have_run: bool) -> &'static str {
    if may_have_run { "the command may have run" } else { "the command was never sent" }
}

fn timed_out(after: Duration, interrupted: bool, ended: bool, left: &LeftBehind) -> String {
    let seconds = after.as_secs_f64();
    let mut text = if interrupted {
        format!("interrupted after {seconds:.1} s")
    } else {
        format!("no end after {seconds:.1} s")
    };
    text += if ended { "; pct was stopped" } else { "; pct may still be running" };
    if let Some(status) = &left.status {
        text += &format!("; the container is {status}");
    }
    if let Some(lock) = &left.lock {
        text += &format!("; its lock '{lock}' is still set");
    }
    text
}

fn violations(list: &[Violation]) -> String {
    list.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_distinct_words() {
        let words: std::collections::BTreeSet<_> = ErrorKind::ALL.iter().map(|kind| kind.as_str()).collect();
        assert_eq!(words.len(), ErrorKind::ALL.len());
        assert!(ErrorKind::ALL.iter().all(|kind| (1..=10).contains(&kind.exit_status())));
    }

    #[test]
    fn a_timeout_says_what_was_left() {
        let left = LeftBehind { status: Some(crate::RunState::Stopped), lock: Some(Lock::Create), fix: None };
        let text = timed_out(Duration::from_millis(1500), false, true, &left);
        assert_eq!(
            text,
            "no end after 1.5 s; pct was stopped; the container is stopped; its lock 'create' is still set"
        );
    }
}
