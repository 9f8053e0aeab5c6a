//! Mounts the root file system and mount points of a container.

mod attach;
pub(super) mod table;

use std::path::{Path, PathBuf};

use pvect_core::property::{MountPoint, MountSource, RootFs};
use pvect_core::{ContainerConfig, Vmid};
use rustix::fs::{FileType, Gid, Mode, OFlags, Uid};
use rustix::mount::MountFlags;

use crate::idmap::IdMap;
use crate::rooted::Rooted;
use crate::{Failure, Node, NodeResult, ids};
use attach::{attach, fd_path, flags, is_bind, open_source, restrict};
use table::unmount_all;

/// What the mounts are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountFor {
    /// A start: as the configuration says.
    Start,
    /// A look from the host: as the configuration says, but with `nosuid` and `nodev`.
    Host,
    /// Setting the container up: with `nosuid` and `nodev`, without `ro`, and without directories of the host
    /// (`/host/path,mp=/x`), so that a template is not unpacked into them.
    Setup,
}

/// One mount to be made.
struct Wanted {
    key: String,
    fs: RootFs,
    /// `None` for the root.
    path: Option<PathBuf>,
    keep_attrs: bool,
}

/// Mounts rootfs and all `mp[n]` of a configuration below `root`, in order of their paths; mount points inside are
/// resolved so that no symlink leads out of `root`. On failure everything is unmounted again.
///
/// Called in a private mount namespace at start (the mounts end with it).
///
/// # Errors
/// When a volume is missing or a mount fails.
pub fn mount_all(node: &Node, vmid: Vmid, config: &ContainerConfig, root: &Path) -> NodeResult<()> {
    mount_all_for(node, vmid, config, root, MountFor::Start)
}

/// As [`mount_all`], for a purpose.
///
/// # Errors
/// As [`mount_all`].
pub fn mount_all_for(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    root: &Path,
    purpose: MountFor,
) -> NodeResult<()> {
    ids::check_whole(node, vmid)?;
    mount_these(node, config, root, purpose, |_, _| true)
}

/// The first half of [`mount_all`]: the root and the container's own volumes, without directories and devices of the
/// host, and without volumes that are mounted below these.
///
/// The guest's files are set up between the two halves, so that no symlink of the guest can lead into a directory of
/// the host.
///
/// # Errors
/// As [`mount_all`].
pub fn mount_own(node: &Node, vmid: Vmid, config: &ContainerConfig, root: &Path) -> NodeResult<()> {
    ids::check_whole(node, vmid)?;
    mount_these(node, config, root, MountFor::Start, is_own)
}

/// The second half of [`mount_all`].
///
/// # Errors
/// As [`mount_all`].
pub fn mount_rest(node: &Node, config: &ContainerConfig, root: &Path) -> NodeResult<()> {
    mount_these(node, config, root, MountFor::Start, |mount, all| !is_own(mount, all))
}

/// Returns the paths of what [`mount_own`] mounts below the root, parents first.
///
/// # Errors
/// When the configuration has no root, or a mount point cannot be parsed.
pub fn own_paths(config: &ContainerConfig) -> NodeResult<Vec<PathBuf>> {
    let all = wanted(config)?;
    Ok(all.iter().filter(|mount| is_own(mount, &all)).filter_map(|mount| mount.path.clone()).collect())
}

/// Whether a mount belongs to the container alone: its root, or a volume that is not below a directory or device of the
/// host.
fn is_own(mount: &Wanted, all: &[Wanted]) -> bool {
    let is_volume = |mount: &Wanted| matches!(mount.fs.source, MountSource::Volume(_));
    let Some(path) = &mount.path else { return true };
    let covers = |other: &Wanted| other.path.as_ref().is_some_and(|other| path.starts_with(other));
    is_volume(mount) && !all.iter().any(|other| !is_volume(other) && covers(other))
}

fn mount_these(
    node: &Node,
    config: &ContainerConfig,
    root: &Path,
    purpose: MountFor,
    wants: impl Fn(&Wanted, &[Wanted]) -> bool,
) -> NodeResult<()> {
    std::fs::create_dir_all(root).map_err(|error| Failure::io("can't create", root, &error))?;
    let owner = IdMap::of(config).root();
    let all = wanted(config)?;
    all.iter().try_for_each(|mount| check_mount(config, &mount.key, &mount.fs))?;
    let mut these = all.iter().filter(|mount| wants(mount, &all));
    let mounted = these.try_for_each(|mount| mount_one(node, mount, root, owner, purpose));
    if mounted.is_err() {
        let _ = unmount_all(root);
    }
    mounted
}

/// The mounts of a configuration: the root first, then by path, parents before what lies in them.
fn wanted(config: &ContainerConfig) -> NodeResult<Vec<Wanted>> {
    let mut mounts = Vec::new();
    for (key, value) in &config.main.options {
        let bad = |_| Failure::new(format!("unable to parse {key} '{value}'"));
        if key == "rootfs" {
            let fs = RootFs::parse(value).map_err(bad)?;
            mounts.push(Wanted { key: key.clone(), fs, path: None, keep_attrs: false });
        } else if is_mount_point(key) {
            let MountPoint { fs, path, keep_attrs, .. } = MountPoint::parse(key, value).map_err(bad)?;
            let path = Path::new("/").join(path).components().collect();
            mounts.push(Wanted { key: key.clone(), fs, path: Some(path), keep_attrs });
        }
    }
    if !mounts.iter().any(|mount| mount.path.is_none()) {
        return Err(Failure::new("the configuration has no rootfs"));
    }
    mounts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(mounts)
}

fn is_mount_point(key: &str) -> bool {
    key.strip_prefix("mp")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns lines about mounts of a privileged container with an id map, which has no effect there. Source:
/// pve-container.
pub(crate) fn ignored_idmaps(config: &ContainerConfig) -> Vec<String> {
    let mounts = if IdMap::of(config).is_identity() { config.volumes() } else { Vec::new() };
    let mapped = mounts.into_iter().filter(|(_, point)| point.fs.idmap.is_some());
    mapped
        .map(|(key, _)| format!("'{key}' - ignoring 'idmap' option unsupported by privileged container"))
        .collect()
}

/// Checks what cannot be mounted at all.
///
/// # Errors
/// When the configuration asks for what this node or kind of container cannot do.
pub(crate) fn check_mount(config: &ContainerConfig, key: &str, fs: &RootFs) -> NodeResult<()> {
    // If the container has no map, that of a mount has no effect, as with the real pct.
    if fs.idmap.is_some() && !IdMap::of(config).is_identity() {
        return Err(Failure::new(format!("{key}: 'idmap' is not supported by the standalone node")));
    }
    Ok(())
}

/// Mounts one file system at a directory of ours, for a container that runs already.
///
/// # Errors
/// When the volume is missing or cannot be mounted.
pub(crate) fn stage(node: &Node, key: &str, fs: &RootFs, directory: &Path) -> NodeResult<()> {
    let mount = Wanted { key: key.to_owned(), fs: fs.clone(), path: None, keep_attrs: false };
    attach(node, &mount, directory, MountFor::Start)?;
    let flags = flags(fs, MountFor::Start);
    if is_bind(node, &fs.source)? && flags != MountFlags::empty() {
        restrict(directory, flags)?;
    }
    Ok(())
}

fn mount_one(
    node: &Node,
    mount: &Wanted,
    root: &Path,
    owner: (u32, u32),
    purpose: MountFor,
) -> NodeResult<()> {
    let Some(path) = &mount.path else {
        return attach(node, mount, root, purpose);
    };
    if let (MountFor::Setup, MountSource::Bind(source)) = (purpose, &mount.fs.source) {
        // It is not mounted here, but must exist.
        return open_source(Path::new(source)).map(drop);
    }
    let inside = Rooted::open(root, owner).map_err(|error| Failure::io("can't open", root, &error))?;
    let failed = |error: std::io::Error| Failure::io("can't make the mount point", path, &error);
    refuse_links(&inside, path)?;
    let target = inside.make_dirs(path, 0o755).map_err(failed)?;
    let before = rustix::fs::fstat(&target).map_err(|errno| failed(errno.into()))?;
    attach(node, mount, &fd_path(&target), purpose)?;
    if mount.keep_attrs {
        let mounted = inside.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
        let (user, group) = (Uid::from_raw(before.st_uid), Gid::from_raw(before.st_gid));
        rustix::fs::fchown(&mounted, Some(user), Some(group))
            .and_then(|()| rustix::fs::fchmod(&mounted, Mode::from_raw_mode(before.st_mode)))
            .map_err(|errno| failed(errno.into()))?;
    }
    if is_bind(node, &mount.fs.source)? {
        let flags = flags(&mount.fs, purpose);
        if flags != MountFlags::empty() {
            // The new mount covers the directory that `target` still refers to.
            let mounted = inside.open_at(path, OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
            restrict(&fd_path(&mounted), flags)?;
        }
    }
    Ok(())
}

/// Refuses a mount point whose path has a symlink in it, as the real pct does.
fn refuse_links(inside: &Rooted, path: &Path) -> NodeResult<()> {
    let mut prefix = PathBuf::from("/");
    for component in path.components().skip(1) {
        prefix.push(component);
        match inside.lstat(&prefix) {
            Ok(None) => break,
            Ok(Some(stat)) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                return Err(Failure::new(format!("symlink encountered at: {}", prefix.display())));
            }
            Ok(Some(_)) => {}
            Err(error) => return Err(Failure::io("can't open", &prefix, &error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_something_of_the_host_is_not_the_containers_own() {
        let mut config = ContainerConfig::default();
        for (key, value) in [
            ("rootfs", "/dev/sdz,size=1G"),
            ("mp0", "/srv/shared,mp=/srv"),
            ("mp1", "local:101/vm-101-disk-1.raw,mp=/srv/data"),
            ("mp2", "local:101/vm-101-disk-2.raw,mp=/srv2"),
            ("mp3", "/dev/sdy,mp=/srv2/device"),
            ("mp4", "local:101/vm-101-disk-3.raw,mp=/data/"),
            ("mp5", "local:101/vm-101-disk-4.raw,mp=srv"),
            ("mp6", "local:101/vm-101-disk-5.raw,mp=/srv2/device/x/y"),
        ] {
            config.main.set(key, value);
        }
        assert_eq!(own_paths(&config).unwrap(), [Path::new("/data"), Path::new("/srv2")]);
        let all = wanted(&config).unwrap();
        let own: Vec<&str> =
            all.iter().filter(|mount| is_own(mount, &all)).map(|mount| &*mount.key).collect();
        assert_eq!(own, ["rootfs", "mp4", "mp2"]);
    }
}
