//! `pct resize`: makes a volume larger.

use std::path::Path;

use pvect_core::property::{MountPoint, MountSource, RootFs};
use pvect_core::size::DiskSize;
use pvect_core::{Call, ContainerConfig, Vmid, VolumeId};

use crate::interrupt::Interrupt;
use crate::storage::grow;
use crate::task::TaskLog;
use crate::{Failure, Node, NodeResult, Output, locked, runtime, store, task};

/// What is to be done: determined before the task begins, and again in it, under the lock file.
struct Plan {
    config: ContainerConfig,
    mount: MountPoint,
    volume: VolumeId,
    /// The new size in bytes.
    size: u64,
}

/// Makes a volume larger: the image, then the file system in it. Returns the exit status: 0 also when the task
/// failed, as the real pct does (its text is on stderr), and when only the file system could not be enlarged (its
/// text is on stdout then).
///
/// # Errors
/// The text and status that pct ends with, for what is found before the task begins.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let [_, disk, size] = call.args() else {
        return Err(super::not_enough_arguments());
    };
    let digest = call.get("digest");
    Plan::of(node, vmid, disk, size, digest, output)?;
    let _interrupt = Interrupt::watch();
    let done = task::run(node, "resize", &vmid.to_string(), output, |log, output| {
        let _lock = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
        let plan = Plan::of(node, vmid, disk, size, digest, output)?;
        resize(node, vmid, disk, plan, log, output)
    });
    if let Err(failure) = done {
        output.warn(failure.text);
    }
    Ok(0)
}

impl Plan {
    fn of(
        node: &Node,
        vmid: Vmid,
        disk: &str,
        size: &str,
        digest: Option<&str>,
        output: &mut Output<'_>,
    ) -> NodeResult<Self> {
        let stored = store::load_telling(node, vmid, output)?;
        locked::check(&stored.config)?;
        if digest.is_some_and(|digest| digest != stored.digest) {
            return Err(Failure::new(
                "detected modified configuration - file changed by other user? Try again.",
            ));
        }
        let mount = mount_point(disk, stored.config.main.options.get(disk).map(String::as_str))?;
        let text = mount.fs.source.to_string();
        let volume: VolumeId = match &mount.fs.source {
            MountSource::Volume(text) => text.parse().ok(),
            MountSource::Allocate { .. } | MountSource::Device(_) | MountSource::Bind(_) => None,
        }
        .ok_or_else(|| Failure::new(format!("unable to parse volume ID '{text}'")))?;
        let owner = volume.volume().split_once('/').and_then(|(owner, _)| owner.parse::<Vmid>().ok());
        if let Some(owner) = owner.filter(|owner| *owner != vmid) {
            return Err(Failure::new(format!(
                "can't resize mount point owned by another container ({owner})"
            )));
        }
        let current = grow::size(node, &volume)?
            .ok_or_else(|| Failure::new(format!("Could not determine current size of volume '{volume}'")))?;
        let size = wanted(size, current)?;
        if size < current {
            return Err(Failure::new("unable to shrink disk size"));
        }
        // Continue an interrupted resize: the size was not recorded, or the file system not enlarged.
        let is_recorded = mount.fs.size.is_none_or(|recorded| recorded.0 == size);
        if size == current && is_recorded && !grow::has_room(node, &volume) {
            return Err(Failure::new("disk is already at specified size"));
        }
        Ok(Self { config: stored.config, mount, volume, size })
    }
}

/// Parses the value of a volume key; `rootfs` becomes a mount point at `/`.
pub(super) fn mount_point(disk: &str, value: Option<&str>) -> NodeResult<MountPoint> {
    let is_root = disk == "rootfs";
    let Some(value) = value else {
        let mut text = "format error\nvolume: property is missing and it is not optional".to_owned();
        if !is_root {
            text += "\nmp: property is missing and it is not optional";
        }
        return Err(Failure::new(text));
    };
    let bad = |_| Failure::new(format!("unable to parse {disk} '{value}'"));
    if is_root {
        let fs = RootFs::parse(value).map_err(bad)?;
        Ok(MountPoint { fs, path: "/".to_owned(), backup: false, keep_attrs: false })
    } else {
        MountPoint::parse(disk, value).map_err(bad)
    }
}

/// The size in bytes that a text asks for: `+1G` adds to the current one, a plain number means bytes.
fn wanted(text: &str, current: u64) -> NodeResult<u64> {
    let (text, base) = match text.strip_prefix('+') {
        Some(rest) => (rest, current),
        None => (text, 0),
    };
    let size = DiskSize::parse(text).and_then(|size| size.0.checked_add(base));
    size.ok_or_else(|| Failure::new("invalid size string"))
}

fn resize(
    node: &Node,
    vmid: Vmid,
    disk: &str,
    mut plan: Plan,
    log: &mut TaskLog,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let running = runtime::is_running(node, vmid);
    let image = grow::grow_image(node, &plan.volume, plan.size)?;
    log.line(output, "Image resized.");
    plan.mount.fs.size = Some(DiskSize(plan.size));
    let text = if disk == "rootfs" { plan.mount.fs.to_string() } else { plan.mount.to_string() };
    plan.config.main.set(disk, text);
    store::save(node, vmid, &plan.config)?;
    if let Err(failure) = fill(&image, &node.layout.rootfs(vmid), running, &mut |line| log.line(output, line))
    {
        // A warning only, in the form of the real pct: the text ends with a line break of its own.
        log.line(output, &format!("Failed to update the container's filesystem: {}\n", failure.text));
    }
    Ok(())
}

fn fill(image: &Path, place: &Path, running: bool, log: &mut dyn FnMut(&str)) -> NodeResult<()> {
    if running { grow::grow_mounted(image, place, log) } else { grow::grow_unmounted(image, log) }
}
