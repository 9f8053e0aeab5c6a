//! What pvect itself finds wrong, as data.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::ErrorKind;
use super::Subject;
use crate::{SnapshotName, Vmid, VolumeId};

/// What pvect itself found wrong, with what it is about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Finding {
    /// No container has the number.
    #[error("there is no container {vmid}")]
    NoContainer {
        /// The number.
        vmid: Vmid,
    },
    /// No container has the host name.
    #[error("{}", no_such_name(name, near.as_deref(), candidates))]
    NoSuchName {
        /// The name.
        name: String,
        /// A similar name.
        near: Option<String>,
        /// The containers that exist, each as it is shown; the last may represent all others.
        candidates: Vec<String>,
    },
    /// The container has no such snapshot.
    #[error("snapshot '{name}' does not exist")]
    NoSnapshot {
        /// The snapshot.
        name: SnapshotName,
    },
    /// A storage has no such template.
    #[error("volume '{volume}' does not exist")]
    NoTemplate {
        /// The template.
        volume: VolumeId,
    },
    /// The node has no such program.
    #[error("{program} is not installed on this node")]
    NoProgram {
        /// The program's name.
        program: String,
    },
    /// Somebody who is not root listens on the command socket of a container.
    #[error("somebody else holds the socket of CT {vmid} {}", holder_words(*holder))]
    ForeignSocket {
        /// The container.
        vmid: Vmid,
        /// The user and the process, where one can be seen.
        holder: Option<(u32, i32)>,
    },
    /// A task of the API that is no longer waited for.
    #[error("{}", goes_on(upid, *after))]
    TaskGoesOn {
        /// The task's name.
        upid: String,
        /// How long it was waited for; `None` when the user interrupted.
        after: Option<Duration>,
    },
    /// Another command holds the lock file of the configuration.
    #[error("{}", lock_file_held(path, done.as_deref()))]
    LockFileHeld {
        /// The lock file.
        path: PathBuf,
        /// What was done before the lock file was needed, as a clause; `None` when nothing was.
        done: Option<String>,
    },
}

impl Finding {
    /// Returns the kind of error that it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoContainer { .. }
            | Self::NoSuchName { .. }
            | Self::NoSnapshot { .. }
            | Self::NoTemplate { .. } => ErrorKind::NotFound,
            Self::NoProgram { .. } => ErrorKind::PctCommandFailed,
            Self::ForeignSocket { .. } => ErrorKind::PctOperationFailed,
            Self::TaskGoesOn { .. } => ErrorKind::PctTimeout,
            Self::LockFileHeld { .. } => ErrorKind::Locked,
        }
    }

    /// Returns what it is about, if that decides the next step. An error with candidates does not need a hint.
    pub fn subject(&self) -> Option<Subject> {
        match self {
            Self::NoSuchName { candidates, .. } if !candidates.is_empty() => None,
            Self::NoProgram { .. } => None,
            Self::NoContainer { .. } | Self::NoSuchName { .. } => Some(Subject::Container),
            Self::NoSnapshot { .. } => Some(Subject::Snapshot),
            Self::NoTemplate { .. } => Some(Subject::Template),
            Self::ForeignSocket { .. } => Some(Subject::ForeignSocket),
            Self::TaskGoesOn { .. } => Some(Subject::Task),
            Self::LockFileHeld { .. } => Some(Subject::LockFile),
        }
    }
}

fn no_such_name(name: &str, near: Option<&str>, candidates: &[String]) -> String {
    let mut text = format!("there is no container named '{name}'");
    if candidates.is_empty() {
        return text;
    }
    match near {
        Some(near) => text += &format!("; did you mean '{near}'?"),
        None => text.push('.'),
    }
    text + &format!(" There are: {}", candidates.join(", "))
}

fn holder_words(holder: Option<(u32, i32)>) -> String {
    match holder {
        Some((uid, pid)) => format!("(uid {uid}, pid {pid})"),
        None => "(its process is not visible)".to_owned(),
    }
}

/// What was done, if anything, and then pct's text.
fn lock_file_held(path: &Path, done: Option<&str>) -> String {
    let text = format!("can't lock file '{}' - got timeout", path.display());
    match done {
        Some(done) => format!("{done}: {text}"),
        None => text,
    }
}

fn goes_on(upid: &str, after: Option<Duration>) -> String {
    match after {
        Some(after) => {
            format!("the task has not ended after {:.0} s and goes on: {upid}", after.as_secs_f64())
        }
        None => format!("interrupted; the task goes on: {upid}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_name_without_candidates_needs_a_list() {
        let named = |candidates: &[&str]| Finding::NoSuchName {
            name: "web".to_owned(),
            near: None,
            candidates: candidates.iter().map(|one| (*one).to_owned()).collect(),
        };
        assert_eq!(named(&[]).subject(), Some(Subject::Container));
        assert_eq!(named(&[]).to_string(), "there is no container named 'web'");
        assert_eq!(named(&["101 db stopped"]).subject(), None);
        assert_eq!(
            named(&["101 db stopped"]).to_string(),
            "there is no container named 'web'. There are: 101 db stopped"
        );
    }
}
