//! The lines that let a container use devices.

use std::path::Path;

use pvect_core::property::DeviceEntry;
use pvect_native::{Cgroups, Version};

use super::host::Host;
use super::lines::{Lines, fstab, utf8};
use crate::NodeResult;
use crate::runtime::devices;

/// The prefix of device rules for cgroups of version 2.
pub(super) const CGROUP2: &str = "lxc.cgroup2";

/// The prefix of device rules on this machine.
pub(super) fn devices_prefix(cgroups: &Cgroups) -> &'static str {
    match cgroups.controller("devices") {
        Some(controller) if controller.version == Version::V1 => "lxc.cgroup",
        _ => CGROUP2,
    }
}

pub(super) fn put_devices(
    lines: &mut Lines,
    host: &Host,
    directory: &Path,
    entries: &[(String, DeviceEntry)],
) -> NodeResult<()> {
    let prefix = devices_prefix(&host.cgroups);
    for (key, entry) in entries {
        let device = devices::Device::find(key, entry)?;
        let access = if entry.deny_write { "r" } else { "rw" };
        lines.put(&format!("{prefix}.devices.allow"), format!("{} {access}", device.rule()))?;
        if entry.deny_write {
            lines.put(&format!("{prefix}.devices.deny"), format!("{} w", device.rule()))?;
        }
        let source = devices::node_path(directory, key);
        let target = entry.path.trim_start_matches('/');
        let line = format!("{} {} none bind,create=file 0 0", fstab(utf8(&source)?), fstab(target));
        lines.put("lxc.mount.entry", line)?;
    }
    Ok(())
}

/// The lines that let a container use a device (`rule`, `access`) whose node is at `source` on the host and `target`
/// inside.
///
/// # Errors
/// When the path is not UTF-8.
pub(in crate::runtime) fn device_lines(
    rule: &str,
    access: &str,
    source: &Path,
    target: &str,
) -> NodeResult<String> {
    let prefix = devices_prefix(&Cgroups::new("/sys/fs/cgroup"));
    let mut lines = Lines::default();
    lines.put(&format!("{prefix}.devices.allow"), format!("{rule} {access}"))?;
    let entry = format!("{} {} none bind,create=file 0 0", fstab(utf8(source)?), fstab(target));
    lines.put("lxc.mount.entry", entry)?;
    Ok(lines.0)
}
