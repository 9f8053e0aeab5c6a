//! Container images: fetched from registries, kept in a content-addressed store.
//!
//! Nothing of an image is unpacked or run here; pvect-rootfs unpacks. Everything that a registry or an archive says is
//! taken for hostile: documents are bounded, blobs are verified while they come, and credentials go to nobody but the
//! registry that they are for.

mod credentials;
mod digest;
mod documents;
mod download;
mod error;
mod event;
mod platform;
mod pull;
mod reference;
mod registries_conf;
mod registry;
mod store;

pub use credentials::CredentialFiles;
pub use digest::{Algorithm, Digest};
pub use documents::{Descriptor, ImageFacts, Platform};
pub use error::{ImageError, ImageResult};
pub use event::{Event, Events};
pub use platform::platform;
pub use pull::{FindCredentials, Pull, Pulled};
pub use reference::{DOCKER_HUB, Reference};
pub use registries_conf::Registries;
pub use registry::{Credentials, Rules};
pub use store::{Details, Pruned, Store, Stored};
