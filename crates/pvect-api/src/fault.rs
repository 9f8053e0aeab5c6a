//! What went wrong between here and there, as errors of the vocabulary.

use pvect_core::error::{Exit, Run};
use pvect_core::schema::Verb;
use pvect_core::{Error, ErrorKind, Vmid, classify};

use crate::config::Host;
use crate::request::Request;

/// What an error is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) request: &'a Request,
    pub(crate) host: &'a Host,
    pub(crate) verb: Option<Verb>,
    pub(crate) vmid: Option<Vmid>,
}

/// How far a request got before it failed.
#[derive(Debug)]
pub(crate) enum Fault {
    /// It was certainly not sent.
    NeverSent(ErrorKind, String),
    /// It may have been carried out.
    MayHaveRun(ErrorKind, String),
}

impl About<'_> {
    fn run(&self, stderr: &str, status: Option<u16>) -> Box<Run> {
        Box::new(Run {
            argv: vec![
                self.request.method.as_str().to_owned(),
                format!("https://{}/api2/json{}", self.host, self.request.path),
            ],
            exit: status.map(|status| Exit::Status(status.into())),
            stdout: String::new(),
            stderr: stderr.to_owned(),
        })
    }

    /// Makes an error of a kind.
    pub(crate) fn failed(&self, kind: ErrorKind, message: String) -> Error {
        Error::Failed { kind, message, vmid: self.vmid, run: self.run("", None) }
    }

    /// Makes the error of a request that did not get an answer.
    pub(crate) fn lost(&self, fault: Fault) -> Error {
        match fault {
            Fault::MayHaveRun(ErrorKind::ConnectionLost, what) => Error::ConnectionLost {
                node: self.host.to_string(),
                may_have_run: !self.request.is_read(),
                what,
                vmid: self.vmid,
                run: self.run("", None),
            },
            Fault::MayHaveRun(kind, message) if !self.request.is_read() => {
                self.failed(kind, format!("{message}; it may have run, and may still"))
            }
            Fault::NeverSent(kind, message) | Fault::MayHaveRun(kind, message) => self.failed(kind, message),
        }
    }

    /// Makes the error for an answer that cannot be read.
    pub(crate) fn invalid(&self, what: String, raw: &[u8]) -> Error {
        const KEPT: usize = 4096;
        let mut run = self.run("", None);
        run.stdout = String::from_utf8_lossy(&raw[..raw.len().min(KEPT)]).into_owned();
        Error::InvalidOutput { what, run }
    }

    /// Makes the error of an answer with a status of failure.
    pub(crate) fn refused(&self, status: u16, message: &str) -> Error {
        let message = message.trim();
        let task = self.verb.unwrap_or(Verb::Help);
        let (kind, text) = match status {
            401 => (ErrorKind::ApiUnauthenticated, message.to_owned()),
            403 => (ErrorKind::PctPermissionDenied, message.to_owned()),
            501 => (ErrorKind::Unsupported, format!("this API cannot do it: {message}")),
            595 | 596 | 599 => (
                ErrorKind::NodeUnreachable,
                format!("{} could not reach the node: {message} ({status})", self.host.name),
            ),
            _ => meaning(task, status, message),
        };
        let text = if text.is_empty() { format!("HTTP status {status}") } else { text };
        Error::Failed { kind, message: text, vmid: self.vmid, run: self.run(message, Some(status)) }
    }
}

/// The kind that the text would have if pct had printed it.
fn meaning(verb: Verb, status: u16, message: &str) -> (ErrorKind, String) {
    match classify::judge(verb, 255, "", message) {
        classify::Verdict::Failure {
            kind: ErrorKind::PctCommandFailed | ErrorKind::PctOperationFailed,
            message,
        } if status == 400 => (ErrorKind::InvalidArgument, message),
        classify::Verdict::Failure { kind, message } => (kind, message),
        classify::Verdict::Success { .. } => (ErrorKind::PctOperationFailed, message.to_owned()),
    }
}
