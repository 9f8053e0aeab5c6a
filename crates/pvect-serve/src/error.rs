//! Why the server cannot start.

use crate::certificate::CertificateError;
use crate::users::UserError;

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Not root.
    #[error("the node's server needs root")]
    NotRoot,
    /// The root of the node cannot be made.
    #[error("the node's root cannot be used")]
    Root(#[source] pvect_node::Failure),
    /// No certificate.
    #[error("no certificate")]
    Certificate(#[source] CertificateError),
    /// TLS cannot be set up with it.
    #[error("no TLS with this certificate")]
    Tls(#[source] rustls::Error),
    /// The users cannot be read.
    #[error("no users")]
    Users(#[source] UserError),
    /// The address cannot be listened on, or the system refuses something else.
    #[error("{what}")]
    System {
        /// What was to be done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
}
