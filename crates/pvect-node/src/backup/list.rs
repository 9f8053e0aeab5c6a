//! The backups on a storage, for clients.

use serde::Serialize;

use super::prune;
use crate::storage::Storages;
use crate::{Failure, Layout, NodeResult};

/// The helper verb that lists the backups of containers: `backups ROOT NODE STORAGE`. It answers in JSON.
pub(crate) const NAME: &str = "backups";

/// A backup on a storage.
#[derive(Debug, Serialize)]
pub(crate) struct Listed {
    /// Its volume id.
    volid: String,
    /// The container that it is a backup of.
    vmid: u32,
    /// Its size in bytes.
    size: u64,
}

/// Lists the backups on a storage.
pub(crate) fn list(root: &str, node: &str, storage: &str) -> NodeResult<Vec<Listed>> {
    let node = node.parse().map_err(|_| Failure::new("bad node name"))?;
    let storages = Storages::load(&Layout::new(root, node))?;
    let found = storages.find(storage)?;
    found.present()?;
    let directory = found.directories()?.of("backup");
    let listed = prune::archives(&directory)?.into_iter().map(|archive| {
        let name = archive.path.file_name().unwrap_or_default().to_string_lossy();
        let size = std::fs::metadata(&archive.path).map_or(0, |meta| meta.len());
        Listed { volid: format!("{storage}:backup/{name}"), vmid: archive.vmid.into(), size }
    });
    Ok(listed.collect())
}
