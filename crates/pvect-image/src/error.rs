//! What can go wrong with images.

use pvect_core::ErrorKind;

/// The result of everything in this crate.
pub type ImageResult<T> = Result<T, ImageError>;

/// Any failure of this crate. No text holds a password or a token.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// A reference that means nothing.
    #[error("'{text}' is not the name of an image: {why}")]
    Reference {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// No such image, here or in the registry.
    #[error("{0}")]
    NotFound(String),
    /// The registry wants credentials, or refuses those that it got.
    #[error("{0}")]
    Denied(String),
    /// There is no connection to the registry.
    #[error("{0}")]
    Unreachable(String),
    /// The registry is not who it should be, or wants what is not safe.
    #[error("{0}")]
    Untrusted(String),
    /// The connection broke off.
    #[error("{0}")]
    Broken(String),
    /// The registry is too slow.
    #[error("{0}")]
    TimedOut(String),
    /// The registry answers with an error.
    #[error("{0}")]
    Refused(String),
    /// Bytes that are not what they should be.
    #[error("{0}")]
    Damaged(String),
    /// Something that pvect does not do.
    #[error("{0}")]
    Unsupported(String),
    /// Somebody else works with the store.
    #[error("{0}")]
    Held(String),
    /// A file with settings or credentials cannot be used.
    #[error("{0}")]
    Settings(String),
    /// A file on this side failed.
    #[error("{what}")]
    Io {
        /// What was done to which path.
        what: String,
        /// The system's error.
        source: std::io::Error,
    },
}

impl ImageError {
    /// Returns the kind, for branching.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Reference { .. } => ErrorKind::InvalidArgument,
            Self::NotFound(_) => ErrorKind::NotFound,
            Self::Denied(_) => ErrorKind::ApiUnauthenticated,
            Self::Unreachable(_) => ErrorKind::ApiUnreachable,
            Self::Untrusted(_) => ErrorKind::ApiUntrusted,
            Self::Broken(_) => ErrorKind::ConnectionLost,
            Self::TimedOut(_) => ErrorKind::PctTimeout,
            Self::Refused(_) => ErrorKind::PctOperationFailed,
            Self::Damaged(_) => ErrorKind::PctInvalidOutput,
            Self::Unsupported(_) => ErrorKind::Unsupported,
            Self::Held(_) => ErrorKind::Locked,
            Self::Settings(_) => ErrorKind::InvalidSettings,
            Self::Io { .. } => ErrorKind::Io,
        }
    }

    /// Makes one of an error of the system: `cannot <what> '<path>'`.
    pub(crate) fn io(what: &str, path: &std::path::Path, source: std::io::Error) -> Self {
        Self::Io { what: format!("cannot {what} '{}'", path.display()), source }
    }
}
