//! The storage type `btrfs`: each volume is a subvolume, which can have snapshots.
//!
//! The names of volumes are those of a `dir` storage. A raw image `vm-101-disk-0.raw` is the file `disk.raw` in the
//! subvolume `vm-101-disk-0`; a directory `subvol-101-disk-1.subvol` is a subvolume itself. A snapshot lies beside its
//! volume, `@NAME` after the name; what is only there for a moment has a dot after the `@`, which no snapshot's name
//! can have. Source of the layout: pve-storage, `BTRFSPlugin`.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::dir::{self, Directories, Volume};
use crate::tool::Tool;
use crate::{Failure, NodeResult};

/// The file of a raw image in its subvolume.
const IMAGE: &str = "disk.raw";
/// statfs(2): `BTRFS_SUPER_MAGIC`.
const MAGIC: i64 = 0x9123_683e;
/// The inode number of each subvolume's root. Source: `BTRFS_FIRST_FREE_OBJECTID`.
const ROOT_INODE: u64 = 256;

/// Checks that a storage's directory is on btrfs.
///
/// # Errors
/// `'<path>' is not a btrfs file system`.
pub(super) fn check(storage: &Path) -> NodeResult<()> {
    let stat =
        rustix::fs::statfs(storage).map_err(|errno| Failure::io("can't stat", storage, &errno.into()))?;
    match stat.f_type == MAGIC {
        true => Ok(()),
        false => Err(Failure::new(format!("'{}' is not a btrfs file system", storage.display()))),
    }
}

/// Returns the path of a volume on a storage with these directories.
pub(super) fn path(volume: &Volume, storage: &Directories) -> PathBuf {
    match subvolume(volume, storage) {
        Some(subvolume) if matches!(volume, Volume::Image { .. }) => subvolume.join(IMAGE),
        Some(subvolume) => subvolume,
        None => volume.path(storage),
    }
}

/// Returns the subvolume of a volume; `None` for images of other formats, and for volumes that are not a container's.
pub(super) fn subvolume(volume: &Volume, storage: &Directories) -> Option<PathBuf> {
    match volume {
        Volume::Image { vmid, name } => Some(dir::images(storage, *vmid).join(name.strip_suffix(".raw")?)),
        Volume::Directory { vmid, name } => Some(dir::images(storage, *vmid).join(name)),
        Volume::File { .. } => None,
    }
}

/// Returns the volume name of an entry in a container's directory; `None` for a snapshot.
pub(super) fn volume_name(images: &Path, entry: &str) -> Option<String> {
    if entry.contains('@') {
        return None;
    }
    let place = images.join(entry);
    // A killed create may have made only the subvolume.
    let is_image = || place.join(IMAGE).is_file() || is_subvolume(&place) && is_empty(&place);
    Some(if !entry.contains('.') && is_image() { format!("{entry}.raw") } else { entry.to_owned() })
}

fn is_empty(directory: &Path) -> bool {
    std::fs::read_dir(directory).is_ok_and(|mut entries| entries.next().is_none())
}

/// Returns the path of a snapshot of a subvolume.
pub(super) fn snapshot_path(subvolume: &Path, name: &str) -> PathBuf {
    let mut path = subvolume.as_os_str().to_owned();
    path.push("@");
    path.push(name);
    path.into()
}

/// Returns the path of the volume inside its subvolume.
pub(super) fn inside(volume: &Volume, subvolume: &Path) -> PathBuf {
    if matches!(volume, Volume::Image { .. }) { subvolume.join(IMAGE) } else { subvolume.to_owned() }
}

/// Returns whether a path is a subvolume. A symlink is not one.
pub(super) fn is_subvolume(path: &Path) -> bool {
    std::fs::symlink_metadata(path).is_ok_and(|meta| meta.is_dir() && meta.ino() == ROOT_INODE)
}

/// Returns the names after the `@` of the entries beside a subvolume, sorted: its snapshots, and what interrupted
/// commands left there.
pub(super) fn snapshots(subvolume: &Path) -> Vec<String> {
    let (Some(parent), Some(name)) = (subvolume.parent(), subvolume.file_name()) else { return Vec::new() };
    let prefix = format!("{}@", name.to_string_lossy());
    let entries = std::fs::read_dir(parent).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| Some(entry.file_name().to_str()?.strip_prefix(&prefix)?.to_owned()))
        .filter(|name| is_subvolume(&snapshot_path(subvolume, name)))
        .collect();
    names.sort();
    names
}

/// Returns whether a name after the `@` belongs to something temporary and not to a snapshot.
pub(super) fn is_passing(name: &str) -> bool {
    name.contains('.')
}

/// Removes what interrupted commands left beside a subvolume. The caller holds the container's lock.
///
/// # Errors
/// When btrfs(8) fails.
pub(super) fn sweep(subvolume: &Path) -> NodeResult<()> {
    snapshots(subvolume)
        .iter()
        .filter(|name| is_passing(name))
        .try_for_each(|name| delete(&snapshot_path(subvolume, name)))
}

fn btrfs(words: &[&str], paths: &[&Path]) -> NodeResult<()> {
    Tool::new("btrfs", "btrfs-progs").arg("-q").args(words).arg("--").args(paths).run()
}

/// Makes an empty subvolume.
///
/// # Errors
/// When btrfs(8) is missing or fails.
pub(super) fn create(path: &Path) -> NodeResult<()> {
    btrfs(&["subvolume", "create"], &[path])
}

/// Makes a writable copy of a subvolume that shares its blocks.
///
/// # Errors
/// When btrfs(8) is missing or fails.
pub(super) fn copy(from: &Path, to: &Path) -> NodeResult<()> {
    btrfs(&["subvolume", "snapshot"], &[from, to])
}

/// As [`copy`], read-only.
///
/// # Errors
/// As [`copy`].
pub(super) fn freeze_copy(from: &Path, to: &Path) -> NodeResult<()> {
    btrfs(&["subvolume", "snapshot", "-r"], &[from, to])
}

/// Makes a subvolume read-only.
///
/// # Errors
/// When btrfs(8) is missing or fails.
pub(super) fn protect(path: &Path) -> NodeResult<()> {
    let tool = Tool::new("btrfs", "btrfs-progs").args(["-q", "property", "set", "-t", "subvol"]);
    tool.arg(path).args(["ro", "true"]).run()
}

/// Makes a subvolume writable.
///
/// # Errors
/// When btrfs(8) is missing or fails.
pub(super) fn unprotect(path: &Path) -> NodeResult<()> {
    let tool = Tool::new("btrfs", "btrfs-progs").args(["-q", "property", "set", "-t", "subvol"]);
    tool.arg(path).args(["ro", "false"]).run()
}

/// Removes a subvolume, read-only or not.
///
/// # Errors
/// When btrfs(8) is missing or fails.
pub(super) fn delete(path: &Path) -> NodeResult<()> {
    btrfs(&["subvolume", "delete"], &[path])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes_are_subvolumes() {
        let root = &Directories::new(Path::new("/btr"), []);
        for (name, subvolume_of, path_of) in [
            ("401/vm-401-disk-0.raw", Some("vm-401-disk-0"), "/btr/images/401/vm-401-disk-0/disk.raw"),
            ("401/base-401-disk-0.raw", Some("base-401-disk-0"), "/btr/images/401/base-401-disk-0/disk.raw"),
            (
                "401/subvol-401-disk-1.subvol",
                Some("subvol-401-disk-1.subvol"),
                "/btr/images/401/subvol-401-disk-1.subvol",
            ),
            ("401/vm-401-disk-2.qcow2", None, "/btr/images/401/vm-401-disk-2.qcow2"),
            ("vztmpl/a.tar.zst", None, "/btr/template/cache/a.tar.zst"),
        ] {
            let volume = Volume::parse(name).unwrap();
            let subvolume_of = subvolume_of.map(|name| Path::new("/btr/images/401").join(name));
            assert_eq!(subvolume(&volume, root), subvolume_of, "{name}");
            assert_eq!(path(&volume, root), Path::new(path_of), "{name}");
        }
    }

    #[test]
    fn entries_of_a_directory_are_told_apart() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["vm-1-disk-0", "vm-1-disk-0@one"] {
            std::fs::create_dir(dir.path().join(name)).unwrap();
            std::fs::write(dir.path().join(name).join(IMAGE), "").unwrap();
        }
        for (entry, name) in [
            ("vm-1-disk-0", Some("vm-1-disk-0.raw")),
            ("vm-1-disk-0@one", None),
            ("subvol-1-disk-1.subvol", Some("subvol-1-disk-1.subvol")),
            ("other", Some("other")),
        ] {
            assert_eq!(volume_name(dir.path(), entry).as_deref(), name, "{entry}");
        }
        assert!(!is_subvolume(dir.path()));
        assert_eq!(snapshots(&dir.path().join("vm-1-disk-0")), Vec::<String>::new());
        assert!(is_passing("s1.new") && !is_passing("s1"));
    }

    #[test]
    fn another_file_system_is_refused() {
        assert_eq!(check(Path::new("/proc")).unwrap_err().text, "'/proc' is not a btrfs file system");
    }
}
