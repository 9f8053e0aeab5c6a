//! The user namespace of a container.

use std::collections::BTreeSet;
use std::path::PathBuf;

use pvect_core::ContainerConfig;

use super::PATH;
use crate::{Failure, NodeResult};

/// Whether a container runs in a user namespace of its own.
pub(super) fn has_user_namespace(config: &ContainerConfig) -> bool {
    config.is_unprivileged()
        || ["lxc.idmap", "lxc.id_map"].iter().any(|key| config.main.raw_values(key).next().is_some())
}

/// Hides newuidmap and newgidmap from LXC, in this mount namespace only.
///
/// LXC uses them wherever they are installed, and they let root map only what `/etc/subuid` grants root, which on
/// plain Debian is nothing. Without them LXC, being root, writes the maps itself.
/// Source: `lxc_map_ids` of LXC 5.0.2 (conf.c).
pub(crate) fn hide_id_map_tools() -> NodeResult<()> {
    let candidates = PATH.split(':').flat_map(|directory| {
        ["newuidmap", "newgidmap"].map(|name| std::fs::canonicalize(PathBuf::from(directory).join(name)))
    });
    // One of the directories may be a symlink to another.
    let tools: BTreeSet<PathBuf> = candidates.flatten().collect();
    for tool in tools {
        rustix::mount::mount_bind("/dev/null", &tool)
            .map_err(|errno| Failure::io("can't hide from LXC", &tool, &errno.into()))?;
    }
    Ok(())
}
