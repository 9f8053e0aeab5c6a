//! New volumes of containers.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use pvect_core::size::DiskSize;
use pvect_core::{Vmid, VolumeId};

use super::dir::{self, Directories, Volume};
use super::{StorageKind, Storages, btrfs, file_names, volume_id};
use crate::image::{self, Form};
use crate::interrupt::Interrupt;
use crate::{Failure, Node, NodeResult, files};

/// Makes a volume for a container, formatted and empty: a raw ext4 image, or a directory when `size` is 0. Its root
/// directory gets this owner (host ids). Output of mkfs and similar programs is passed to `log`, line by line, in pct's
/// form.
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
    let mut format = |path: &Path, form: Form| image::create_as(path, size, owner, form, log);
    let new = if size.0 > 0 { New::Image(&mut format) } else { New::Directory(owner) };
    make(node, storage, vmid, new)
}

/// Makes an image for a container as a copy of another image that nobody writes to.
///
/// # Errors
/// As [`allocate`] and [`image::copy::run`].
pub(super) fn allocate_copy(
    node: &Node,
    storage: &str,
    vmid: Vmid,
    source: &Path,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(&str),
) -> NodeResult<VolumeId> {
    let mut copy = |path: &Path, form: Form| image::copy::run(source, path, form, interrupt, log);
    make(node, storage, vmid, New::Image(&mut copy))
}

/// What a new volume is to be.
enum New<'a> {
    /// An image that is made at a path.
    Image(&'a mut dyn FnMut(&Path, Form) -> NodeResult<()>),
    /// A directory with this owner (host ids).
    Directory((u32, u32)),
}

fn make(node: &Node, storage: &str, vmid: Vmid, new: New<'_>) -> NodeResult<VolumeId> {
    let storages = Storages::load(&node.layout)?;
    let found = storages.find(storage)?;
    if !found.holds("rootdir") {
        return Err(Failure::new(format!(
            "content type 'rootdir' is not available or configured on storage '{storage}'"
        )));
    }
    found.activate()?;
    let kind = found.usable_kind()?;
    let form = Form {
        announces: kind == StorageKind::Dir,
        preallocation: found.preallocation(),
        nocow: found.is_nocow(),
    };
    let name = new_volume(&found.directories()?, vmid, |directory, number| match kind {
        StorageKind::Dir => make_file(directory, vmid, number, form, new),
        StorageKind::Btrfs => make_subvolume(directory, vmid, number, form, new),
    })?;
    volume_id(storage, vmid, &name)
}

/// Lets `make` make a volume in a container's directory on a storage: it gets the directory and a free number and
/// returns the name.
pub(super) fn new_volume(
    storage: &Directories,
    vmid: Vmid,
    make: impl FnOnce(&Path, u32) -> NodeResult<String>,
) -> NodeResult<String> {
    let directory = dir::images(storage, vmid);
    // Set-user-id files in a volume would work on the host, too, and so would the ids of another container.
    files::make_directories(&directory, 0o700)?;
    let made = file_names(&directory)
        .and_then(|names| make(&directory, dir::next_number(vmid, names.iter().map(String::as_str))));
    if made.is_err() {
        // This only removes an empty directory.
        let _ = std::fs::remove_dir(&directory);
    }
    made
}

fn make_file(directory: &Path, vmid: Vmid, number: u32, form: Form, new: New<'_>) -> NodeResult<String> {
    match new {
        New::Image(make) => {
            let name = format!("vm-{vmid}-disk-{number}.raw");
            make(&directory.join(&name), form).map(|()| name)
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

fn make_subvolume(directory: &Path, vmid: Vmid, number: u32, form: Form, new: New<'_>) -> NodeResult<String> {
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
        New::Image(make) => make(&path, form),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_directory_is_open_to_the_guests_users() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
        let owner = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
        give(dir.path(), owner).unwrap();
        assert_eq!(std::fs::metadata(dir.path()).unwrap().permissions().mode() & 0o7777, 0o755);
    }
}
