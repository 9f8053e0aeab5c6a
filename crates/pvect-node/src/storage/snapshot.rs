//! Snapshots of volumes, and copies that share their blocks: what btrfs can and a plain directory cannot.
//!
//! Source of what is possible: `volume_has_feature` of pve-storage's plugins. A linked clone of a directory volume
//! (`subvol`) and of a snapshot is an extension: the real one has the first only with a size, and takes the present
//! state for the second.

use pvect_core::{SnapshotName, Vmid, VolumeId};
use rustix::fs::{CWD, RenameFlags};

use super::allocation::new_volume;
use super::dir::Volume;
use super::{Place, StorageKind, Storages, btrfs, dir, volume_id};
use crate::error::os_text;
use crate::{Failure, Node, NodeResult, image};

/// Returns whether snapshots of a volume can be taken.
///
/// # Errors
/// Those of a volume id that leads nowhere.
pub fn can_snapshot(node: &Node, volume: &VolumeId) -> NodeResult<bool> {
    Ok(Place::of(node, volume)?.subvolume.is_some())
}

/// Returns whether a volume, or a snapshot of it, can have clones that share its blocks.
///
/// # Errors
/// Those of a volume id that leads nowhere.
pub fn can_link(node: &Node, volume: &VolumeId) -> NodeResult<bool> {
    can_snapshot(node, volume)
}

/// Takes a snapshot of a volume. Nobody writes to it: its container is stopped, or frozen and synchronised.
///
/// # Errors
/// `snapshot feature is not available` for a volume that can have none; what btrfs(8) says.
pub fn take(node: &Node, volume: &VolumeId, name: &SnapshotName) -> NodeResult<()> {
    let subvolume = subvolume(node, volume)?;
    btrfs::freeze_copy(&subvolume, &btrfs::snapshot_path(&subvolume, name.as_str()))
}

/// Removes a snapshot of a volume. A missing one is fine, because its removal may have been interrupted.
///
/// # Errors
/// What btrfs(8) says.
pub fn remove(node: &Node, volume: &VolumeId, name: &SnapshotName) -> NodeResult<()> {
    let subvolume = subvolume(node, volume)?;
    btrfs::sweep(&subvolume)?;
    let path = btrfs::snapshot_path(&subvolume, name.as_str());
    if btrfs::is_subvolume(&path) { btrfs::delete(&path) } else { Ok(()) }
}

/// Checks that a volume has a snapshot.
///
/// # Errors
/// `snapshot '<name>' of volume '<id>' does not exist`.
pub fn check(node: &Node, volume: &VolumeId, name: &SnapshotName) -> NodeResult<()> {
    let path = btrfs::snapshot_path(&subvolume(node, volume)?, name.as_str());
    match btrfs::is_subvolume(&path) {
        true => Ok(()),
        false => Err(Failure::new(format!("snapshot '{name}' of volume '{volume}' does not exist"))),
    }
}

/// Rolls a volume back to a snapshot in one step: at any moment either the old state or the new one exists.
///
/// # Errors
/// When the image is in use, or what btrfs(8) says; nothing is changed then.
pub fn roll_back(node: &Node, volume: &VolumeId, name: &SnapshotName) -> NodeResult<()> {
    check(node, volume, name)?;
    let place = Place::of(node, volume)?;
    let subvolume = subvolume(node, volume)?;
    if matches!(place.volume, Volume::Image { .. }) {
        image::wait_until_free(&place.path)?;
    }
    btrfs::sweep(&subvolume)?;
    let new = btrfs::snapshot_path(&subvolume, &format!("{name}.new"));
    btrfs::copy(&btrfs::snapshot_path(&subvolume, name.as_str()), &new)?;
    let exchanged = rustix::fs::renameat_with(CWD, &new, CWD, &subvolume, RenameFlags::EXCHANGE);
    // Whichever of the two it is now.
    let swept = btrfs::delete(&new);
    exchanged.map_err(|errno| {
        Failure::new(format!(
            "failed to rotate '{}' into place at '{}' - {}",
            new.display(),
            subvolume.display(),
            os_text(&errno.into())
        ))
    })?;
    swept
}

/// Makes a volume of container `vmid` that shares the blocks of another one, or of a snapshot of it, on the same
/// storage. The two are independent of each other.
///
/// # Errors
/// `Linked clone feature for '<id>' is not available`; what btrfs(8) says; nothing is left then.
pub fn link(
    node: &Node,
    volume: &VolumeId,
    snapshot: Option<&SnapshotName>,
    vmid: Vmid,
) -> NodeResult<VolumeId> {
    let place = Place::of(node, volume)?;
    let Some(subvolume) = &place.subvolume else {
        return Err(Failure::new(format!("Linked clone feature for '{volume}' is not available")));
    };
    let source = match snapshot {
        Some(name) => {
            check(node, volume, name)?;
            btrfs::snapshot_path(subvolume, name.as_str())
        }
        None => subvolume.clone(),
    };
    let storages = Storages::load(&node.layout)?;
    let storage = &storages.find(volume.storage())?.directories()?;
    let name = new_volume(storage, vmid, |directory, number| {
        let (entry, end) = match &place.volume {
            Volume::Directory { .. } => (format!("subvol-{vmid}-disk-{number}.subvol"), ""),
            Volume::Image { .. } | Volume::File { .. } => (format!("vm-{vmid}-disk-{number}"), ".raw"),
        };
        btrfs::copy(&source, &directory.join(&entry))?;
        Ok(format!("{entry}{end}"))
    })?;
    volume_id(volume.storage(), vmid, &name)
}

/// Makes a writable copy of a volume's snapshot that shares its blocks, and returns the id by which it is mounted and
/// freed. In a copy, the journal of an image that was in use can be replayed. A copy that another command left behind
/// is replaced.
///
/// # Errors
/// As [`check`]; what btrfs(8) says.
pub(crate) fn scratch(node: &Node, volume: &VolumeId, name: &SnapshotName) -> NodeResult<VolumeId> {
    check(node, volume, name)?;
    let subvolume = subvolume(node, volume)?;
    btrfs::sweep(&subvolume)?;
    // The volume names of such copies: a dot after the `@` marks them as temporary.
    let copy = match volume.volume().strip_suffix(".raw") {
        Some(stem) => format!("{}:{stem}@{name}.copy.raw", volume.storage()),
        None => format!("{volume}@{name}.subvol"),
    };
    let copy: VolumeId = copy.parse().map_err(|error| Failure::new(format!("{error}")))?;
    let target = self::subvolume(node, &copy)?;
    btrfs::copy(&btrfs::snapshot_path(&subvolume, name.as_str()), &target)?;
    Ok(copy)
}

/// Returns whether a volume can be given to another container: images can.
///
/// # Errors
/// Those of a volume id that leads nowhere.
pub fn can_rename(node: &Node, volume: &VolumeId) -> NodeResult<bool> {
    Ok(match Place::of(node, volume)?.volume {
        Volume::Image { name, .. } => !name.starts_with("base-"),
        Volume::Directory { .. } | Volume::File { .. } => false,
    })
}

/// Gives a volume to container `vmid`: it gets a name of that container's, on the same storage.
///
/// # Errors
/// `rename '<path>' to '<path>' failed - <reason>`; nothing is changed then.
pub fn rename(node: &Node, volume: &VolumeId, vmid: Vmid) -> NodeResult<VolumeId> {
    let place = Place::of(node, volume)?;
    let storages = Storages::load(&node.layout)?;
    let storage = &storages.find(volume.storage())?.directories()?;
    let source = place.subvolume.as_ref().unwrap_or(&place.path);
    let format = match &place.volume {
        Volume::Image { name, .. } => name.rsplit_once('.').map_or("raw", |(_, format)| format),
        Volume::Directory { .. } | Volume::File { .. } => "subvol",
    };
    let name = new_volume(storage, vmid, |directory, number| {
        let name = format!("vm-{vmid}-disk-{number}.{format}");
        let new = Volume::parse(&format!("{vmid}/{name}"))?;
        let target = match place.kind {
            StorageKind::Btrfs => btrfs::subvolume(&new, storage).unwrap_or_else(|| directory.join(&name)),
            StorageKind::Dir => directory.join(&name),
        };
        rustix::fs::renameat_with(CWD, source, CWD, &target, RenameFlags::NOREPLACE).map_err(|errno| {
            let (source, target) = (source.display(), target.display());
            Failure::new(format!("rename '{source}' to '{target}' failed - {}", os_text(&errno.into())))
        })?;
        Ok(name)
    })?;
    if let Some(owner) = place.owner() {
        // Only an empty one goes.
        let _ = std::fs::remove_dir(dir::images(storage, owner));
    }
    volume_id(volume.storage(), vmid, &name)
}

/// Returns what interrupted commands left beside a volume.
///
/// # Errors
/// Those of a volume id that leads nowhere.
pub(crate) fn passing(node: &Node, volume: &VolumeId) -> NodeResult<Vec<std::path::PathBuf>> {
    let Some(subvolume) = Place::of(node, volume)?.subvolume else { return Ok(Vec::new()) };
    let names = btrfs::snapshots(&subvolume).into_iter().filter(|name| btrfs::is_passing(name));
    Ok(names.map(|name| btrfs::snapshot_path(&subvolume, &name)).collect())
}

/// Removes what [`passing`] finds. The caller holds the container's lock.
///
/// # Errors
/// What btrfs(8) says.
pub(crate) fn sweep(node: &Node, volume: &VolumeId) -> NodeResult<()> {
    Place::of(node, volume)?.subvolume.map_or(Ok(()), |subvolume| btrfs::sweep(&subvolume))
}

fn subvolume(node: &Node, volume: &VolumeId) -> NodeResult<std::path::PathBuf> {
    let place = Place::of(node, volume)?;
    place.subvolume.ok_or_else(|| Failure::new("snapshot feature is not available"))
}
