//! `pct destroy`: removes a container and its volumes.

use std::collections::BTreeSet;

use pvect_core::{Call, ContainerConfig, Vmid, VolumeId};

use crate::runtime::{self, StopMode};
use crate::task::TaskLog;
use crate::{Failure, Node, NodeResult, Output, config_volumes, rights, storage, store, task};

/// How long destroy waits for the configuration's lock file, seconds.
const LOCK_WAIT: u64 = 10;
/// The status of the real pct for a protected container: the errno that was left over in its Perl.
const PROTECTED_EXIT: u8 = 25;

/// Removes a container and its volumes. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let is_on = |name: &str| call.get(name).and_then(pvect_core::property::boolean) == Some(true);
    let force = is_on("force");
    let stored = store::load(node, vmid)?;
    check(&stored.config, vmid)?;
    if !force && runtime::is_running(node, vmid) {
        return Err(running(vmid));
    }
    let wanted = Wanted { force, unreferenced: is_on("destroy-unreferenced-disks"), purge: is_on("purge") };
    task::run(node, "vzdestroy", &vmid.to_string(), output, |log, output| {
        let _lock = store::lock(node, vmid, LOCK_WAIT, output)?;
        let config = store::load(node, vmid)?.config;
        check(&config, vmid)?;
        remove(node, vmid, config, &wanted, log, output)
    })?;
    Ok(0)
}

/// What was asked for.
struct Wanted {
    force: bool,
    unreferenced: bool,
    purge: bool,
}

fn running(vmid: Vmid) -> Failure {
    Failure::new(format!("unable to destroy CT {vmid} - container is running"))
}

fn check(config: &ContainerConfig, vmid: Vmid) -> NodeResult<()> {
    if config.is_set("protection") {
        let text = format!("can't remove CT {vmid} - protection mode enabled");
        return Err(Failure::with_exit(text, PROTECTED_EXIT));
    }
    match config.lock() {
        // An interrupted destroy is finished by the next one.
        Some(pvect_core::Lock::Destroyed) | None => Ok(()),
        Some(lock) => Err(Failure::locked(&lock)),
    }
}

fn remove(
    node: &Node,
    vmid: Vmid,
    mut config: ContainerConfig,
    wanted: &Wanted,
    log: &mut TaskLog,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    if runtime::is_running(node, vmid) {
        if !wanted.force {
            return Err(running(vmid));
        }
        log.line(output, &format!("forced to stop CT {vmid} before destroying!"));
        runtime::stop(node, vmid, &config, StopMode::Kill, output)?;
    }
    config.main.set("lock", "destroyed");
    store::save(node, vmid, &config)?;
    // With mounts that a crash left, the images would stay in use, or a bind mount would be emptied.
    let root = node.layout.rootfs(vmid);
    if root.exists() {
        storage::unmount_all(&root)?;
    }
    let mut volumes = volumes_of(&config, vmid);
    if wanted.unreferenced {
        volumes.extend(storage::volumes_of(node, vmid)?);
    }
    for volume in &volumes {
        storage::free_telling(node, volume, &mut |line| log.line(output, line))?;
    }
    remove_directory(node, vmid)?;
    if wanted.purge {
        log.line(output, &format!("purging CT {vmid} from related configurations.."));
    }
    rights::end(node, vmid)?;
    store::remove(node, vmid)
}

/// The volumes that a configuration names and that are the container's own, snapshots and pending values included.
///
/// A volume of another container that was added as a mount point stays. Invalid volume names are ignored.
pub(super) fn volumes_of(config: &ContainerConfig, vmid: Vmid) -> BTreeSet<VolumeId> {
    let named = config_volumes::sections(config).flat_map(config_volumes::all).map(|(_, volume)| volume);
    let is_own = |volume: &VolumeId| {
        config_volumes::owner(volume) == Some(vmid) && storage::dir::Volume::parse(volume.volume()).is_ok()
    };
    named.filter(is_own).collect()
}

/// Removes `lib/lxc/<vmid>`, which has only generated files, because the mounts are gone.
fn remove_directory(node: &Node, vmid: Vmid) -> NodeResult<()> {
    let rootfs = node.layout.rootfs(vmid);
    // Not recursive, or something that is still mounted or written there would be lost.
    if rootfs.exists() {
        std::fs::remove_dir(&rootfs).map_err(|error| Failure::io("can't remove", &rootfs, &error))?;
    }
    let directory = node.layout.container(vmid);
    match std::fs::remove_dir_all(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Failure::io("can't remove", &directory, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_containers_own_volumes_go() {
        let mut config = ContainerConfig::default();
        for (key, value) in [
            ("rootfs", "local:101/vm-101-disk-0.raw,size=1G"),
            ("mp0", "local:101/vm-101-disk-1.raw,mp=/a,size=1G"),
            ("mp1", "local:102/vm-102-disk-0.raw,mp=/b,size=1G"),
            ("mp2", "/srv/data,mp=/c"),
            ("unused0", "local:101/vm-101-disk-3.raw"),
            ("unused1", "local:101/vm-101-disk-4/disk.raw"),
            ("mpx", "local:101/vm-101-disk-9.raw"),
        ] {
            config.main.set(key, value);
        }
        let found: Vec<String> =
            volumes_of(&config, "101".parse().unwrap()).iter().map(ToString::to_string).collect();
        assert_eq!(
            found,
            ["local:101/vm-101-disk-0.raw", "local:101/vm-101-disk-1.raw", "local:101/vm-101-disk-3.raw"]
        );
    }

    #[test]
    fn protected_and_locked_ones_stay() {
        let vmid = "205".parse().unwrap();
        let mut config = ContainerConfig::default();
        assert!(check(&config, vmid).is_ok());
        config.main.set("lock", "backup");
        assert_eq!(check(&config, vmid).unwrap_err().text, "CT is locked (backup)");
        config.main.set("protection", "1");
        let failure = check(&config, vmid).unwrap_err();
        assert_eq!(
            (failure.text.as_str(), failure.exit),
            ("can't remove CT 205 - protection mode enabled", 25)
        );
    }
}
