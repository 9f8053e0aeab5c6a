//! The block devices that the tools for quotas open in a container.

use std::path::Path;

use pvect_core::ContainerConfig;
use rustix::fs::{CWD, FileType, Mode};

use super::START_CONFIG;
use super::devices::{Device, make_place, node_path};
use super::lxc_config::devices::device_lines;
use crate::idmap::IdMap;
use crate::{Failure, NodeResult};

/// Makes the nodes of the block devices that hold file systems with quotas, which the guest's tools open, and adds what
/// lets the container use them to its LXC configuration. `root` is where the file systems are mounted.
///
/// # Errors
/// When a node cannot be made, and when the configuration cannot be written.
pub(super) fn make_nodes(directory: &Path, config: &ContainerConfig, root: &Path) -> NodeResult<()> {
    let mut lines = String::new();
    // In a user namespace quotactl(2) is refused, and nobody there should be able to write to a device of the host.
    let volumes = if IdMap::of(config).is_identity() { config.volumes() } else { Vec::new() };
    for (key, point) in volumes {
        if !point.fs.quota || point.fs.read_only {
            continue;
        }
        let Some((name, number)) = block_device(&root.join(point.path.trim_start_matches('/'))) else {
            continue;
        };
        make_place(directory)?;
        let path = node_path(directory, &format!("quota-{key}"));
        let mode = Mode::from_raw_mode(0o666);
        rustix::fs::mknodat(CWD, &path, FileType::BlockDevice, mode, number)
            .and_then(|()| rustix::fs::chmod(&path, mode))
            .map_err(|errno| Failure::io("can't make the device node", &path, &errno.into()))?;
        let device = Device::block(number);
        lines.push_str(&device_lines(&device.rule(), "rwm", &path, &format!("dev/{name}"))?);
    }
    if lines.is_empty() {
        return Ok(());
    }
    let path = directory.join(START_CONFIG);
    let mut file = std::fs::OpenOptions::new().append(true).open(&path);
    file.as_mut()
        .map_err(|error| std::io::Error::from(error.kind()))
        .and_then(|file| std::io::Write::write_all(file, lines.as_bytes()))
        .map_err(|error| Failure::io("can't write", &path, &error))
}

/// The name and number of the block device of a mounted file system; `None` for one that has none.
fn block_device(mounted: &Path) -> Option<(String, u64)> {
    let number = rustix::fs::stat(mounted).ok()?.st_dev;
    let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
    let text = std::fs::read_to_string(format!("/sys/dev/block/{major}:{minor}/uevent")).ok()?;
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="))?;
    Some((name.to_owned(), number))
}
