//! Volumes: which are there, which are named, whether the two agree.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pvect_core::property::MountSource;
use pvect_core::{ContainerConfig, Vmid, VolumeId};

use super::{Action, Finding, Kind};
use crate::config_volumes::{self, owner};
use crate::storage::{self, grow, snapshot};
use crate::{FailureKind, Node, NodeResult};

/// Volumes of a container that has no configuration. They may be somebody's data, so a person has to decide.
pub(super) fn ownerless(node: &Node, vmid: Vmid) -> NodeResult<Vec<Finding>> {
    let finding = |(volume, path): (VolumeId, PathBuf)| {
        let command = format!("if nobody needs it: rm -r {}", path.display());
        let what = format!("there is no CT {vmid}");
        Finding::new(Kind::OwnerlessVolume, Some(vmid), volume, what).by_hand(command)
    };
    let mut found: Vec<Finding> = super::volumes_of(node, vmid)?.into_iter().map(finding).collect();
    found.extend(empty_directories(node, vmid)?.into_iter().map(|path| {
        let what = format!("there is no CT {vmid}, and no volume in its directory");
        let finding = Finding::new(Kind::Directory, Some(vmid), path.display(), what);
        finding.by("remove the directory", Action::RemoveVolumeDirectories)
    }));
    Ok(found)
}

/// The directories for a container's volumes in which nothing is.
pub(super) fn empty_directories(node: &Node, vmid: Vmid) -> NodeResult<Vec<PathBuf>> {
    let storages = storage::Storages::load(&node.layout)?;
    let usable = storages.enabled().filter(|storage| storage.holds("rootdir"));
    let paths = usable.filter_map(|storage| Some(storage::dir::images(&storage::there(storage)?, vmid)));
    let is_empty = |path: &PathBuf| std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    Ok(paths.filter(is_empty).collect())
}

/// Returns what is wrong with the volumes of a container.
pub(super) fn of(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    running: bool,
) -> NodeResult<Vec<Finding>> {
    let named = named(config);
    let mut found = missing(node, vmid, &named);
    found.extend(not_named(node, vmid, &named)?);
    found.extend(cut_short(node, vmid, config, running)?);
    found.extend(half_a_template(vmid, config, running));
    found.extend(passing(node, vmid, &named));
    Ok(found)
}

/// Temporary subvolumes of a rollback or of a copy of a snapshot.
fn passing(node: &Node, vmid: Vmid, named: &BTreeMap<VolumeId, (String, bool)>) -> Vec<Finding> {
    let mut found = Vec::new();
    for volume in named.keys().filter(|volume| owner(volume) == Some(vmid)) {
        for path in snapshot::passing(node, volume).unwrap_or_default() {
            let what = format!("a rollback or a clone of CT {vmid} was cut short and left this copy");
            let finding = Finding::new(Kind::LeftCopy, Some(vmid), path.display(), what);
            found.push(finding.by("remove the copy; the volume stays", Action::Sweep(volume.clone())));
        }
    }
    found
}

/// The volume that a base volume is made from: if the configuration names that one, the base is a copy of it.
fn origin(base: &VolumeId) -> Option<VolumeId> {
    let (directory, name) = base.volume().split_once('/')?;
    format!("{}:{directory}/vm-{}", base.storage(), name.strip_prefix("base-")?).parse().ok()
}

/// A container that is not a template and has a base volume of its own.
fn half_a_template(vmid: Vmid, config: &ContainerConfig, running: bool) -> Option<Finding> {
    let base = format!("{vmid}/base-{vmid}-");
    let volume = config.volumes().into_iter().find_map(|(_, mount)| match mount.fs.source {
        MountSource::Volume(text) => {
            text.split_once(':').is_some_and(|(_, name)| name.starts_with(&base)).then_some(text)
        }
        _ => None,
    })?;
    if config.is_set("template") {
        return None;
    }
    let what = format!("CT {vmid} was being made a template when the command ended");
    let finding = Finding::new(Kind::UnfinishedTemplate, Some(vmid), volume, what);
    Some(if running {
        finding.by_hand(format!("pvect shutdown {vmid}; pvect template {vmid}"))
    } else {
        finding.by("make it a template", Action::Template)
    })
}

/// The volumes that a configuration names anywhere, each with the first option that does; the main section first.
fn named(config: &ContainerConfig) -> BTreeMap<VolumeId, (String, bool)> {
    let mut found = BTreeMap::new();
    for (index, section) in config_volumes::sections(config).enumerate() {
        for (key, volume) in config_volumes::all(section) {
            found.entry(volume).or_insert((key, index == 0));
        }
    }
    found
}

/// Options that name a volume which is not there. Says nothing if the storage itself is unavailable.
fn missing(node: &Node, vmid: Vmid, named: &BTreeMap<VolumeId, (String, bool)>) -> Vec<Finding> {
    let mut found = Vec::new();
    for (volume, (key, main)) in named {
        let is_missing = storage::volume_path(node, volume)
            .is_err_and(|failure| matches!(failure.kind, FailureKind::NoVolume { .. }));
        if !main || !is_missing || !storage_is_there(node, volume) {
            continue;
        }
        let what = format!("{key} of CT {vmid} names a volume that does not exist");
        let finding = Finding::new(Kind::MissingVolume, Some(vmid), volume, what);
        found.push(if key.starts_with("unused") {
            finding.by(format!("delete {key}"), Action::DropUnused(key.clone()))
        } else if key == "rootfs" {
            finding.by_hand(format!(
                "put it back, or: pvect restore {vmid} BACKUP --force 1, or: pvect destroy {vmid}"
            ))
        } else {
            finding.by_hand(format!("restore it, or: pvect set {vmid} --delete {key}"))
        });
    }
    found
}

fn storage_is_there(node: &Node, volume: &VolumeId) -> bool {
    let Ok(storages) = storage::Storages::load(&node.layout) else { return false };
    let places = storages.find(volume.storage()).ok().and_then(storage::there);
    places.is_some_and(|places| places.of("images").is_dir())
}

/// Volumes of the container that its configuration does not name.
fn not_named(
    node: &Node,
    vmid: Vmid,
    named: &BTreeMap<VolumeId, (String, bool)>,
) -> NodeResult<Vec<Finding>> {
    let paths: Vec<PathBuf> =
        named.keys().filter_map(|volume| storage::volume_path(node, volume).ok()).collect();
    let real = |path: &Path| path.canonicalize().ok();
    let ids: Vec<&VolumeId> = named.keys().collect();
    let named: Vec<PathBuf> = paths.iter().filter_map(|path| real(path)).collect();
    let inodes: Vec<(u64, u64)> = named.iter().filter_map(|path| inode(path)).collect();
    let mut found = Vec::new();
    for (volume, path) in super::volumes_of(node, vmid)? {
        if real(&path).is_some_and(|path| named.contains(&path)) {
            continue;
        }
        if origin(&volume).is_some_and(|origin| ids.contains(&&origin)) && is_btrfs(node, &volume) {
            let what =
                format!("CT {vmid} was being made a template when the command ended, and left this copy");
            let finding = Finding::new(Kind::LeftCopy, Some(vmid), &volume, what);
            found.push(finding.by("remove the copy; the volume stays", Action::FreeVolume(volume)));
            continue;
        }
        let is_second = path.is_file() && inode(&path).is_some_and(|inode| inodes.contains(&inode));
        found.push(if is_second {
            let what =
                format!("it is a second name of a volume of CT {vmid}: a change of its name was cut short");
            let finding = Finding::new(Kind::SecondName, Some(vmid), &volume, what);
            finding.by("remove the second name; the volume stays", Action::RemoveFile(path))
        } else {
            let what = format!("CT {vmid} has this volume and no option names it");
            let finding = Finding::new(Kind::UnusedVolume, Some(vmid), &volume, what);
            finding.by("list it as unused, as pct rescan does", Action::Rescan)
        });
    }
    Ok(found)
}

fn is_btrfs(node: &Node, volume: &VolumeId) -> bool {
    snapshot::can_snapshot(node, volume) == Ok(true)
}

fn inode(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|meta| (meta.dev(), meta.ino()))
}

/// Images that are larger than their file system, because a resize was interrupted.
fn cut_short(node: &Node, vmid: Vmid, config: &ContainerConfig, running: bool) -> NodeResult<Vec<Finding>> {
    let mut found = Vec::new();
    for (key, mount) in config.volumes() {
        let MountSource::Volume(text) = &mount.fs.source else { continue };
        let Ok(volume) = text.parse::<VolumeId>() else { continue };
        if owner(&volume) != Some(vmid) || storage::volume_path(node, &volume).is_err() {
            continue;
        }
        let size = grow::size(node, &volume)?.filter(|size| *size > 0);
        let differs = match (size, mount.fs.size) {
            (Some(size), Some(recorded)) => size != recorded.0,
            _ => false,
        };
        // While the container runs, the data on disk lags behind.
        let has_room = !running && grow::has_room(node, &volume);
        let finding = |what: String| Finding::new(Kind::UnfinishedResize, Some(vmid), &volume, what);
        if has_room {
            let what = format!("{key} of CT {vmid} is larger than its file system: a resize was cut short");
            found.push(finding(what).by("enlarge the file system", Action::Resize(key)));
        } else if differs {
            let what = format!("{key} of CT {vmid} has another size than its configuration says");
            found.push(finding(what).by("write the size, as pct rescan does", Action::Rescan));
        }
    }
    Ok(found)
}
