//! The structure of the workspace, read from its manifests and sources: which crate uses which, and which modules use
//! each other in a circle.

pub mod arrows;
pub mod chains;
pub mod circles;
pub mod modules;
mod scan;

use std::path::PathBuf;

/// Returns the directory of the workspace.
pub fn workspace() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
