//! Hostile bytes and hostile paths: what archives, images and root file systems hold.
//!
//! Everything here works on what a guest, a template or an image made. Nothing here needs a node: no configuration
//! files, no locks, no programs. A path is followed only below a root ([`rooted`]), an archive is unpacked entry by
//! entry within limits ([`unpack`]), and files of a guest are read and written as bytes ([`guest`]).

pub mod error;
pub mod guest;
pub mod idmap;
pub mod random;
pub mod removal;
pub mod room;
pub mod rooted;
pub mod shift;
pub mod unpack;

pub use error::{Failure, FailureKind, NodeResult};
