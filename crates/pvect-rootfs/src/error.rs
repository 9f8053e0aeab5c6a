//! A failed command: the text on stderr and the exit status, both those of the real pct.

use pvect_core::{Lock, Vmid};

/// The result of node code.
pub type NodeResult<T> = Result<T, Failure>;

/// A failure as pct shows it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}")]
pub struct Failure {
    /// What goes to stderr, without the last line end.
    pub text: String,
    /// The exit status: 2 is usual for parameter errors, 255 for run-time ones and tasks.
    pub exit: u8,
}

impl Failure {
    /// A failure at run time (255).
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), exit: 255 }
    }

    /// A failure with another exit status.
    pub fn with_exit(text: impl Into<String>, exit: u8) -> Self {
        Self { text: text.into(), exit }
    }

    /// A failed system call on a path: `what 'path' - reason`.
    pub fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        Self::new(format!("{what} '{}' - {}", path.display(), os_text(error)))
    }

    /// `CT is locked (<value>)`.
    pub fn locked(lock: &Lock) -> Self {
        Self::new(format!("CT is locked ({lock})"))
    }

    /// `Configuration file 'nodes/<node>/lxc/<vmid>.conf' does not exist`.
    pub fn missing(node: &pvect_core::NodeName, vmid: Vmid) -> Self {
        Self::with_exit(format!("Configuration file 'nodes/{node}/lxc/{vmid}.conf' does not exist"), 2)
    }
}

/// The system's words for an error, without Rust's `(os error N)`.
pub fn os_text(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.rfind(" (os error ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}
