//! Where the archives of one call go, and which older ones stay.

use std::path::PathBuf;

use super::options::Options;
use super::prune::Keep;
use crate::storage::Storages;
use crate::{Failure, Node, NodeResult, files};

/// What is common to all backups of one call.
pub(super) struct Plan<'a> {
    pub(super) options: &'a Options,
    /// Where the archives go.
    pub(super) directory: PathBuf,
    /// What is kept of older ones.
    pub(super) keep: Option<Keep>,
}

impl<'a> Plan<'a> {
    pub(super) fn of(node: &Node, options: &'a Options) -> NodeResult<Self> {
        if let Some(directory) = &options.dumpdir {
            let directory = PathBuf::from(directory);
            if !directory.is_dir() {
                return Err(Failure::new(format!("dumpdir '{}' does not exist", directory.display())));
            }
            let directory = directory.canonicalize().unwrap_or(directory);
            return Ok(Self { options, directory, keep: options.prune.clone() });
        }
        let name = options.storage.as_deref().unwrap_or("local");
        let cannot =
            |text: String| Failure::new(format!("could not get storage information for '{name}': {text}"));
        let storages = Storages::load(&node.layout)?;
        let storage = storages.find(name).map_err(|failure| cannot(failure.text))?;
        if !storage.holds("backup") {
            return Err(cannot(format!("can't use storage '{name}' for backups - wrong content type")));
        }
        let directory = storage.path().map_err(|failure| cannot(failure.text))?.join("dump");
        files::make_directories(&directory, 0o700)?;
        let keep = match (&options.prune, storage.get("prune-backups")) {
            (Some(keep), _) => Some(keep.clone()),
            (None, Some(text)) => Some(Keep::parse(text).map_err(cannot)?),
            (None, None) => None,
        };
        Ok(Self { options, directory, keep })
    }
}
