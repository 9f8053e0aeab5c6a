//! Devices that are passed through: `dev[n]`.

use std::path::{Path, PathBuf};

use pvect_core::ContainerConfig;
use pvect_core::property::DeviceEntry;
use rustix::fs::{CWD, FileType, Gid, Mode, Uid};

use super::small_file_system;
use crate::idmap::IdMap;
use crate::{Failure, NodeResult};

/// The mode of a node for which the configuration does not give one, as on Proxmox VE.
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

    /// A block device by its number.
    pub(super) fn block(number: u64) -> Self {
        Self { kind: FileType::BlockDevice, number }
    }

    /// How the rules of the devices controller name it: `c 10:229`.
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

/// Mounts the small file system for the nodes, unless it is mounted already.
///
/// # Errors
/// When it cannot be mounted.
pub(super) fn make_place(directory: &Path) -> NodeResult<()> {
    small_file_system::mount(&directory_of(directory))
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
