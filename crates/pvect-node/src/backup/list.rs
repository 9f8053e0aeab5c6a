//! The backups on a storage, in the columns of pvesm(1).

use std::io::Write;

use super::prune;
use crate::storage::Storages;
use crate::{Failure, Layout, NodeResult};

/// The helper verb that lists the backups of containers: `backups ROOT NODE STORAGE`.
pub(crate) const NAME: &str = "backups";

/// Writes one line for each backup to stdout: volume id, format, type, size in bytes, vmid.
pub(crate) fn list(root: &str, node: &str, storage: &str) -> NodeResult<()> {
    let node = node.parse().map_err(|_| Failure::new("bad node name"))?;
    let storages = Storages::load(&Layout::new(root, node))?;
    let found = storages.find(storage)?;
    found.present()?;
    let directory = found.directories()?.of("backup");
    let mut text = String::new();
    for archive in prune::archives(&directory)? {
        let name = archive.path.file_name().unwrap_or_default().to_string_lossy();
        let format = name.split_once('.').map_or("", |(_, format)| format);
        let size = std::fs::metadata(&archive.path).map_or(0, |meta| meta.len());
        text += &format!("{storage}:backup/{name} {format} backup {size} {}\n", archive.vmid);
    }
    let failed = |error: std::io::Error| Failure::new(format!("the list cannot be written: {error}"));
    std::io::stdout().write_all(text.as_bytes()).map_err(failed)
}
