//! `pct move-volume`: copies a volume to another storage, or gives it to another container.

use pvect_core::property::{MountPoint, MountSource};
use pvect_core::schema::check;
use pvect_core::{Call, ContainerConfig, Lock, Verb, Vmid, VolumeId};

use super::resize::mount_point;
use crate::config_volumes::{add_unused, in_use, is_unused, unused_volume};
use crate::idmap::IdMap;
use crate::interrupt::Interrupt;
use crate::storage::base::Base;
use crate::storage::copy::Copy;
use crate::storage::{self, snapshot};
use crate::task::TaskLog;
use crate::usage::report::{bad_parameters, refused};
use crate::{Failure, Node, NodeResult, Output, ids, locked, runtime, store, task};

/// Moves a volume of a stopped container. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let text = |index: usize| call.args().get(index).map(String::as_str).filter(|text| !text.is_empty());
    let given = |index: usize, name: &str| text(index).or_else(|| call.get(name));
    let Some(key) = text(1) else { return Err(super::not_enough_arguments()) };
    // If the container is named by its option, an empty argument before it means that no storage is given.
    let storage = call.args().get(2).filter(|_| call.args().get(3).is_none_or(String::is_empty));
    if let (Some(word), Some(spec)) = (storage, Verb::MoveVolume.spec().args.get(2)) {
        check::argument(spec, word).map_err(|violations| refused(Verb::MoveVolume, &violations))?;
    }
    match (given(2, "storage"), given(3, "target-vmid")) {
        (Some(_), Some(_)) => Err(Failure::with_exit("either set storage or target-vmid, but not both", 2)),
        (None, None) => {
            let what = "both 'storage' and 'target-vmid' missing, either needs to be set";
            Err(bad_parameters(Verb::MoveVolume, &["storage", "target-vmid"], what).exiting(255))
        }
        (Some(storage), None) => to_storage(node, call, vmid, key, storage, output),
        (None, Some(target)) => {
            let target = target.parse().map_err(|error| Failure::with_exit(format!("{error}"), 2))?;
            let target_key = given(4, "target-volume").unwrap_or(key);
            let digests = [call.get("digest"), call.get("target-digest")];
            Reassign { node, vmid, key, target, target_key, digests }.run(output)
        }
    }
}

/// Copies a volume to another storage.
fn to_storage(
    node: &Node,
    call: &Call,
    vmid: Vmid,
    key: &str,
    storage: &str,
    output: &mut Output<'_>,
) -> NodeResult<u8> {
    let delete = super::is_on(call, "delete");
    let interrupt = Interrupt::watch();
    let (config, mount, volume) = {
        let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
        let found = find(node, vmid, key, delete, call.get("digest"), output)?;
        locked::set(node, vmid, &Lock::Disk, output)?;
        found
    };
    let template = config.is_set("template");
    let done = task::run(node, "move_volume", &vmid.to_string(), output, |log, output| {
        let places = [volume.storage().to_owned(), storage.to_owned()];
        let bandwidth = super::bandwidth::of(node, call, "move", places)?;
        let owner = IdMap::of(&config).root();
        let copy = Copy { source: &volume, snapshot: None, storage, vmid, owner, bandwidth };
        let (new, size) = copy.run(node, &interrupt, &mut |line| log.line(output, line))?;
        let mut new_name = new.clone();
        let switched = interrupt.check().and_then(|()| {
            let mut base = None;
            if template {
                let made = Base::prepare(node, &new)?;
                new_name = made.volume.clone();
                base = Some(made);
            }
            let mut mount = mount.clone();
            mount.fs.size = Some(size);
            mount.fs.source = MountSource::Volume(new_name.to_string());
            switch(node, vmid, key, &mount, (!delete).then_some(&volume), output)?;
            base.map_or(Ok(()), |base| base.finish(&mut |line| log.line(output, line)))
        });
        if let Err(failure) = switched {
            for volume in [&new, &new_name] {
                if let Err(second) = storage::free(node, volume) {
                    log.line(output, &second.text);
                }
            }
            return Err(failure);
        }
        if delete { drop_old(node, vmid, &volume, log, output) } else { Ok(()) }
    });
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let unlocked = locked::remove(node, vmid, &Lock::Disk, output);
    done?;
    unlocked?;
    Ok(0)
}

/// Finds the volume of a key, and checks that it may be moved.
fn find(
    node: &Node,
    vmid: Vmid,
    key: &str,
    delete: bool,
    digest: Option<&str>,
    output: &mut Output<'_>,
) -> NodeResult<(ContainerConfig, MountPoint, VolumeId)> {
    let stored = store::load_telling(node, vmid, output)?;
    let config = stored.config;
    locked::check(&config)?;
    if runtime::is_running(node, vmid) {
        return Err(Failure::new("cannot move volumes of a running container"));
    }
    if is_unused(key) {
        return Err(Failure::new(format!(
            "cannot move volume '{key}', only configured volumes can be moved to another storage"
        )));
    }
    let mount = mount_point(key, config.main.options.get(key).map(String::as_str))?;
    let volume = volume_of(&mount)?;
    if delete && is_in_snapshots(&config, &volume) {
        return Err(Failure::new("you can't move a volume with snapshots and delete the source"));
    }
    check_digest(digest, &stored.digest)?;
    Ok((config, mount, volume))
}

fn volume_of(mount: &MountPoint) -> NodeResult<VolumeId> {
    let kind = match &mount.fs.source {
        MountSource::Volume(text) => {
            return text.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{text}'")));
        }
        MountSource::Bind(_) => "bind",
        MountSource::Device(_) | MountSource::Allocate { .. } => "device",
    };
    Err(Failure::new(format!("cannot copy volumes of type {kind}")))
}

fn is_in_snapshots(config: &ContainerConfig, volume: &VolumeId) -> bool {
    config.snapshots.values().any(|section| in_use(section).iter().any(|(_, known)| known == volume))
}

fn check_digest(wanted: Option<&str>, found: &str) -> NodeResult<()> {
    match wanted.is_none_or(|wanted| wanted == found) {
        true => Ok(()),
        false => {
            Err(Failure::new("detected modified configuration - file changed by other user? Try again."))
        }
    }
}

/// Makes the key name the new volume; the old one becomes unused.
fn switch(
    node: &Node,
    vmid: Vmid,
    key: &str,
    mount: &MountPoint,
    unused: Option<&VolumeId>,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let mut config = store::load(node, vmid)?.config;
    if config.lock() != Some(Lock::Disk) {
        return Err(Failure::new("Lost 'disk' config lock, aborting."));
    }
    let text = if key == "rootfs" { mount.fs.to_string() } else { mount.to_string() };
    config.main.set(key, text);
    unused.map_or(Ok(()), |volume| add_unused(&mut config, volume))?;
    store::save(node, vmid, &config)
}

/// Removes the old volume; if that fails, it becomes an unused one.
fn drop_old(
    node: &Node,
    vmid: Vmid,
    volume: &VolumeId,
    log: &mut TaskLog,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let freed = storage::free_own(node, vmid, volume, &mut |line| log.line(output, line));
    let Err(failure) = freed else { return Ok(()) };
    log.line(output, &failure.text);
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let mut config = store::load(node, vmid)?.config;
    add_unused(&mut config, volume)?;
    store::save(node, vmid, &config)
}

/// A volume that is being given to another container.
struct Reassign<'a> {
    node: &'a Node,
    vmid: Vmid,
    key: &'a str,
    target: Vmid,
    target_key: &'a str,
    /// Of the source and of the target.
    digests: [Option<&'a str>; 2],
}

/// What [`Reassign::check`] found.
struct Found {
    source: ContainerConfig,
    target: ContainerConfig,
    mount: MountPoint,
    volume: VolumeId,
}

impl Reassign<'_> {
    fn run(&self, output: &mut Output<'_>) -> NodeResult<u8> {
        self.check(output)?;
        let Self { vmid, key, target, target_key, .. } = self;
        let _interrupt = Interrupt::watch();
        let id = format!("{vmid}-{key}>{target}-{target_key}");
        task::run(self.node, "move_volume", &id, output, |log, output| {
            // Lock in the order of the vmids, so that two commands that run at the same time never wait for each other.
            let (first, second) = (vmid.min(target), vmid.max(target));
            let _first = store::lock(self.node, *first, store::LOCK_SECONDS, output)?;
            let _second = (first != second)
                .then(|| store::lock(self.node, *second, store::LOCK_SECONDS, output))
                .transpose()?;
            let found = self.check(output)?;
            self.give(found, log, output)
        })?;
        Ok(0)
    }

    fn check(&self, output: &mut Output<'_>) -> NodeResult<Found> {
        let Self { node, vmid, key, target, target_key, .. } = self;
        let failed = |text: String| Err(Failure::new(text));
        if [key, target_key].iter().any(|key| **key == "rootfs") {
            return failed("Cannot move to/from 'rootfs'".to_owned());
        }
        if is_unused(key) && !is_unused(target_key) {
            return failed("Moving an unused volume to a used one is not possible".to_owned());
        }
        for vmid in [vmid, target] {
            if !node.layout.config(*vmid).exists() {
                return failed(format!("could not find CT {vmid}"));
            }
        }
        ids::check_whole(node, *vmid)?;
        ids::check_whole(node, *target)?;
        let source = store::load_telling(node, *vmid, output)?;
        locked::check(&source.config)?;
        let into = if vmid == target { source.clone() } else { store::load_telling(node, *target, output)? };
        locked::check(&into.config)?;
        if ids::is_ours(&source.config)
            && ids::is_ours(&into.config)
            && source.config.first_host_id() != into.config.first_host_id()
        {
            return failed(format!(
                "CT {vmid} and CT {target} have different ids on the host: 'pvect node move-ids {vmid} {target}' \
                 gives them the same"
            ));
        }
        if source.config.is_set("template") || into.config.is_set("template") {
            return failed("Can't move volumes from or to template CT".to_owned());
        }
        for (vmid, digest, found) in
            [(vmid, self.digests[0], &source.digest), (target, self.digests[1], &into.digest)]
        {
            check_digest(digest, found)
                .map_err(|failure| Failure::new(format!("Container {vmid}: {}", failure.text)))?;
        }
        let Some(value) = source.config.main.options.get(*key) else {
            return failed(format!("volume '{key}' for container '{vmid}' does not exist"));
        };
        if into.config.main.options.contains_key(*target_key) {
            return failed(format!(
                "Target volume key '{target_key}' is already in use for container '{target}'"
            ));
        }
        let mount = if is_unused(key) { unused_mount(value)? } else { mount_point(key, Some(value))? };
        let MountSource::Volume(_) = &mount.fs.source else {
            return failed("Cannot move a bindmount or device mount to another container".to_owned());
        };
        let volume = volume_of(&mount)?;
        if is_in_snapshots(&source.config, &volume) {
            return failed("Cannot move volume used by a snapshot to another container".to_owned());
        }
        if !snapshot::can_rename(node, &volume)? {
            return failed("Storage does not support moving of this disk to another container".to_owned());
        }
        storage::volume_path(node, &volume)?;
        if runtime::is_running(node, *vmid) && !is_unused(key) {
            return failed(
                "Cannot move in-use volume while the source CT is running - detach or shutdown first"
                    .to_owned(),
            );
        }
        Ok(Found { source: source.config, target: into.config, mount, volume })
    }

    /// Renames the volume and changes both configurations. The locks are held.
    fn give(&self, found: Found, log: &mut TaskLog, output: &mut Output<'_>) -> NodeResult<()> {
        let Self { node, vmid, key, target, target_key, .. } = self;
        let Found { mut source, target: mut target_config, mut mount, volume } = found;
        log.line(output, &format!("moving volume '{key}' from container '{vmid}' to '{target}'"));
        let new = if vmid == target { volume } else { snapshot::rename(node, &volume, *target)? };
        mount.fs.source = MountSource::Volume(new.to_string());
        source.main.remove(key);
        log.line(output, &format!("removing volume '{key}' from container '{vmid}' config"));
        store::save(node, *vmid, &source)?;
        if vmid == target {
            target_config = source;
        }
        if is_unused(target_key) {
            target_config.main.set(target_key, new.to_string());
            store::save(node, *target, &target_config)?;
        } else {
            self.plug(target_config, &mount, log, output)?;
        }
        log.line(output, &format!("target container '{target}' updated with '{target_key}'"));
        Ok(())
    }

    /// Makes the volume a mount point of the target, at once when it runs.
    fn plug(
        &self,
        mut config: ContainerConfig,
        mount: &MountPoint,
        log: &mut TaskLog,
        output: &mut Output<'_>,
    ) -> NodeResult<()> {
        let (node, target, key) = (self.node, self.target, self.target_key);
        let text = mount.to_string();
        if runtime::is_running(node, target) {
            match runtime::hotplug(node, target, &config, key, Some(&text)) {
                Ok(true) => {}
                // It waits for the next start.
                done => {
                    if let Err(failure) = done {
                        log.warn(output, &failure.text);
                    }
                    config.pending.get_or_insert_default().set(key, text);
                    return store::save(node, target, &config);
                }
            }
        }
        config.main.set(key, text);
        store::save(node, target, &config)
    }
}

/// An unused volume as a mount point without a place.
fn unused_mount(value: &str) -> NodeResult<MountPoint> {
    let volume = unused_volume(value);
    let bad = |_| Failure::new(format!("unable to parse volume ID '{volume}'"));
    MountPoint::parse("mp0", &format!("{volume},mp=/")).map_err(bad)
}
