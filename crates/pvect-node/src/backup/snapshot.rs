//! Mode `snapshot`: packs a snapshot of the container, which keeps running.
//!
//! Source of the order and the texts: pve-container's `PVE::VZDump::LXC`.

use pvect_core::property::{MountPoint, MountSource};
use pvect_core::{ContainerConfig, Lock, SnapshotName, Vmid, VolumeId};

use super::journal::Journal;
use crate::storage::{self, snapshot};
use crate::verbs::{delsnapshot, snapshot as taking};
use crate::{Failure, Node, NodeResult, locked, store};

/// The snapshot's name, which users cannot give to theirs.
pub(super) const NAME: &str = "vzdump";
const DESCRIPTION: &str = "vzdump backup snapshot";

fn name() -> NodeResult<SnapshotName> {
    NAME.parse().map_err(|error| Failure::new(format!("{error}")))
}

/// Returns whether a snapshot is possible: it covers all volumes, so each of them must support it, even one that is not
/// part of the backup.
pub(super) fn is_possible(node: &Node, config: &ContainerConfig) -> bool {
    config.volumes().iter().all(|(_, mount)| match &mount.fs.source {
        MountSource::Volume(text) => {
            text.parse().is_ok_and(|volume: VolumeId| snapshot::can_snapshot(node, &volume) == Ok(true))
        }
        MountSource::Allocate { .. } | MountSource::Device(_) | MountSource::Bind(_) => false,
    })
}

/// Takes the snapshot; the lock `backup` is set before and after. One that an earlier backup left goes first.
pub(super) fn take(node: &Node, vmid: Vmid, journal: &mut Journal<'_, '_>) -> NodeResult<()> {
    let name = name()?;
    let is_left = store::load(node, vmid)?.config.snapshots.contains_key(NAME);
    if is_left {
        journal.info("found old vzdump snapshot (force removal)");
    }
    journal.info("create storage snapshot 'vzdump'");
    journal.capture(|output| {
        {
            let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
            locked::remove(node, vmid, &Lock::Backup, output)?;
        }
        if is_left {
            delsnapshot::delete(node, vmid, &name, true, output)?;
        }
        taking::create(node, vmid, &name, Some(DESCRIPTION), output)?;
        let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
        locked::set(node, vmid, &Lock::Backup, output).map(drop)
    })
}

/// Removes the snapshot. The lock `backup` is not set any more.
pub(super) fn remove(node: &Node, vmid: Vmid, journal: &mut Journal<'_, '_>) {
    journal.info("cleanup temporary 'vzdump' snapshot");
    let removed = name()
        .and_then(|name| journal.capture(|output| delsnapshot::delete(node, vmid, &name, true, output)));
    if let Err(failure) = removed {
        journal.warn(failure.text);
    }
}

/// Mountable copies of the snapshot's volumes, which exist as long as this value.
pub(super) struct Copies<'a> {
    node: &'a Node,
    volumes: Vec<VolumeId>,
}

impl<'a> Copies<'a> {
    /// Replaces the container's volumes in the configuration by those of the snapshot.
    pub(super) fn of(
        node: &'a Node,
        config: &mut ContainerConfig,
        included: &[(String, MountPoint)],
    ) -> NodeResult<Self> {
        let mut copies = Self { node, volumes: Vec::new() };
        for (key, mount) in included {
            let MountSource::Volume(text) = &mount.fs.source else { continue };
            let volume =
                text.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{text}'")))?;
            let copy = snapshot::scratch(node, &volume, &name()?)?;
            let mut mount = mount.clone();
            mount.fs.source = MountSource::Volume(copy.to_string());
            copies.volumes.push(copy);
            let text = if key == "rootfs" { mount.fs.to_string() } else { mount.to_string() };
            config.main.set(key, text);
        }
        Ok(copies)
    }
}

impl Drop for Copies<'_> {
    fn drop(&mut self) {
        for volume in &self.volumes {
            let freed = storage::volume_path(self.node, volume)
                .and_then(|path| crate::image::wait_until_free(&path))
                .and_then(|()| storage::free(self.node, volume));
            if let Err(failure) = freed {
                tracing::warn!("a copy of a snapshot is left: {}", failure.text);
            }
        }
    }
}
