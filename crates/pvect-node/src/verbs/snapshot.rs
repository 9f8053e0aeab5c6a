//! `pct snapshot`: takes a snapshot of a container.
//!
//! First the configuration gets the snapshot's section with `snapstate: prepare` and the lock `snapshot`, then the
//! volumes are snapshotted, then both marks go. What is killed in between can be recognized by them and removed.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use pvect_core::config::Section;
use pvect_core::property::MountSource;
use pvect_core::{Call, ContainerConfig, Lock, SnapshotName, Vmid};
use rustix::fs::OFlags;

use super::delsnapshot::{self, Removal};
use crate::config_volumes::{in_use, is_unused};
use crate::interrupt::Interrupt;
use crate::rooted::Rooted;
use crate::storage::snapshot;
use crate::{Failure, Node, NodeResult, Output, ids, locked, runtime, store, task};

/// Names that have a meaning of their own.
const RESERVED: [&str; 2] = ["current", "vzdump"];
/// Keys that belong to a configuration as a whole, or to its snapshot alone.
const OWN_KEYS: [&str; 5] = ["snapstate", "snaptime", "vmstate", "lock", "digest"];

/// Takes a snapshot of a container, running or not. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let name = super::snapshot_name(call)?;
    if RESERVED.contains(&name.as_str()) {
        return Err(Failure::with_exit(format!("unable to use snapshot name '{name}' (reserved name)"), 2));
    }
    let description = call.get("description").filter(|text| !text.is_empty());
    task::run(node, "vzsnapshot", &vmid.to_string(), output, |_, output| {
        create(node, vmid, &name, description, output)
    })?;
    Ok(0)
}

/// Takes the snapshot; if that fails, what was made of it is removed again.
pub(crate) fn create(
    node: &Node,
    vmid: Vmid,
    name: &SnapshotName,
    description: Option<&str>,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let interrupt = Interrupt::watch();
    let config = prepare(node, vmid, name, description, output)?;
    let (taken, done) = take_all(node, vmid, &config, name, &interrupt);
    if let Err(failure) = done {
        output.warn("snapshot create failed: starting cleanup");
        let lock = Lock::Snapshot;
        let removal = Removal { node, vmid, name, force: true, lock, taken: Some(&taken) };
        if let Err(second) = removal.run(output) {
            output.warn(second.text);
        }
        return Err(failure);
    }
    commit(node, vmid, name, output)
}

/// Adds the section of the snapshot and the lock.
fn prepare(
    node: &Node,
    vmid: Vmid,
    name: &SnapshotName,
    description: Option<&str>,
    output: &mut Output<'_>,
) -> NodeResult<ContainerConfig> {
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    // The snapshot would keep the old ids.
    ids::check_whole(node, vmid)?;
    let config = store::load_telling(node, vmid, output)?.config;
    if config.is_set("template") {
        return Err(Failure::new("you can't take a snapshot if it's a template"));
    }
    locked::check(&config)?;
    if config.snapshots.contains_key(name.as_str()) {
        return Err(Failure::new(format!("snapshot name '{name}' already used")));
    }
    check_volumes(node, &config)?;
    let mut config = locked::set(node, vmid, &Lock::Snapshot, output)?;
    for (other, section) in &mut config.snapshots {
        if section.options.get("parent").is_some_and(|parent| parent == name.as_str()) {
            let what = format!("deleting parent '{name}' reference from '{other}'");
            output.warn(format!("{what} to avoid bogus snapshot cycle."));
            section.remove("parent");
        }
    }
    let mut section = copy_of(&config.main);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
    section.set("snapstate", "prepare");
    section.set("snaptime", now.to_string());
    section.description = description.map(str::to_owned);
    config.snapshots.insert(name.to_string(), section);
    store::save(node, vmid, &config)?;
    Ok(config)
}

/// Checks that each volume can have snapshots.
///
/// # Errors
/// `snapshot feature is not available`.
fn check_volumes(node: &Node, config: &ContainerConfig) -> NodeResult<()> {
    let missing = || Failure::new("snapshot feature is not available");
    for (_, mount) in config.volumes() {
        let MountSource::Volume(text) = &mount.fs.source else { return Err(missing()) };
        let volume = text.parse().map_err(|_| missing())?;
        if !snapshot::can_snapshot(node, &volume)? {
            return Err(missing());
        }
    }
    Ok(())
}

/// The part of a configuration that a snapshot keeps, and that a rollback restores.
pub(super) fn copy_of(section: &Section) -> Section {
    let mut copy = section.clone();
    copy.description = None;
    copy.options.retain(|key, _| !OWN_KEYS.contains(&key.as_str()) && !is_unused(key));
    copy
}

/// Snapshots the volumes; a running container is frozen meanwhile. Returns the keys of those that may have a snapshot
/// now, even when it failed.
fn take_all(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    name: &SnapshotName,
    interrupt: &Interrupt,
) -> (Vec<String>, NodeResult<()>) {
    let mut taken = Vec::new();
    let running = runtime::is_running(node, vmid);
    let frozen = if running { runtime::freeze(node, vmid, interrupt) } else { Ok(()) };
    if frozen.is_err() {
        return (taken, frozen);
    }
    let mut take = || {
        if running {
            sync(node, vmid, config)?;
        }
        for (key, volume) in in_use(&config.main) {
            interrupt.check()?;
            // Add it before the snapshot exists: the cleanup checks whether it does.
            taken.push(key);
            snapshot::take(node, &volume, name)?;
        }
        Ok(())
    };
    let done = take();
    let thawed = if running { runtime::thaw(node, vmid) } else { Ok(()) };
    (taken, done.and(thawed))
}

/// Syncs the file systems of a frozen container.
fn sync(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    if runtime::reader(node).init_pid(vmid).is_none() {
        return Ok(());
    }
    let root = runtime::opened(vmid, runtime::init(node, vmid)?.root())?;
    let root = runtime::path_of(&root);
    let inside = Rooted::open(Path::new(&root), (0, 0))
        .map_err(|error| Failure::io("can't open", Path::new(&root), &error))?;
    for (_, mount) in config.volumes() {
        // If the guest has unmounted it, it was written then.
        if let Ok(directory) = inside.open_at(&mount.path, OFlags::RDONLY | OFlags::DIRECTORY) {
            rustix::fs::syncfs(&directory)
                .map_err(|errno| Failure::io("can't sync", Path::new(&mount.path), &errno.into()))?;
        }
    }
    Ok(())
}

/// Completes the snapshot: it becomes the parent of the present state.
fn commit(node: &Node, vmid: Vmid, name: &SnapshotName, output: &mut Output<'_>) -> NodeResult<()> {
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let mut config = store::load(node, vmid)?.config;
    if config.lock() != Some(Lock::Snapshot) {
        return Err(Failure::new("missing snapshot lock"));
    }
    let section = delsnapshot::section(&mut config, name)?;
    if section.options.get("snapstate").map(String::as_str) != Some("prepare") {
        return Err(Failure::new("wrong snapshot state"));
    }
    section.remove("snapstate");
    config.main.set("parent", name.to_string());
    store::save(node, vmid, &config)?;
    locked::remove(node, vmid, &Lock::Snapshot, output)
}

#[cfg(test)]
mod tests {
    use pvect_core::config::ParseMode;

    use super::*;

    #[test]
    fn a_snapshot_keeps_what_describes_the_container() {
        let text = "#notes\nhostname: a\nlock: backup\nmemory: 128\nparent: s1\nrootfs: btr:401/vm-401-disk-0.raw\n\
                    unused0: btr:401/vm-401-disk-1.raw\nlxc.cap.drop: x\n";
        let (config, _) = ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).unwrap();
        let copy = copy_of(&config.main);
        assert_eq!(copy.keys(), ["hostname", "memory", "parent", "rootfs"]);
        assert_eq!((copy.description, copy.raw.len()), (None, 1));
    }
}
