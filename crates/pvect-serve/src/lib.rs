//! The standalone node's HTTPS API: the part of Proxmox VE's API that clients use to manage containers.
//!
//! - [`serve`]: the server, by its [`Options`]
//! - [`Users`]: users, tokens, access lists, in the root's own files
//! - [`Certificate`]: the server's certificate and its fingerprint
//!
//! There is no second implementation of anything: reads call the node's code, and what changes something runs in a
//! worker process of its own ([`pvect_node::worker`]), so that its task has a UPID, a log and a life of its own.

mod api;
mod certificate;
mod error;
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod listed;
mod options;
mod params;
mod places;
mod refusal;
mod server;
mod shared;
mod stalled;
mod ticket;
mod users;
mod work;

pub use certificate::{Certificate, CertificateError};
pub use error::ServeError;
pub use options::Options;
pub use server::serve;
pub use users::{ROOT, Token, User, UserConfig, UserError, Users};
