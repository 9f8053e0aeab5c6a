//! `run/pve/ct-<vmid>.started`: with which configuration a container was started, as a checksum.

use std::path::PathBuf;

use pvect_core::{ContainerConfig, Vmid};
use sha2::{Digest, Sha256};

use crate::{Failure, Node, NodeResult, files};

/// Options that change nothing of what runs.
const ABOUT_IT: [&str; 6] = ["description", "lock", "onboot", "protection", "startup", "tags"];

fn path(node: &Node, vmid: Vmid) -> PathBuf {
    node.layout.run_dir().join(format!("ct-{vmid}.started"))
}

/// Remembers with which configuration a container was started.
pub(super) fn remember(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    let path = path(node, vmid);
    // Not synced: after a crash of the machine it does not run.
    files::replace_unsynced(&path, checksum(config).as_bytes(), 0o600)
        .map_err(|error| Failure::io("can't write", &path, &error))
}

/// Whether a container would be started now as it was started last; `true` where that is not known.
pub(super) fn is_as_started(node: &Node, vmid: Vmid, config: &ContainerConfig) -> bool {
    std::fs::read_to_string(path(node, vmid)).map_or(true, |known| known == checksum(config))
}

fn checksum(config: &ContainerConfig) -> String {
    let mut main = ContainerConfig { main: config.main.clone(), ..ContainerConfig::default() };
    for key in ABOUT_IT {
        main.main.remove(key);
    }
    let text = main.to_text().unwrap_or_default();
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_a_container_is_told_from_what_is_about_it() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        crate::store::ensure_root(&node).unwrap();
        let vmid = "101".parse().unwrap();
        let mut config = ContainerConfig::default();
        config.main.set("memory", "64");
        assert!(is_as_started(&node, vmid, &config), "nothing is known");
        remember(&node, vmid, &config).unwrap();
        config.main.set("tags", "a");
        config.pending.get_or_insert_default().set("cores", "2");
        assert!(is_as_started(&node, vmid, &config));
        config.main.set("memory", "65");
        assert!(!is_as_started(&node, vmid, &config));
    }
}
