//! What the text of a failure is about, finer than its kind.

use crate::error::{Error, ErrorKind, Run, Subject};

impl Error {
    /// Returns what it is about, where that decides the next step.
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Self::Found { finding, .. } => finding.subject(),
            Self::Failed { kind: ErrorKind::PctOperationFailed, run, .. } if hook_failed(run) => {
                Some(Subject::Hook)
            }
            Self::Failed { kind, message, .. } => subject(*kind, message),
            _ => None,
        }
    }
}

/// Whether LXC's log, which pct shows when a start failed, blames a hook. Source: `run_buffer` of LXC (conf.c).
fn hook_failed(run: &Run) -> bool {
    [&run.stdout, &run.stderr].iter().any(|text| text.contains("Script exited with status "))
}

/// Returns what hooks printed, line by line, from LXC's log of a start with `--debug`.
///
/// Source: `run_buffer` of LXC (conf.c).
pub fn hook_output(log: &str) -> impl Iterator<Item = &str> {
    let outputs = log.lines().filter_map(|line| line.split_once(" produced output: "));
    outputs.map(|(_, text)| text.trim()).filter(|text| !text.is_empty())
}

/// Returns what the text of pct or of the API is about.
fn subject(kind: ErrorKind, text: &str) -> Option<Subject> {
    let found = match kind {
        ErrorKind::NotFound
            if text.starts_with("Configuration file ") && text.ends_with(" does not exist") =>
        {
            Subject::Container
        }
        _ if text.contains(": the standalone node '") => Subject::Proxmox,
        ErrorKind::NotFound if text.contains("snapshot '") => Subject::Snapshot,
        ErrorKind::NotFound if text.contains("vztmpl/") || text.contains("template") => Subject::Template,
        ErrorKind::Locked if text.contains("lock file") => Subject::LockFile,
        ErrorKind::PctOperationFailed if text.starts_with("somebody else holds the socket of CT ") => {
            Subject::ForeignSocket
        }
        ErrorKind::AlreadyRunning if text.starts_with("Full clone ") => Subject::FullClone,
        ErrorKind::AlreadyExists if text.contains("on node") => Subject::Number,
        ErrorKind::Unsupported if text.starts_with("Linked clone feature ") => Subject::LinkedClone,
        ErrorKind::Unsupported if text == "snapshot feature is not available" => Subject::Snapshots,
        _ => return None,
    };
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_that_a_hook_ended_is_about_the_hook() {
        let failed = |stdout: &str| Error::Failed {
            kind: ErrorKind::PctOperationFailed,
            message: "startup for container '101' failed".to_owned(),
            vmid: None,
            run: Box::new(Run { stdout: stdout.to_owned(), ..Run::default() }),
        };
        let log = "DEBUG conf - Script exec /x.sh 101 lxc mount produced output: no such thing\n\
                   ERROR conf - ../src/lxc/conf.c:run_buffer:322 - Script exited with status 3\n";
        assert_eq!(failed(log).subject(), Some(Subject::Hook));
        assert_eq!(failed("ERROR start - other\n").subject(), None);
        assert_eq!(hook_output(log).collect::<Vec<_>>(), ["no such thing"]);
    }

    #[test]
    fn texts_of_pct_have_their_subject() {
        for (kind, text, expected) in [
            (
                ErrorKind::NotFound,
                "Configuration file 'nodes/pve/lxc/999.conf' does not exist",
                Some(Subject::Container),
            ),
            (ErrorKind::NotFound, "snapshot 'x' does not exist", Some(Subject::Snapshot)),
            (ErrorKind::NotFound, "volume 'local:vztmpl/x.tar' does not exist", Some(Subject::Template)),
            (ErrorKind::NotFound, "storage 'x' does not exist", None),
            (ErrorKind::Locked, "can't lock file '/x' - got timeout", Some(Subject::LockFile)),
            (ErrorKind::Locked, "CT is locked (backup)", None),
            (ErrorKind::AlreadyExists, "CT 101 already exists on node 'pve'", Some(Subject::Number)),
            (
                ErrorKind::AlreadyRunning,
                "Full clone of a running container is only possible from a snapshot",
                Some(Subject::FullClone),
            ),
            (
                ErrorKind::PctOperationFailed,
                "migrate: the standalone node 'a' has no cluster",
                Some(Subject::Proxmox),
            ),
            (ErrorKind::PctOperationFailed, "snapshot 'x' does not exist", None),
        ] {
            assert_eq!(subject(kind, text), expected, "{text}");
        }
    }
}
