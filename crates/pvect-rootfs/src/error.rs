//! A failed command: the text on stderr and the exit status, both those of the real pct, and what failed, for code that
//! decides by it.

use pvect_core::{Lock, NodeName, Vmid, VolumeId};
use serde::{Deserialize, Serialize};

/// The result of node code.
pub type NodeResult<T> = Result<T, Failure>;

/// The exit status of refused requests.
const REFUSED_EXIT: u8 = 2;

/// A failure as pct shows it.
///
/// The text is for people. Code that has to tell failures apart asks the kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{text}")]
pub struct Failure {
    /// What goes to stderr, without the last line end.
    pub text: String,
    /// The exit status: 2 is usual for parameter errors, 255 for run-time ones and tasks.
    pub exit: u8,
    /// What failed.
    pub kind: FailureKind,
}

/// What failed, where some caller decides by it. A failure that is wrapped into another text is an [`Operation`] again
/// unless the wrapper says otherwise.
///
/// [`Operation`]: FailureKind::Operation
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum FailureKind {
    /// The operation failed; only the text says why.
    Operation,
    /// The container has no configuration on this node.
    NoContainer {
        /// The container.
        vmid: Vmid,
    },
    /// The storage has no such volume.
    NoVolume {
        /// The volume.
        volume: VolumeId,
    },
    /// The node has no such storage.
    NoStorage {
        /// The name that was asked for.
        storage: String,
    },
    /// A program that is needed is not installed.
    NotInstalled {
        /// The program's name.
        program: String,
    },
    /// Somebody else holds a lock file and did not release it in time.
    Held,
    /// The kernel was busy with another change at the same time: a second try may succeed.
    Busy,
    /// The program that checks file systems does not know this one.
    UnknownFileSystem,
    /// The files of this guest's system cannot be set up.
    UnsupportedGuest,
    /// The request as a whole is wrong (400).
    BadRequest {
        /// What stands after the status.
        message: String,
    },
    /// Parameters are wrong (400).
    BadParameters {
        /// Each parameter with what is wrong with it.
        errors: Vec<(String, String)>,
    },
    /// The asker has no right to do this (403).
    Denied {
        /// What stands after the status.
        message: String,
    },
}

impl Failure {
    /// A failure at run time (255).
    pub fn new(text: impl Into<String>) -> Self {
        Self::with_exit(text, 255)
    }

    /// A failure with another exit status.
    pub fn with_exit(text: impl Into<String>, exit: u8) -> Self {
        Self { text: text.into(), exit, kind: FailureKind::Operation }
    }

    /// The same failure as another kind.
    #[must_use]
    pub fn of_kind(self, kind: FailureKind) -> Self {
        Self { kind, ..self }
    }

    /// The same failure with another exit status.
    #[must_use]
    pub fn exiting(self, exit: u8) -> Self {
        Self { exit, ..self }
    }

    /// A failed system call on a path: `what 'path' - reason`.
    pub fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(format!("{what} '{}' - {}", path.display(), os_text(error)))
    }

    /// `CT is locked (<value>)`.
    pub fn locked(lock: &Lock) -> Self {
        Self::new(format!("CT is locked ({lock})"))
    }

    /// `Configuration file 'nodes/<node>/lxc/<vmid>.conf' does not exist` (2).
    pub fn missing(node: &NodeName, vmid: Vmid) -> Self {
        let text = format!("Configuration file 'nodes/{node}/lxc/{vmid}.conf' does not exist");
        Self::with_exit(text, REFUSED_EXIT).of_kind(FailureKind::NoContainer { vmid })
    }

    /// `volume '<id>' does not exist`.
    pub fn no_volume(volume: &VolumeId) -> Self {
        Self::new(format!("volume '{volume}' does not exist"))
            .of_kind(FailureKind::NoVolume { volume: volume.clone() })
    }

    /// `storage '<name>' does not exist`.
    pub fn no_storage(name: &str) -> Self {
        Self::new(format!("storage '{name}' does not exist"))
            .of_kind(FailureKind::NoStorage { storage: name.to_owned() })
    }

    /// `<program> is not installed: apt-get install <packages>`.
    pub fn not_installed(program: &str, packages: &str) -> Self {
        Self::new(format!("{program} is not installed: apt-get install {packages}"))
            .of_kind(FailureKind::NotInstalled { program: program.to_owned() })
    }

    /// `400 <message>` (2).
    pub fn bad_request(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::with_exit(format!("400 {message}"), REFUSED_EXIT).of_kind(FailureKind::BadRequest { message })
    }

    /// `400 Parameter verification failed.` and what pct prints below it: a line for each error, and often the usage (2).
    pub fn bad_parameters(errors: Vec<(String, String)>, below: &str) -> Self {
        Self::with_exit(format!("400 Parameter verification failed.\n{below}"), REFUSED_EXIT)
            .of_kind(FailureKind::BadParameters { errors })
    }

    /// `403 <message>` (2).
    pub fn denied(message: impl Into<String>) -> Self {
        let message = message.into();
        Self::with_exit(format!("403 {message}"), REFUSED_EXIT).of_kind(FailureKind::Denied { message })
    }
}

/// The system's text for an error, without Rust's `(os error N)`.
pub fn os_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
