//! `pct rescan`: looks at the storages and brings the configurations up to date.

use std::collections::BTreeSet;
use std::path::PathBuf;

use pvect_core::property::{MountSource, boolean};
use pvect_core::size::DiskSize;
use pvect_core::{Call, ContainerConfig, Vmid, VolumeId};

use crate::storage::{self, grow};
use crate::{Failure, Node, NodeResult, Output, config_volumes, locked, store, vmids};

/// Writes the sizes of volumes, and volumes that no option names (as `unused[n]`), into one configuration or all.
/// Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with: at the first container that is locked.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let dry = call.get("dryrun").and_then(boolean) == Some(true);
    if dry {
        output.line("NOTE: running in dry-run mode, won't write changes out!");
    }
    output.line("rescan volumes...");
    let vmids = match call.get("vmid") {
        Some(text) => {
            vec![text.parse().map_err(|_| Failure::new(format!("unable to parse container ID '{text}'")))?]
        }
        None => vmids::all(node)?,
    };
    for vmid in vmids {
        let _lock = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
        rescan(node, vmid, dry, output)?;
    }
    Ok(0)
}

fn rescan(node: &Node, vmid: Vmid, dry: bool, output: &mut Output<'_>) -> NodeResult<()> {
    let mut config = store::load_telling(node, vmid, output)?.config;
    locked::check(&config)?;
    let before = config.clone();
    let volumes = storage::volumes_of(node, vmid)?;
    add_unused(node, vmid, &mut config, &volumes, output)?;
    update_sizes(node, vmid, &mut config, &volumes, output)?;
    if config != before && !dry {
        store::save(node, vmid, &config)?;
    }
    Ok(())
}

/// Adds volumes that nothing names. A file that is on two storages (with the same path) is one volume.
fn add_unused(
    node: &Node,
    vmid: Vmid,
    config: &mut ContainerConfig,
    volumes: &[VolumeId],
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let path = |volume: &VolumeId| storage::volume_path(node, volume).ok();
    // A volume that only a snapshot or a pending change names is in use, too; the real pct would list it as unused.
    let named = config_volumes::sections(config).flat_map(config_volumes::all);
    let mut known: BTreeSet<PathBuf> = named.filter_map(|(_, volume)| path(&volume)).collect();
    for volume in volumes {
        let Some(path) = path(volume) else { continue };
        if !known.insert(path) {
            continue;
        }
        let key = config_volumes::list_as_unused(config, volume.as_str())?;
        output.line(format!("CT {vmid}: add unreferenced volume '{volume}' as '{key}' to config."));
    }
    Ok(())
}

fn update_sizes(
    node: &Node,
    vmid: Vmid,
    config: &mut ContainerConfig,
    volumes: &[VolumeId],
    output: &mut Output<'_>,
) -> NodeResult<()> {
    for (key, mut mount) in config.volumes() {
        let MountSource::Volume(text) = &mount.fs.source else { continue };
        let Some(volume) = volumes.iter().find(|volume| volume.as_str() == text) else { continue };
        let Some(size) = grow::size(node, volume)?.map(DiskSize) else { continue };
        if mount.fs.size == Some(size) {
            continue;
        }
        output.line(format!("CT {vmid}: updated volume size of '{volume}' in config."));
        mount.fs.size = Some(size);
        let text = if key == "rootfs" { mount.fs.to_string() } else { mount.to_string() };
        config.main.set(&key, text);
    }
    Ok(())
}
