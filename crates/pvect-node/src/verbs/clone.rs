//! `pct clone`: makes a container from another one, or from a snapshot of it.
//!
//! The source has the lock `disk` meanwhile. The new configuration with `lock: create` is there before anything else,
//! so that no other command takes the number and a killed clone can be named; whatever fails or interrupts the work,
//! what was made is removed again.

use pvect_core::config::Section;
use pvect_core::property::{MountPoint, MountSource, NetInterface};
use pvect_core::{Call, ContainerConfig, Lock, SnapshotName, Vmid, VolumeId};

use super::bandwidth;
use super::new_container::Undo;
use super::new_volumes::index;
use crate::config_volumes::is_unused;
use crate::idmap::IdMap;
use crate::interrupt::Interrupt;
use crate::rights::{Asker, judge};
use crate::setup::Guest;
use crate::storage::copy::Copy;
use crate::storage::{self, MountFor, PrivateMounts, snapshot};
use crate::task::TaskLog;
use crate::{Failure, Node, NodeResult, Output, creation, files, ids, locked, random, runtime, store, task};

/// How long clone waits for the lock file of the new container, seconds. Source: pve-container, `lock_config`.
const LOCK_WAIT: u64 = 5;
/// The exit status of what is refused after the source was locked: the system's error number that this leaves (ENOENT).
const REFUSED_EXIT: u8 = 2;
/// Options of the source that are not the clone's.
const OWN_KEYS: [&str; 7] = ["digest", "lock", "parent", "snapstate", "snaptime", "template", "vmstate"];

/// What is to be made: everything that can be judged before the first change of a volume.
struct Plan<'a> {
    source: Vmid,
    vmid: Vmid,
    snapshot: Option<SnapshotName>,
    /// The storage of full copies; each volume's own when none is named.
    storage: Option<&'a str>,
    full: bool,
    bandwidth: Option<u64>,
    /// The new configuration, without volumes.
    config: ContainerConfig,
    volumes: Vec<(String, MountPoint, VolumeId)>,
}

/// Makes a container from another one. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let source = super::vmid(call)?;
    let vmid: Vmid = match call.args().get(1).map(|text| text.parse()) {
        Some(Ok(vmid)) => vmid,
        _ => return Err(super::not_enough_arguments()),
    };
    check_places(node, call)?;
    let interrupt = Interrupt::watch();
    let config = {
        let _held = store::lock(node, source, store::LOCK_SECONDS, output)?;
        ids::check_whole(node, source)?;
        locked::set(node, source, &Lock::Disk, output)?
    };
    let mut held = SourceLock { node, vmid: source, armed: true };
    let _lock = store::lock(node, vmid, LOCK_WAIT, output)?;
    let mut reserved = ContainerConfig::default();
    reserved.main.set("lock", "create");
    store::create(node, vmid, &reserved).map_err(|failure| failure.exiting(255))?;
    let mut undo = Undo::of(node, vmid);
    let running = runtime::is_running(node, source);
    let plan = Plan::of(node, call, source, vmid, &config, running)?;
    ids::keep(node, vmid, &plan.config)?;
    store::save(node, vmid, &plan.config)?;
    task::run(node, "vzclone", &source.to_string(), output, |log, output| {
        log.line(output, &format!("creating a clone of container {source} with ID {vmid}"));
        let made = check_state(node, source, running)
            .and_then(|()| build(node, &plan, &mut undo, &interrupt, log, output));
        if let Err(failure) = held.release(output) {
            output.warn(failure.text);
        }
        match made {
            Ok(config) => {
                let asker = Asker::of_this_process(node)?;
                copy_firewall(node, &asker, source, vmid, &mut |line| log.warn(output, line))?;
                finish(node, vmid, config)?;
                undo.disarm();
                Ok(())
            }
            Err(failure) => {
                undo.now(&mut |text| log.line(output, text));
                Err(Failure::new(format!("clone failed: {}", failure.text)))
            }
        }
    })?;
    Ok(0)
}

/// Checks what the options name, before any configuration is read.
fn check_places(node: &Node, call: &Call) -> NodeResult<()> {
    if let Some(pool) = call.get("pool") {
        return Err(super::no_pool(pool));
    }
    if let Some(target) = call.get("target").filter(|name| !super::migrate::is_this_node(node, name)) {
        super::migrate::check_node(node, target)?;
        return Err(Failure::new(format!("can't clone CT to node '{target}' (CT uses local storage)")));
    }
    if let Some(name) = call.get("storage") {
        storage::Storages::load(&node.layout)?.find(name)?;
    }
    Ok(())
}

impl<'a> Plan<'a> {
    fn of(
        node: &Node,
        call: &'a Call,
        source: Vmid,
        vmid: Vmid,
        config: &ContainerConfig,
        running: bool,
    ) -> NodeResult<Self> {
        let refused = |text: String| Failure::with_exit(text, REFUSED_EXIT);
        let full = match call.get("full").and_then(pvect_core::property::boolean) {
            Some(full) => full,
            None => !config.is_set("template"),
        };
        let storage = call.get("storage");
        if storage.is_some() && !full {
            return Err(refused("parameter 'storage' not allowed for linked clones".to_owned()));
        }
        let (snapshot, section) = match call.get("snapname").filter(|name| !name.is_empty()) {
            Some(name) => {
                let section = config.snapshots.get(name);
                let section = section.ok_or_else(|| refused(format!("snapshot '{name}' does not exist")))?;
                (Some(name.parse().map_err(|error| refused(format!("{error}")))?), section)
            }
            None => (None, &config.main),
        };
        let volumes = volumes(section)?;
        for (_, _, volume) in &volumes {
            if full && running && snapshot.is_none() {
                return Err(refused(
                    "Full clone of a running container is only possible from a snapshot".to_owned(),
                ));
            }
            if !full && !snapshot::can_link(node, volume)? {
                return Err(refused(format!("Linked clone feature for '{volume}' is not available")));
            }
        }
        if !config.is_unprivileged() {
            judge::privileged(&Asker::of_this_process(node)?, node)?;
        }
        let mut main = new_section(section)?;
        main.set("lock", "create");
        for key in ["hostname", "description"] {
            if let Some(value) = call.get(key).filter(|value| !value.is_empty()) {
                main.set(key, value);
            }
        }
        let config = ContainerConfig { main, id_base: config.id_base, ..ContainerConfig::default() };
        let target = |volume: &VolumeId| storage.unwrap_or(volume.storage()).to_owned();
        let places = volumes.iter().flat_map(|(_, _, volume)| [volume.storage().to_owned(), target(volume)]);
        let bandwidth = bandwidth::of(node, call, "clone", places)?;
        Ok(Self { source, vmid, snapshot, storage, full, bandwidth, config, volumes })
    }
}

/// The volumes of a section: nothing else can be cloned.
fn volumes(section: &Section) -> NodeResult<Vec<(String, MountPoint, VolumeId)>> {
    let of = |(key, mount): (String, MountPoint)| {
        let cannot = |kind: &str| {
            Failure::with_exit(format!("unable to clone mountpoint '{key}' (type {kind})"), REFUSED_EXIT)
        };
        match &mount.fs.source {
            MountSource::Volume(text) => match text.parse() {
                Ok(volume) => Ok((key, mount, volume)),
                Err(_) => Err(Failure::new(format!("unable to parse volume ID '{text}'"))),
            },
            MountSource::Bind(_) => Err(cannot("bind")),
            MountSource::Device(_) | MountSource::Allocate { .. } => Err(cannot("device")),
        }
    };
    section.volumes().into_iter().map(of).collect()
}

/// The clone's section: that of the source without volumes and state, each interface with a MAC address of its own.
fn new_section(section: &Section) -> NodeResult<Section> {
    let mut new = section.clone();
    new.options.retain(|key, _| {
        let volume = key == "rootfs" || index(key, "mp").is_some() || is_unused(key);
        !volume && !OWN_KEYS.contains(&key.as_str())
    });
    for (key, value) in &mut new.options {
        if index(key, "net").is_none() {
            continue;
        }
        if let Ok(mut net) = NetInterface::parse(key, value) {
            net.hwaddr = Some(random::mac_address()?);
            *value = net.to_string();
        }
    }
    Ok(new)
}

fn check_state(node: &Node, source: Vmid, running: bool) -> NodeResult<()> {
    match runtime::is_running(node, source) == running {
        true => Ok(()),
        false => Err(Failure::new("unexpected state change")),
    }
}

/// Makes the volumes and the guest's own identity; returns the configuration as it was saved last.
fn build(
    node: &Node,
    plan: &Plan<'_>,
    undo: &mut Undo<'_>,
    interrupt: &Interrupt,
    log: &mut TaskLog,
    output: &mut Output<'_>,
) -> NodeResult<ContainerConfig> {
    let mut config = plan.config.clone();
    for (key, mount, volume) in &plan.volumes {
        interrupt.check()?;
        let mut mount = mount.clone();
        let new = if plan.full {
            log.line(output, &format!("create full clone of mountpoint {key} ({volume})"));
            let copy = Copy {
                source: volume,
                snapshot: plan.snapshot.as_ref(),
                storage: plan.storage.unwrap_or(volume.storage()),
                vmid: plan.vmid,
                owner: IdMap::of(&config).root(),
                bandwidth: plan.bandwidth,
            };
            let (new, size) = copy.run(node, interrupt, &mut |line| log.line(output, line))?;
            mount.fs.size = Some(size);
            new
        } else {
            log.line(output, &format!("create linked clone of mount point {key} ({volume})"));
            snapshot::link(node, volume, plan.snapshot.as_ref(), plan.vmid)?
        };
        undo.volumes.push(new.clone());
        mount.fs.source = MountSource::Volume(new.to_string());
        let text = if key == "rootfs" { mount.fs.to_string() } else { mount.to_string() };
        config.main.set(key, text);
        store::save(node, plan.vmid, &config)?;
    }
    tracing::debug!(source = %plan.source, vmid = %plan.vmid, "volumes are cloned");
    interrupt.check()?;
    forget_identity(node, plan.vmid, &config, &mut |line, is_warning| match is_warning {
        true => log.warn(output, line),
        false => log.line(output, line),
    })?;
    Ok(config)
}

/// Removes what each machine must have its own of, in mounts that end with this function whatever happens. `log` gets
/// lines, and whether each is a warning.
fn forget_identity(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    log: &mut dyn FnMut(&str, bool),
) -> NodeResult<()> {
    let root = node.layout.rootfs(vmid);
    let _mounts = PrivateMounts::enter()?;
    storage::mount_all_for(node, vmid, config, &root, MountFor::Setup)?;
    let done = Guest::mounted(node, vmid, config, &root).and_then(|guest| guest.after_clone(log));
    let unmounted = storage::unmount_all(&root);
    done?;
    unmounted
}

fn finish(node: &Node, vmid: Vmid, mut config: ContainerConfig) -> NodeResult<()> {
    config.main.remove("lock");
    store::save(node, vmid, &config)?;
    creation::end(node, vmid);
    Ok(())
}

/// Gives the clone the rules of the source's firewall. Addresses that root allowed the source are no other's for that.
fn copy_firewall(
    node: &Node,
    asker: &Asker,
    source: Vmid,
    vmid: Vmid,
    warn: &mut dyn FnMut(&str),
) -> NodeResult<()> {
    let (from, to) = (node.layout.firewall(source), node.layout.firewall(vmid));
    let failed = |error: std::io::Error| Failure::io("can't copy the firewall's rules to", &to, &error);
    match std::fs::read(&from) {
        Ok(rules) if !asker.is_root() && crate::network::allows_more(&rules) => {
            warn(
                "skipping the firewall rules: they allow extra addresses (ipfilter-net[n]), which only root may do",
            );
            Ok(())
        }
        Ok(rules) => files::replace(&to, &rules, 0o640).map_err(failed),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(failed(error)),
    }
}

/// The lock `disk` of the source, which goes whatever happens.
struct SourceLock<'a> {
    node: &'a Node,
    vmid: Vmid,
    armed: bool,
}

impl SourceLock<'_> {
    fn release(&mut self, output: &mut Output<'_>) -> NodeResult<()> {
        if !std::mem::take(&mut self.armed) {
            return Ok(());
        }
        let _held = store::lock(self.node, self.vmid, store::LOCK_SECONDS, output)?;
        locked::remove(self.node, self.vmid, &Lock::Disk, output)
    }
}

impl Drop for SourceLock<'_> {
    fn drop(&mut self) {
        let (mut out, mut err) = (std::io::sink(), std::io::sink());
        let vmid = self.vmid;
        if let Err(failure) = self.release(&mut Output::new(&mut out, &mut err)) {
            tracing::error!(%vmid, "removing the lock of a clone's source: {}", failure.text);
        }
    }
}

#[cfg(test)]
mod tests {
    use pvect_core::config::ParseMode;

    use super::*;

    fn section(text: &str) -> Section {
        ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).unwrap().0.main
    }

    #[test]
    fn a_clone_has_addresses_of_its_own() {
        let old = section(
            "#first\nhostname: a\nlock: disk\nmp0: btr:401/vm-401-disk-1.raw,mp=/a\n\
             net0: name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,type=veth\nparent: s1\n\
             rootfs: btr:401/vm-401-disk-0.raw\ntemplate: 1\nunused0: btr:401/vm-401-disk-2.raw\nlxc.cap.drop: x\n",
        );
        let new = new_section(&old).unwrap();
        assert_eq!(new.keys(), ["description", "hostname", "net0"]);
        assert_eq!(new.raw, old.raw);
        let net = &new.options["net0"];
        assert!(
            net.starts_with("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:") && !net.contains("00:00:01"),
            "{net}"
        );
    }

    #[test]
    fn only_volumes_are_cloned() {
        let text = |config: &str| volumes(&section(config)).unwrap_err().text;
        assert_eq!(text("mp0: /srv,mp=/a\n"), "unable to clone mountpoint 'mp0' (type bind)");
        assert_eq!(text("mp1: /dev/sdb,mp=/a\n"), "unable to clone mountpoint 'mp1' (type device)");
        assert_eq!(volumes(&section("rootfs: local:101/vm-101-disk-0.raw\n")).unwrap().len(), 1);
    }
}
