//! `pct template`: makes a container a template.

use pvect_core::property::{MountPoint, MountSource};
use pvect_core::{Call, ContainerConfig, Vmid, VolumeId};

use crate::interrupt::Interrupt;
use crate::storage::base::{Base, can_be_base};
use crate::task::TaskLog;
use crate::{Failure, Node, NodeResult, Output, locked, runtime, storage, store, task};

/// Turns a stopped container without snapshots into a template, permanently. Returns the exit status: 0 also when the
/// task failed, as the real pct does (its text is on stderr).
///
/// # Errors
/// The text and status that pct ends with, for what is found before the task begins.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let _lock = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let config = store::load_telling(node, vmid, output)?.config;
    check(node, vmid, &config)?;
    let _interrupt = Interrupt::watch();
    let done = task::run(node, "vztemplate", &vmid.to_string(), output, |log, output| {
        convert(node, vmid, config, log, output)
    });
    if let Err(failure) = done {
        output.warn(failure.text);
    }
    Ok(0)
}

fn check(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    locked::check(config)?;
    if !config.snapshots.is_empty() {
        return Err(Failure::new("unable to create template, because CT contains snapshots"));
    }
    if config.is_set("template") {
        return Err(Failure::new("you can't convert a template to a template"));
    }
    if runtime::is_running(node, vmid) {
        return Err(Failure::new("you can't convert a CT to template if the CT is running"));
    }
    Ok(())
}

/// The volumes of a container, of which each can become a base.
fn volumes(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
) -> NodeResult<Vec<(String, MountPoint, VolumeId)>> {
    let of = |(key, mount): (String, MountPoint)| {
        let cannot = || Failure::new(format!("Template feature is not available for '{}'", mount.fs.source));
        let MountSource::Volume(text) = &mount.fs.source else { return Err(cannot()) };
        let volume: VolumeId = text.parse().map_err(|_| cannot())?;
        if !can_be_base(node, &volume, vmid)? {
            return Err(cannot());
        }
        storage::volume_path(node, &volume)?;
        Ok((key, mount, volume))
    };
    config.volumes().into_iter().map(of).collect()
}

/// Renames and protects the volumes and marks the configuration, which is saved at each step.
pub(super) fn convert(
    node: &Node,
    vmid: Vmid,
    mut config: ContainerConfig,
    log: &mut TaskLog,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    for (key, mut mount, volume) in volumes(node, vmid, &config)? {
        let base = Base::prepare(node, &volume)?;
        mount.fs.source = MountSource::Volume(base.volume.to_string());
        let text = if key == "rootfs" { mount.fs.to_string() } else { mount.to_string() };
        config.main.set(&key, text);
        // Save before the old name is removed: a killed command then leaves a configuration that names existing
        // volumes, and the next one continues from there.
        store::save(node, vmid, &config)?;
        base.finish(&mut |line| log.line(output, line))?;
    }
    config.main.set("template", "1");
    store::save(node, vmid, &config)?;
    // A template is never started.
    runtime::remove_lxc_config(node, vmid)
}
