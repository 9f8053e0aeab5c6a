//! Devices that are passed through: `dev[n]`.

use std::path::{Path, PathBuf};

use pvect_core::ContainerConfig;
use pvect_core::property::DeviceEntry;
use rustix::fs::{CWD, FileType, Gid, Mode, Uid};

use crate::idmap::IdMap;
use crate::{Failure, NodeResult};

/// The mode of a node that the configuration gives none: that of PVE.
const DEFAULT_MODE: u32 = 0o660;

/// A device node of the host.
#[derive(Debug, Clone, Copy)]
pub(super) struct Device {
    kind: FileType,
    number: u64,
}

impl Device {
    /// Finds the node of an entry.
    ///
    /// # Errors
    /// When there is none, or it is not a device.
    pub(super) fn find(key: &str, entry: &DeviceEntry) -> NodeResult<Self> {
        let stat = rustix::fs::stat(entry.path.as_str())
            .map_err(|_| Failure::new(format!("{key}: Device {} does not exist", entry.path)))?;
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::CharacterDevice | FileType::BlockDevice => Ok(Self { kind, number: stat.st_rdev }),
            _ => Err(Failure::new(format!("{key}: {} is not a device", entry.path))),
        }
    }

    /// What the rules of the devices controller name it: `c 10:229`.
    pub(super) fn rule(self) -> String {
        let kind = if self.kind == FileType::BlockDevice { 'b' } else { 'c' };
        format!("{kind} {}:{}", rustix::fs::major(self.number), rustix::fs::minor(self.number))
    }
}

fn directory_of(directory: &Path) -> PathBuf {
    directory.join("passthrough")
}

/// Where the node of an entry is made, below `lib/lxc/<vmid>`.
pub(super) fn node_path(directory: &Path, key: &str) -> PathBuf {
    directory_of(directory).join(key)
}

/// Makes the nodes with their owners and modes, on a small file system of their own. Call it in a private mount
/// namespace: the nodes end with it.
///
/// # Errors
/// When a device does not exist or a node cannot be made.
pub(super) fn make_nodes(directory: &Path, config: &ContainerConfig) -> NodeResult<()> {
    let entries = config.devices();
    if entries.is_empty() {
        return Ok(());
    }
    make_place(directory)?;
    let map = IdMap::of(config);
    entries.iter().try_for_each(|(key, entry)| make_node(directory, key, entry, &map))
}

/// Mounts the small file system for the nodes, unless it is there.
///
/// # Errors
/// When it cannot be mounted.
pub(super) fn make_place(directory: &Path) -> NodeResult<()> {
    super::live::small_file_system(&directory_of(directory))
}

/// Makes the node of one entry.
///
/// # Errors
/// As [`make_nodes`].
pub(super) fn make_node(directory: &Path, key: &str, entry: &DeviceEntry, map: &IdMap) -> NodeResult<()> {
    let device = Device::find(key, entry)?;
    let path = node_path(directory, key);
    let unmapped = || Failure::new(format!("{key}: the container has no such user or group"));
    let user = map.user(entry.uid.unwrap_or(0)).ok_or_else(unmapped)?;
    let group = map.group(entry.gid.unwrap_or(0)).ok_or_else(unmapped)?;
    let mode = Mode::from_raw_mode(entry.mode.unwrap_or(DEFAULT_MODE));
    rustix::fs::mknodat(CWD, &path, device.kind, mode, device.number)
        .and_then(|()| rustix::fs::chown(&path, Some(Uid::from_raw(user)), Some(Gid::from_raw(group))))
        .and_then(|()| rustix::fs::chmod(&path, mode))
        .map_err(|errno| Failure::io("can't make the device node", &path, &errno.into()))
}

/// Makes the nodes of the block devices that hold file systems with quotas, which the guest's tools open, and adds what
/// lets the container use them to its LXC configuration. `root` is where the file systems are mounted.
///
/// # Errors
/// As [`make_nodes`], and when the configuration cannot be written.
pub(super) fn make_quota_nodes(directory: &Path, config: &ContainerConfig, root: &Path) -> NodeResult<()> {
    let mut lines = String::new();
    // In a user namespace quotactl(2) is refused, and nobody there is to write to a device of the host.
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
        let device = Device { kind: FileType::BlockDevice, number };
        lines.push_str(&super::lxc_config::device_lines(
            &device.rule(),
            "rwm",
            &path,
            &format!("dev/{name}"),
        )?);
    }
    if lines.is_empty() {
        return Ok(());
    }
    let path = directory.join(super::START_CONFIG);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_has_a_rule_and_others_are_refused() {
        let entry = |path: &str| DeviceEntry { path: path.to_owned(), ..DeviceEntry::default() };
        assert_eq!(Device::find("dev0", &entry("/dev/null")).unwrap().rule(), "c 1:3");
        for (path, text) in [
            ("/dev/no-such-device", "dev0: Device /dev/no-such-device does not exist"),
            ("/dev", "dev0: /dev is not a device"),
        ] {
            assert_eq!(Device::find("dev0", &entry(path)).unwrap_err().text, text);
        }
    }
}
