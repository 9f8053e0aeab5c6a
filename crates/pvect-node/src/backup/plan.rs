//! Where the archives of one call go, and which older ones stay.

use std::path::PathBuf;

use super::options::Options;
use super::prune::Keep;
use crate::rights::Asker;
use crate::storage::{Storage, Storages};
use crate::{Failure, Node, NodeResult};

/// What all backups of one call have in common.
pub(super) struct Plan<'a> {
    pub(super) options: &'a Options,
    /// Where the archives go.
    pub(super) directory: PathBuf,
    /// Which older backups are kept.
    pub(super) keep: Option<Keep>,
    /// The storage, and how many protected backups a container may have there; `None`: as many as it likes.
    pub(super) most_protected: Option<(String, usize)>,
}

/// Source: pve-storage, `get_max_protected_backups`.
fn most_protected(node: &Node, storage: &Storage) -> NodeResult<Option<(String, usize)>> {
    let asker = Asker::of_this_process(node)?;
    let usual = if asker.may(&format!("/storage/{}", storage.name), "Datastore.Allocate") { -1 } else { 5 };
    let most = storage.most_protected().unwrap_or(usual);
    Ok(usize::try_from(most).ok().map(|most| (storage.name.clone(), most)))
}

impl<'a> Plan<'a> {
    pub(super) fn of(node: &Node, options: &'a Options) -> NodeResult<Self> {
        if let Some(directory) = &options.dumpdir {
            let directory = PathBuf::from(directory);
            if !directory.is_dir() {
                return Err(Failure::new(format!("dumpdir '{}' does not exist", directory.display())));
            }
            let directory = directory.canonicalize().unwrap_or(directory);
            return Ok(Self { options, directory, keep: options.prune.clone(), most_protected: None });
        }
        let name = options.storage.as_deref().unwrap_or("local");
        let cannot =
            |text: String| Failure::new(format!("could not get storage information for '{name}': {text}"));
        let storages = Storages::load(&node.layout)?;
        let storage = storages.find(name).map_err(|failure| cannot(failure.text))?;
        if !storage.holds("backup") {
            return Err(cannot(format!("can't use storage '{name}' for backups - wrong content type")));
        }
        storage.activate().map_err(|failure| cannot(failure.text))?;
        let directory = storage.directories().map_err(|failure| cannot(failure.text))?.of("backup");
        if !directory.is_dir() {
            return Err(Failure::new(format!("dumpdir '{}' does not exist", directory.display())));
        }
        let most_protected = most_protected(node, storage)?;
        let keep = match (&options.prune, storage.get("prune-backups")) {
            (Some(keep), _) => Some(keep.clone()),
            (None, Some(text)) => Some(Keep::parse(text).map_err(cannot)?),
            (None, None) => None,
        };
        Ok(Self { options, directory, keep, most_protected })
    }
}
