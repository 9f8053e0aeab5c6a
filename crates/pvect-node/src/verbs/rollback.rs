//! `pct rollback`: puts a container back to a snapshot.
//!
//! The lock `rollback` is set, each volume is exchanged in one step, then the configuration is replaced. One that is
//! killed in between is finished by the same command once more: the lock of a rollback is no hindrance to it.

use pvect_core::config::Section;
use pvect_core::{Call, ContainerConfig, Lock, SnapshotName, Vmid};

use super::delsnapshot::section;
use super::snapshot::copy_of;
use crate::config_volumes::{add_unused, in_use, is_unused};
use crate::interrupt::Interrupt;
use crate::runtime::{self, StopMode};
use crate::storage::snapshot;
use crate::task::TaskLog;
use crate::{Failure, Node, NodeResult, Output, locked, store, task};

/// Rolls a container back to a snapshot; a running one is killed first. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let (vmid, name) = (super::vmid(call)?, super::snapshot_name(call)?);
    let start = super::is_on(call, "start");
    task::run(node, "vzrollback", &vmid.to_string(), output, |log, output| {
        // Signals are noted but do not stop it: half a rollback is worse than a whole one.
        let interrupt = Interrupt::watch();
        roll_back(node, vmid, &name, output)?;
        drop(interrupt);
        if start { started(node, vmid, log, output) } else { Ok(()) }
    })?;
    Ok(0)
}

fn roll_back(node: &Node, vmid: Vmid, name: &SnapshotName, output: &mut Output<'_>) -> NodeResult<()> {
    let saved = prepare(node, vmid, name, output)?;
    for (_, volume) in in_use(&saved) {
        snapshot::roll_back(node, &volume, name)?;
    }
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let config = store::load(node, vmid)?.config;
    if config.lock() != Some(Lock::Rollback) {
        return Err(Failure::new("got wrong lock"));
    }
    let mut config = apply(config, name)?;
    config.main.set("lock", Lock::Rollback.to_string());
    store::save(node, vmid, &config)?;
    locked::remove(node, vmid, &Lock::Rollback, output)
}

/// Stops the container and sets the lock. Returns the snapshot's section.
fn prepare(node: &Node, vmid: Vmid, name: &SnapshotName, output: &mut Output<'_>) -> NodeResult<Section> {
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let mut config = store::load_telling(node, vmid, output)?.config;
    if config.is_set("template") {
        return Err(Failure::new("you can't rollback if vm is a template"));
    }
    let saved = section(&mut config, name)?.clone();
    for (_, volume) in in_use(&saved) {
        snapshot::check(node, &volume, name)?;
    }
    if let Some(state) = saved.options.get("snapstate") {
        return Err(Failure::new(format!("unable to rollback to incomplete snapshot (snapstate = {state})")));
    }
    if config.lock() == Some(Lock::Rollback) {
        // The lock of an interrupted rollback: nobody holds the file that belongs to it.
        config.main.remove("lock");
        store::check_dead(node, vmid, &Lock::Rollback, 1)?;
        store::save(node, vmid, &config)?;
    }
    locked::check(&config)?;
    runtime::stop(node, vmid, &config, StopMode::Kill, output)?;
    if runtime::is_running(node, vmid) {
        return Err(Failure::new(format!("unable to rollback vm {vmid}: vm is running")));
    }
    locked::set(node, vmid, &Lock::Rollback, output)?;
    Ok(saved)
}

/// Makes the snapshot's section the present one. Description and unused volumes stay; volumes that are not in the
/// snapshot become unused ones, unless another snapshot names them (the real pct lists them as unused even then).
fn apply(mut config: ContainerConfig, name: &SnapshotName) -> NodeResult<ContainerConfig> {
    let saved = section(&mut config, name)?.clone();
    let known = in_use(&saved);
    let mut superfluous = in_use(&config.main);
    superfluous.retain(|(_, volume)| !known.iter().any(|(_, known)| known == volume));
    let mut main = copy_of(&saved);
    main.description = config.main.description.take();
    main.options.extend(config.main.options.into_iter().filter(|(key, _)| is_unused(key)));
    main.set("parent", name.to_string());
    let mut config = ContainerConfig { main, pending: None, ..config };
    superfluous.iter().try_for_each(|(_, volume)| add_unused(&mut config, volume))?;
    Ok(config)
}

fn started(node: &Node, vmid: Vmid, log: &mut TaskLog, output: &mut Output<'_>) -> NodeResult<()> {
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let config = store::load(node, vmid)?.config;
    log.capture(output, |output| crate::start::start(node, vmid, &config, false, output))
}

#[cfg(test)]
mod tests {
    use pvect_core::config::ParseMode;

    use super::*;

    #[test]
    fn a_configuration_is_put_back() {
        let text = "#now\nhostname: new\nmp0: btr:401/vm-401-disk-1.raw,mp=/a\nparent: s2\n\
                    rootfs: btr:401/vm-401-disk-0.raw\nunused3: btr:401/vm-401-disk-9.raw\n\n[pve:pending]\n\
                    memory: 1\n\n[s1]\n#then\nhostname: old\nrootfs: btr:401/vm-401-disk-0.raw\nsnaptime: 1\n";
        let (config, _) = ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).unwrap();
        let config = apply(config, &"s1".parse().unwrap()).unwrap();
        assert_eq!(
            config.to_text().unwrap(),
            "#now\nhostname: old\nparent: s1\nrootfs: btr:401/vm-401-disk-0.raw\n\
             unused0: btr:401/vm-401-disk-1.raw\nunused3: btr:401/vm-401-disk-9.raw\n\n[s1]\n#then\n\
             hostname: old\nrootfs: btr:401/vm-401-disk-0.raw\nsnaptime: 1\n"
        );
    }
}
