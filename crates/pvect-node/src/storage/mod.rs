//! Storages: storage.cfg, volumes, templates.

pub mod base;
mod btrfs;
pub mod cfg;
pub mod copy;
pub mod dir;
pub mod grow;
mod mounts;
mod namespace;
pub mod snapshot;
pub(crate) mod stored;
pub mod usage;

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pvect_core::size::DiskSize;
use pvect_core::{Vmid, VolumeId};

pub use cfg::{Storage, StorageKind, Storages};
pub use mounts::{MountFor, mount_all, mount_all_for, unmount_all};
pub(crate) use mounts::{
    check_mount, ignored_idmaps, mount_own, mount_rest, mounted_below_in, own_paths, stage,
};
pub use namespace::PrivateMounts;

use crate::interrupt::Interrupt;
use crate::{Failure, Node, NodeResult, image};
use dir::Volume;

/// A template on a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its volume id, such as `local:vztmpl/debian-12.tar.zst`.
    pub volume: VolumeId,
    /// Where it lies.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

/// Where a volume lies.
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
        let (kind, root) = (storage.usable_kind()?, storage.path()?);
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

    /// Whose it is, when it is a container's.
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

/// Checks that a storage exists, is of a type that can be used, and may hold root file systems.
///
/// # Errors
/// `storage '<name>' does not exist`, or pct's parameter error about the content type (2).
pub fn check_rootdir(node: &Node, storage: &str) -> NodeResult<()> {
    let storages = Storages::load(&node.layout)?;
    let found = storages.find(storage)?;
    if !found.holds("rootdir") {
        let text = format!("storage '{storage}' does not support container directories");
        let line = format!("storage: {text}");
        return Err(Failure::bad_parameters(vec![("storage".to_owned(), text)], &line));
    }
    found.path().map(|_| ())
}

/// Makes a volume for a container, formatted and empty: a raw ext4 image, or a directory when `size` is 0. Its root
/// directory gets this owner (host ids).
/// What mkfs and the like print is passed to `log`, line by line, in pct's form.
///
/// # Errors
/// When the storage does not exist, cannot hold root file systems, or is full; nothing is left then.
pub fn allocate(
    node: &Node,
    storage: &str,
    vmid: Vmid,
    size: DiskSize,
    owner: (u32, u32),
    log: &mut dyn FnMut(&str),
) -> NodeResult<VolumeId> {
    let mut format = |path: &Path, announce: bool| image::create(path, size, owner, announce, log);
    let new = if size.0 > 0 { New::Image(&mut format) } else { New::Directory(owner) };
    allocate_new(node, storage, vmid, new)
}

/// What a new volume is to be.
enum New<'a> {
    /// An image that is made at a path; the second argument says whether pct would print the `Formatting` line.
    Image(&'a mut dyn FnMut(&Path, bool) -> NodeResult<()>),
    /// A directory with this owner (host ids).
    Directory((u32, u32)),
}

/// Makes an image for a container, the content of which is a copy of another image that nobody writes to.
///
/// # Errors
/// As [`allocate`] and [`image::copy::run`].
fn allocate_copy(
    node: &Node,
    storage: &str,
    vmid: Vmid,
    source: &Path,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(&str),
) -> NodeResult<VolumeId> {
    let mut copy = |path: &Path, announce: bool| image::copy::run(source, path, announce, interrupt, log);
    allocate_new(node, storage, vmid, New::Image(&mut copy))
}

fn allocate_new(node: &Node, storage: &str, vmid: Vmid, new: New<'_>) -> NodeResult<VolumeId> {
    let storages = Storages::load(&node.layout)?;
    let found = storages.find(storage)?;
    if !found.holds("rootdir") {
        return Err(Failure::new(format!(
            "content type 'rootdir' is not available or configured on storage '{storage}'"
        )));
    }
    let (kind, path) = (found.usable_kind()?, found.path()?);
    if kind == StorageKind::Btrfs {
        btrfs::check(path)?;
    }
    let name = new_volume(path, vmid, |directory, number| match kind {
        StorageKind::Dir => make_file(directory, vmid, number, new),
        StorageKind::Btrfs => make_subvolume(directory, vmid, number, new),
    })?;
    volume_id(storage, vmid, &name)
}

fn volume_id(storage: &str, vmid: Vmid, name: &str) -> NodeResult<VolumeId> {
    format!("{storage}:{vmid}/{name}").parse().map_err(|error| Failure::new(format!("{error}")))
}

/// Has a volume made in a container's directory on a storage; `make` gets the directory and a free number and returns
/// the name.
fn new_volume(
    storage: &Path,
    vmid: Vmid,
    make: impl FnOnce(&Path, u32) -> NodeResult<String>,
) -> NodeResult<String> {
    let directory = dir::images(storage, vmid);
    // What lies in a volume has its force on the host, too: a set-user-id file, the ids of another container.
    crate::store::make_directories(&directory, 0o700)?;
    let made = file_names(&directory)
        .and_then(|names| make(&directory, dir::next_number(vmid, names.iter().map(String::as_str))));
    if made.is_err() {
        // Only an empty one goes.
        let _ = std::fs::remove_dir(&directory);
    }
    made
}

fn make_file(directory: &Path, vmid: Vmid, number: u32, new: New<'_>) -> NodeResult<String> {
    match new {
        New::Image(make) => {
            let name = format!("vm-{vmid}-disk-{number}.raw");
            make(&directory.join(&name), true).map(|()| name)
        }
        New::Directory(owner) => {
            let name = format!("subvol-{vmid}-disk-{number}.subvol");
            let path = directory.join(&name);
            std::fs::create_dir(&path).map_err(|error| Failure::io("can't create", &path, &error))?;
            give(&path, owner).inspect_err(|_| {
                let _ = std::fs::remove_dir(&path);
            })?;
            Ok(name)
        }
    }
}

fn make_subvolume(directory: &Path, vmid: Vmid, number: u32, new: New<'_>) -> NodeResult<String> {
    let (name, entry) = match new {
        New::Image(_) => {
            let stem = format!("vm-{vmid}-disk-{number}");
            (format!("{stem}.raw"), stem)
        }
        New::Directory(_) => {
            let name = format!("subvol-{vmid}-disk-{number}.subvol");
            (name.clone(), name)
        }
    };
    let volume = Volume::parse(&format!("{vmid}/{name}"))?;
    let subvolume = directory.join(entry);
    btrfs::create(&subvolume)?;
    let path = btrfs::inside(&volume, &subvolume);
    let made = match new {
        New::Image(make) => make(&path, false),
        New::Directory(owner) => give(&path, owner),
    };
    if made.is_err() {
        let _ = btrfs::delete(&subvolume);
    }
    made.map(|()| name)
}

/// Makes a new directory a container's. It is the guest's `/`, whatever umask we were started with.
fn give(path: &Path, owner: (u32, u32)) -> NodeResult<()> {
    std::os::unix::fs::chown(path, Some(owner.0), Some(owner.1))
        .map_err(|error| Failure::io("can't change the owner of", path, &error))?;
    std::fs::set_permissions(path, Permissions::from_mode(0o755))
        .map_err(|error| Failure::io("can't change the mode of", path, &error))
}

fn file_names(directory: &Path) -> NodeResult<Vec<String>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::io("can't read", directory, &error)),
    };
    Ok(entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect())
}

/// Removes a volume; the parent directory too when it became empty. A missing one is fine.
///
/// # Errors
/// When it exists and cannot be removed, or something is mounted in it.
pub fn free(node: &Node, volume: &VolumeId) -> NodeResult<()> {
    free_telling(node, volume, &mut |_| {})
}

/// As [`free`], for a configuration that lets go of a volume: another container's is left alone, which `log` is told.
///
/// # Errors
/// As [`free`].
pub fn free_own(node: &Node, vmid: Vmid, volume: &VolumeId, log: &mut dyn FnMut(&str)) -> NodeResult<()> {
    if crate::named::owner(volume) == Some(vmid) {
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
            // Only an empty one goes.
            let _ = std::fs::remove_dir(parent);
        }
    };
    if let Some(subvolume) = &place.subvolume {
        // First, so that no snapshot is without its volume.
        for name in btrfs::snapshots(subvolume) {
            btrfs::delete(&btrfs::snapshot_path(subvolume, &name))?;
        }
    }
    if std::fs::symlink_metadata(path).is_err() {
        log(&format!("disk image '{}' does not exist", path.display()));
        // One that was killed here may have removed the volume only.
        empty_parent();
        return Ok(());
    }
    base::release(path);
    if matches!(place.volume, Volume::Directory { .. }) {
        // A bind mount left below would be emptied with it.
        if let Some(mounted) = mounts::mounted_below(path)?.first() {
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

/// Returns all volumes of a container on all usable storages, sorted.
///
/// # Errors
/// When a storage cannot be read.
pub fn volumes_of(node: &Node, vmid: Vmid) -> NodeResult<Vec<VolumeId>> {
    let mut volumes = Vec::new();
    for storage in Storages::load(&node.layout)?.0.iter().filter(|storage| storage.holds("rootdir")) {
        let (Ok(kind), Ok(path)) = (storage.usable_kind(), storage.path()) else { continue };
        let images = dir::images(path, vmid);
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
    }
    volumes.sort();
    Ok(volumes)
}

/// Returns the templates of all usable storages, by volume id.
///
/// # Errors
/// When a storage cannot be read.
pub fn templates(node: &Node) -> NodeResult<Vec<Template>> {
    let mut found = Vec::new();
    for storage in Storages::load(&node.layout)?.0.iter().filter(|storage| storage.holds("vztmpl")) {
        let Ok(path) = storage.path() else { continue };
        let cache = path.join("template/cache");
        for name in file_names(&cache)?.into_iter().filter(|name| dir::is_template(name)) {
            let path = cache.join(&name);
            let (Ok(meta), Ok(volume)) =
                (std::fs::metadata(&path), format!("{}:vztmpl/{name}", storage.name).parse())
            else {
                continue;
            };
            if meta.is_file() {
                found.push(Template { volume, path, size: meta.len() });
            }
        }
    }
    found.sort_by(|a, b| a.volume.cmp(&b.volume));
    Ok(found)
}

/// Removes a template.
///
/// # Errors
/// `volume '<id>' does not exist`; when the volume is not a template or cannot be removed.
pub fn remove_template(node: &Node, volume: &VolumeId) -> NodeResult<()> {
    let path = volume_path(node, volume)?;
    if !volume.volume().starts_with("vztmpl/") {
        return Err(Failure::new(format!("volume '{volume}' is not a template")));
    }
    std::fs::remove_file(&path).map_err(|error| Failure::io("can't remove", &path, &error))
}

/// Returns the path of a template that is named by volume id or by a path, which may be relative.
///
/// # Errors
/// `can't find file '<path>'`, and those of [`volume_path`].
pub fn template_path(node: &Node, name: &str) -> NodeResult<PathBuf> {
    match name.parse::<VolumeId>() {
        Ok(volume) if !name.starts_with('/') => volume_path(node, &volume),
        _ => match Path::new(name).canonicalize() {
            Ok(path) if path.is_file() => Ok(path),
            _ => Err(Failure::new(format!("can't find file '{name}'"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::idmap::IdMap;

    fn node() -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let name: pvect_core::NodeName = "vm".parse().unwrap();
        let layout = crate::Layout::new(dir.path(), name.clone());
        (dir, Node { layout, name, helper: "/bin/false".into() })
    }

    fn id(text: &str) -> VolumeId {
        text.parse().unwrap()
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
    fn a_new_directory_is_open_to_the_guests_users() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        give(dir.path(), owner).unwrap();
        assert_eq!(std::fs::metadata(dir.path()).unwrap().permissions().mode() & 0o7777, 0o755);
    }

    #[test]
    fn a_volume_deeper_than_files_may_be_open_is_removed() {
        use rustix::fs::{CWD, Mode, OFlags, mkdirat, openat};
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(20_000);
        // In memory: a disk takes a minute for so many directories.
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
    fn templates_are_listed_and_removed() {
        let (_dir, node) = node();
        assert_eq!(templates(&node).unwrap(), []);
        let cache = node.layout.local_storage().join("template/cache");
        std::fs::create_dir_all(&cache).unwrap();
        for name in ["b.tar.gz", "a.tar.zst", "readme.txt", ".tmp.tar.gz"] {
            std::fs::write(cache.join(name), "123").unwrap();
        }
        let found: Vec<_> =
            templates(&node).unwrap().into_iter().map(|one| (one.volume.to_string(), one.size)).collect();
        assert_eq!(
            found,
            [("local:vztmpl/a.tar.zst".to_owned(), 3), ("local:vztmpl/b.tar.gz".to_owned(), 3)]
        );
        remove_template(&node, &id("local:vztmpl/a.tar.zst")).unwrap();
        assert_eq!(
            remove_template(&node, &id("local:vztmpl/a.tar.zst")).unwrap_err().text,
            "volume 'local:vztmpl/a.tar.zst' does not exist"
        );
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
        assert_eq!(check_rootdir(&node, "local").unwrap_err().exit, 2);
    }
}
