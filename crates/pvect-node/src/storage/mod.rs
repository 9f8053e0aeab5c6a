//! Storages: storage.cfg, volumes, templates.

mod active;
mod allocation;
pub mod base;
mod btrfs;
pub mod cfg;
pub mod copy;
pub mod dir;
pub mod grow;
mod keys;
mod mounts;
mod namespace;
pub mod snapshot;
pub(crate) mod stored;
mod templates;
pub mod usage;

use std::path::{Path, PathBuf};

use pvect_core::{Verb, Vmid, VolumeId};

pub use allocation::allocate;
pub use cfg::{Storage, StorageKind, Storages};
pub(crate) use mounts::table::mounted_below_in;
pub use mounts::table::unmount_all;
pub use mounts::{MountFor, mount_all, mount_all_for};
pub(crate) use mounts::{check_mount, ignored_idmaps, mount_own, mount_rest, own_paths, stage};
pub use namespace::PrivateMounts;
pub use templates::{Template, remove_template, template_path, templates};

use crate::usage::report::bad_parameters;
use crate::{Failure, Node, NodeResult};
use dir::{Directories, Volume};

/// The place of a volume.
#[derive(Debug)]
struct Place {
    kind: StorageKind,
    volume: Volume,
    /// The file or directory.
    path: PathBuf,
    /// The subvolume, on btrfs.
    subvolume: Option<PathBuf>,
}

impl Place {
    /// Finds a volume's storage and parses its name. The volume need not exist.
    fn of(node: &Node, volume: &VolumeId) -> NodeResult<Self> {
        let (storage, name) = volume.split();
        let storages = Storages::load(&node.layout)?;
        let storage = storages.find(storage)?;
        storage.present()?;
        let (kind, root) = (storage.usable_kind()?, &storage.directories()?);
        let volume = Volume::parse(name)?;
        Ok(match kind {
            StorageKind::Dir => Self { kind, path: volume.path(root), subvolume: None, volume },
            StorageKind::Btrfs => Self {
                kind,
                path: btrfs::path(&volume, root),
                subvolume: btrfs::subvolume(&volume, root),
                volume,
            },
        })
    }

    /// The container that it belongs to, if any.
    fn owner(&self) -> Option<Vmid> {
        match &self.volume {
            Volume::Image { vmid, .. } | Volume::Directory { vmid, .. } => Some(*vmid),
            Volume::File { .. } => None,
        }
    }
}

/// Finds a volume's storage and parses its name.
fn locate(node: &Node, volume: &VolumeId) -> NodeResult<(Volume, PathBuf)> {
    let place = Place::of(node, volume)?;
    Ok((place.volume, place.path))
}

/// Returns the path of an existing volume (`local:101/vm-101-disk-0.raw`, `local:vztmpl/x.tar.zst`).
///
/// # Errors
/// `storage '<id>' does not exist`, `unable to parse directory volume name '<name>'`, `volume '<id>' does not exist`.
pub fn volume_path(node: &Node, volume: &VolumeId) -> NodeResult<PathBuf> {
    let (_, path) = locate(node, volume)?;
    if std::fs::symlink_metadata(&path).is_err() {
        return Err(Failure::no_volume(volume));
    }
    Ok(path)
}

/// Checks that a storage exists, is of a type that can be used, and may hold root file systems; makes it ready.
///
/// # Errors
/// `storage '<name>' does not exist`, or pct's parameter error about the content type (2); those of
/// [`Storage::activate`].
pub(crate) fn check_rootdir(node: &Node, verb: Verb, storage: &str) -> NodeResult<()> {
    let storages = Storages::load(&node.layout)?;
    let found = storages.find(storage)?;
    if !found.holds("rootdir") {
        let text = format!("storage '{storage}' does not support container directories");
        return Err(bad_parameters(verb, &["storage"], &text));
    }
    found.activate()
}

fn volume_id(storage: &str, vmid: Vmid, name: &str) -> NodeResult<VolumeId> {
    format!("{storage}:{vmid}/{name}").parse().map_err(|error| Failure::new(format!("{error}")))
}

fn file_names(directory: &Path) -> NodeResult<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::io("can't read", directory, &error)),
    };
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Removes a volume, and its directory if that is then empty. A missing one is fine.
///
/// # Errors
/// When it exists and cannot be removed, or something is mounted in it.
pub fn free(node: &Node, volume: &VolumeId) -> NodeResult<()> {
    free_telling(node, volume, &mut |_| {})
}

/// As [`free`], for a volume that is removed from a configuration: another container's is left alone, and `log` gets a
/// line about that.
///
/// # Errors
/// As [`free`].
pub fn free_own(node: &Node, vmid: Vmid, volume: &VolumeId, log: &mut dyn FnMut(&str)) -> NodeResult<()> {
    if crate::config_volumes::owner(volume) == Some(vmid) {
        return free(node, volume);
    }
    log(&format!("ignore deletion of '{volume}', CT {vmid} isn't the owner!"));
    Ok(())
}

/// As [`free`]; of a missing volume `log` gets `disk image '<path>' does not exist`.
///
/// # Errors
/// As [`free`].
pub fn free_telling(node: &Node, volume: &VolumeId, log: &mut dyn FnMut(&str)) -> NodeResult<()> {
    let place = Place::of(node, volume)?;
    let path = &place.path;
    let empty_parent = || {
        if let (Some(_), Some(parent)) = (place.owner(), place.subvolume.as_ref().unwrap_or(path).parent()) {
            // This only removes an empty directory.
            let _ = std::fs::remove_dir(parent);
        }
    };
    if let Some(subvolume) = &place.subvolume {
        // Remove these first, so that a snapshot never exists without its volume.
        for name in btrfs::snapshots(subvolume) {
            btrfs::delete(&btrfs::snapshot_path(subvolume, &name))?;
        }
    }
    let subvolume_is_there = place.subvolume.as_deref().is_some_and(btrfs::is_subvolume);
    if !subvolume_is_there && std::fs::symlink_metadata(path).is_err() {
        log(&format!("disk image '{}' does not exist", path.display()));
        // A command that was killed here may have removed only the volume.
        empty_parent();
        return Ok(());
    }
    base::release(path);
    if matches!(place.volume, Volume::Directory { .. }) {
        // A bind mount left below would be emptied with it.
        if let Some(mounted) = mounts::table::mounted_below(path)?.first() {
            return Err(Failure::new(format!(
                "can't remove '{}' - '{}' is mounted in it",
                path.display(),
                mounted.display()
            )));
        }
    }
    let failed = |error: std::io::Error| Failure::io("can't remove", path, &error);
    match (&place.subvolume, &place.volume) {
        (Some(subvolume), _) if btrfs::is_subvolume(subvolume) => btrfs::delete(subvolume)?,
        (_, Volume::Directory { .. }) => remove_directory(path).map_err(failed)?,
        (_, Volume::Image { .. } | Volume::File { .. }) => std::fs::remove_file(path).map_err(failed)?,
    }
    empty_parent();
    Ok(())
}

/// Removes a directory that a guest filled.
fn remove_directory(path: &Path) -> std::io::Result<()> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(std::io::ErrorKind::InvalidInput.into());
    };
    pvect_rootfs::removal::remove_tree(std::fs::File::open(parent)?, name)
}

/// Returns the directories of a storage if it can be read: its type is known, its keys are valid, and it is available.
pub(crate) fn there(storage: &Storage) -> Option<Directories> {
    storage
        .check_keys()
        .and_then(|()| storage.present().map(|_| ()))
        .and_then(|()| storage.directories())
        .ok()
}

/// The volumes of a container on one storage.
pub(crate) struct Looked {
    /// The storage's name.
    pub(crate) storage: String,
    /// The directory of the container's volumes.
    pub(crate) images: PathBuf,
    /// Those that are in it.
    pub(crate) volumes: Vec<VolumeId>,
}

/// Looks for the volumes of a container on all storages that can be used and are there.
///
/// # Errors
/// When a storage cannot be read.
pub(crate) fn look_for(node: &Node, vmid: Vmid) -> NodeResult<Vec<Looked>> {
    let mut found = Vec::new();
    for storage in Storages::load(&node.layout)?.enabled().filter(|storage| storage.holds("rootdir")) {
        let Some(directories) = there(storage) else { continue };
        let (kind, images) = (storage.usable_kind()?, dir::images(&directories, vmid));
        let mut volumes = Vec::new();
        for entry in file_names(&images)? {
            let name = match kind {
                StorageKind::Dir => entry,
                StorageKind::Btrfs => match btrfs::volume_name(&images, &entry) {
                    Some(name) => name,
                    None => continue,
                },
            };
            let id = format!("{}:{vmid}/{name}", storage.name);
            if Volume::parse(&format!("{vmid}/{name}")).is_ok() {
                volumes.extend(id.parse::<VolumeId>());
            }
        }
        found.push(Looked { storage: storage.name.clone(), images, volumes });
    }
    Ok(found)
}

/// Returns all volumes of a container on all storages that can be used and are there, sorted.
///
/// # Errors
/// When a storage cannot be read.
pub fn volumes_of(node: &Node, vmid: Vmid) -> NodeResult<Vec<VolumeId>> {
    let mut volumes: Vec<_> = look_for(node, vmid)?.into_iter().flat_map(|one| one.volumes).collect();
    volumes.sort();
    Ok(volumes)
}

#[cfg(test)]
mod tests {
    use pvect_core::size::DiskSize;

    use super::*;
    use crate::idmap::IdMap;

    fn node() -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        (dir, node)
    }

    #[test]
    fn missing_volumes_have_the_recorded_texts() {
        let (_dir, node) = node();
        for (name, text) in [
            ("local:vztmpl/nosuch.tar.gz", "volume 'local:vztmpl/nosuch.tar.gz' does not exist"),
            ("nosuch:vztmpl/x.tar.gz", "storage 'nosuch' does not exist"),
            ("/no/such/file.tar.gz", "can't find file '/no/such/file.tar.gz'"),
            ("bogus", "can't find file 'bogus'"),
            ("./bogus", "can't find file './bogus'"),
            ("local:abc", "unable to parse directory volume name 'abc'"),
        ] {
            assert_eq!(template_path(&node, name).unwrap_err().text, text);
        }
    }

    #[test]
    fn a_volume_deeper_than_files_may_be_open_is_removed() {
        use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(20_000);
        // In memory, because a disk takes a minute for that many directories.
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let top = dir.path().join("subvol-101-disk-0.subvol");
        std::fs::create_dir(&top).unwrap();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let mut at = openat(CWD, &top, flags, Mode::empty()).unwrap();
        for _ in 0..limit.min(100_000) + 100 {
            mkdirat(&at, "d", Mode::from_raw_mode(0o755)).unwrap();
            at = openat(&at, "d", flags, Mode::empty()).unwrap();
        }
        remove_directory(&top).unwrap();
        assert!(!top.exists());
    }

    #[test]
    fn a_directory_volume_is_made_and_removed() {
        if !rustix::process::geteuid().is_root() {
            pvect_testkit::skipped(module_path!(), "volumes with owners need root");
            return;
        }
        let (_dir, node) = node();
        let vmid = "101".parse().unwrap();
        let volume =
            allocate(&node, "local", vmid, DiskSize(0), IdMap::unprivileged().root(), &mut |_| {}).unwrap();
        assert_eq!(volume.as_str(), "local:101/subvol-101-disk-0.subvol");
        let path = volume_path(&node, &volume).unwrap();
        assert_eq!(std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(&path).unwrap()), 100_000);
        let second =
            allocate(&node, "local", vmid, DiskSize(0), IdMap::unprivileged().root(), &mut |_| {}).unwrap();
        assert_eq!(second.as_str(), "local:101/subvol-101-disk-1.subvol");
        assert_eq!(volumes_of(&node, vmid).unwrap(), [volume.clone(), second.clone()]);
        std::fs::write(path.join("file"), "x").unwrap();
        free(&node, &volume).unwrap();
        free(&node, &second).unwrap();
        assert!(!path.parent().unwrap().exists());
        let mut said = Vec::new();
        free_telling(&node, &volume, &mut |line| said.push(line.to_owned())).unwrap();
        assert_eq!(said, [format!("disk image '{}' does not exist", path.display())]);
    }

    #[test]
    fn a_storage_without_the_content_is_refused() {
        let (dir, node) = node();
        let cfg = node.layout.storage_cfg();
        std::fs::create_dir_all(cfg.parent().unwrap()).unwrap();
        std::fs::write(&cfg, format!("dir: local\n\tpath {}\n\tcontent iso\n", dir.path().display()))
            .unwrap();
        let vmid = "101".parse().unwrap();
        assert_eq!(
            allocate(&node, "local", vmid, DiskSize(0), IdMap::unprivileged().root(), &mut |_| {})
                .unwrap_err()
                .text,
            "content type 'rootdir' is not available or configured on storage 'local'"
        );
        assert_eq!(check_rootdir(&node, Verb::Create, "local").unwrap_err().exit, 2);
    }
}
