//! `pct fstrim`: gives blocks that a container's file systems do not use back to the storage.

use std::os::fd::AsRawFd;
use std::path::Path;

use pvect_core::property::{MountPoint, MountSource, boolean};
use pvect_core::{Call, ContainerConfig, Lock, Vmid};
use rustix::fs::OFlags;

use crate::interrupt::Interrupt;
use crate::rooted::Rooted;
use crate::storage::{self, PrivateMounts};
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, Output, hostmount, locked, store};

/// Trims rootfs and mount points, except bind mounts and read-only ones. The container may run. Returns the exit
/// status, 0 also when a file system could not be trimmed or mounted (stderr says so).
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let root_only = call.get("ignore-mountpoints").and_then(boolean) == Some(true);
    let interrupt = Interrupt::watch();
    // Hold only the lock value while it trims, because that may take long.
    let lock = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let config = locked::set(node, vmid, &Lock::Fstrim, output)?;
    drop(lock);
    if let Err(failure) = trim_all(node, vmid, &config, root_only, &interrupt, output) {
        output.warn(failure.text);
    }
    let _lock = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    locked::remove(node, vmid, &Lock::Fstrim, output)?;
    interrupt.check()?;
    Ok(0)
}

fn trim_all(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    root_only: bool,
    interrupt: &Interrupt,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let _mounts = PrivateMounts::enter()?;
    let root = hostmount::mount(node, vmid, config, output)?;
    let trimmed = trim_mounted(config, root_only, &root, interrupt, output);
    // If it cannot be unmounted, it ends with the namespace.
    let _ = storage::unmount_all(&root);
    trimmed
}

fn trim_mounted(
    config: &ContainerConfig,
    root_only: bool,
    root: &Path,
    interrupt: &Interrupt,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let inside = Rooted::open(root, (0, 0)).map_err(|error| Failure::io("can't open", root, &error))?;
    for (key, mount) in config.volumes() {
        if is_left_out(&mount) || (root_only && key != "rootfs") {
            continue;
        }
        interrupt.check()?;
        if let Err(failure) = trim(&inside, root, &mount.path, output) {
            output.warn(failure.text);
        }
    }
    Ok(())
}

fn is_left_out(mount: &MountPoint) -> bool {
    matches!(mount.fs.source, MountSource::Bind(_)) || mount.fs.read_only
}

/// Trims one file system. fstrim(8) gets the open directory, so that no symlink in the container can lead it elsewhere;
/// what it prints names the path.
fn trim(inside: &Rooted, root: &Path, path: &str, output: &mut Output<'_>) -> NodeResult<()> {
    let shown = format!("{}{path}", root.display());
    let directory = inside
        .open_at(path, OFlags::RDONLY | OFlags::DIRECTORY)
        .map_err(|error| Failure::io("can't open", Path::new(&shown), &error))?;
    let given = format!("/proc/{}/fd/{}", std::process::id(), directory.as_raw_fd());
    let (_, errors) = Tool::new("fstrim", "util-linux")
        .arg("-v")
        .arg(&given)
        .keeping_locks()
        .outcome(&mut |line| output.line(line.replacen(&given, &shown, 1)))?;
    let _ = output.err.write_all(errors.replace(&given, &shown).as_bytes());
    Ok(())
}
