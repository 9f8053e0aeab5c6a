//! What the text of a failure is about, finer than its kind.

use crate::error::{Error, ErrorKind, Subject};

impl Error {
    /// Returns what it is about, where that decides the next step.
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Self::Found { finding, .. } => finding.subject(),
            Self::Failed { kind, message, .. } => subject(*kind, message),
            _ => None,
        }
    }
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
