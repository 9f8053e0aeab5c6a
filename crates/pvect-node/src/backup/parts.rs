//! What is part of a backup, and how it is mounted and walked.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use pvect_core::property::{MountPoint, MountSource};
use pvect_core::{ContainerConfig, Vmid};
use rustix::fs::{CWD, Mode as FileMode, OFlags};

use super::journal::Journal;
use super::options::Mode;
use crate::rooted::Rooted;
use crate::storage::{self, MountFor};
use crate::{Failure, Node, NodeResult};

/// The volumes that are part of a backup: the root, and mount points with `backup=1` that are volumes.
pub(super) fn included(config: &ContainerConfig, journal: &mut Journal<'_, '_>) -> Vec<(String, MountPoint)> {
    if let Some(name) = config.main.options.get("hostname") {
        journal.info(format!("CT Name: {name}"));
    }
    let mut included = Vec::new();
    for (key, mount) in config.volumes() {
        let (kind, is_volume) = match mount.fs.source {
            MountSource::Volume(_) | MountSource::Allocate { .. } => ("volume", true),
            MountSource::Device(_) => ("device", false),
            MountSource::Bind(_) => ("bind", false),
        };
        let path = if key == "rootfs" { "/" } else { mount.path.as_str() };
        if key == "rootfs" || is_volume && mount.backup {
            journal.info(format!("including mount point {key} ('{path}') in backup"));
            included.push((key, mount));
        } else {
            let reason = if is_volume { "disabled" } else { "not a volume" };
            journal.info(format!("excluding {kind} mount point {key} ('{path}') from backup ({reason})"));
        }
    }
    included
}

/// Mounts what is part of the backup, and nothing else, in this mount namespace.
///
/// An image that a running container has mounted is mounted a second time from the same loop device, which mount(8)
/// finds. To the kernel both are one file system, so the second mount must be read-only if the first one is, and
/// writable if not.
pub(super) fn mount(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    included: &[(String, MountPoint)],
    mode: Mode,
) -> NodeResult<PathBuf> {
    let mut config = config.clone();
    for (key, _) in config.volumes() {
        if !included.iter().any(|(known, _)| *known == key) {
            config.main.remove(&key);
        }
    }
    let mut purpose = if mode == Mode::Suspend { MountFor::Start } else { MountFor::Setup };
    if config.is_set("template") {
        // A template's images are write-protected.
        purpose = MountFor::Start;
        for (key, mount) in included {
            let mut mount = mount.clone();
            mount.fs.read_only = true;
            let text = if key == "rootfs" { mount.fs.to_string() } else { mount.to_string() };
            config.main.set(key, text);
        }
    }
    let root = node.layout.rootfs(vmid);
    // `pct mount` may have mounted it.
    storage::unmount_all(&root)?;
    storage::mount_all_for(node, vmid, &config, &root, purpose)?;
    Ok(root)
}

pub(super) fn open(path: &Path) -> NodeResult<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, FileMode::empty())
        .map_err(|errno| Failure::io("can't open", path, &errno.into()))
}

/// What tar is to walk: each file system once, since it does not cross from one to another.
pub(super) fn sources(root: &Path, included: &[(String, MountPoint)]) -> NodeResult<Vec<String>> {
    let failed = |error: std::io::Error| Failure::io("can't look into", root, &error);
    let files = Rooted::open(root, (0, 0)).map_err(failed)?;
    let device = |path: &Path| files.lstat(path).map(|stat| stat.map(|stat| stat.st_dev));
    let mut sources = vec![".".to_owned()];
    for (_, mount) in included.iter().filter(|(key, _)| key != "rootfs") {
        let path: PathBuf = Path::new(&mount.path).components().skip_while(|part| is_root(part)).collect();
        let parent = path.parent().unwrap_or(Path::new(""));
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        // A directory volume on the file system of the root is walked with it.
        if device(&path).map_err(failed)? != device(parent).map_err(failed)? {
            sources.push(format!("./{}", path.display()));
        }
    }
    Ok(sources)
}

fn is_root(part: &std::path::Component<'_>) -> bool {
    matches!(part, std::path::Component::RootDir | std::path::Component::CurDir)
}
