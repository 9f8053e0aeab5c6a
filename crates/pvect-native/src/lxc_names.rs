//! The names under which LXC runs the containers of one directory.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use pvect_core::Vmid;

use crate::socket::{fnv1a, socket_name};

/// Where a Proxmox VE node keeps its containers.
const PROXMOX: &str = "/var/lib/lxc";
/// Where the standalone node keeps its containers unless another root is chosen.
const STANDALONE: &str = "/var/lib/pvect/lib/lxc";
/// The longest name of a network device. Source: `IFNAMSIZ` of linux/if.h, less the final NUL.
const DEVICE_LENGTH: usize = 15;

/// Names cgroups, network devices and sockets of the containers below one directory (`lxc-start -P`).
///
/// For Proxmox VE's directory and the standalone node's default one, the names are those of Proxmox VE (`lxc/101`,
/// `veth101i0`). For any other directory the names contain a hash of its path (`lxc/1a2b3c4d-101`, `v1a2b-101i0`), so
/// that nodes that use the same vmids can run on one machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    lxc_path: PathBuf,
    /// `None` for the well-known directories.
    hash: Option<u32>,
}

impl Names {
    /// Makes the names of a directory (an absolute path).
    pub fn new(lxc_path: impl Into<PathBuf>) -> Self {
        let lxc_path = lxc_path.into();
        let known = lxc_path == Path::new(PROXMOX) || lxc_path == Path::new(STANDALONE);
        let hash = (!known).then(|| {
            let hash = fnv1a(lxc_path.as_os_str().as_bytes());
            // Fold both halves together: short paths differ mostly in the low bits.
            ((hash >> 32) ^ (hash & 0xffff_ffff)) as u32
        });
        Self { lxc_path, hash }
    }

    /// Returns the directory.
    pub fn lxc_path(&self) -> &Path {
        &self.lxc_path
    }

    /// Returns the container's part of cgroup paths: `101`, or `1a2b3c4d-101`.
    fn leaf(&self, vmid: Vmid) -> String {
        match self.hash {
            None => vmid.to_string(),
            Some(hash) => format!("{hash:08x}-{vmid}"),
        }
    }

    /// Returns the cgroup that holds the limits, relative to a hierarchy: `lxc/101`.
    pub fn cgroup(&self, vmid: Vmid) -> String {
        format!("lxc/{}", self.leaf(vmid))
    }

    /// Returns the cgroup of the LXC monitor: `lxc.monitor/101`.
    pub fn monitor_cgroup(&self, vmid: Vmid) -> String {
        format!("lxc.monitor/{}", self.leaf(vmid))
    }

    /// Returns the prefix of the names of the container's network devices on the host; the index follows it.
    fn device_prefix(&self, vmid: Vmid) -> String {
        let plain = match self.hash {
            None => format!("veth{vmid}i"),
            Some(hash) => format!("v{:04x}-{vmid}i", hash >> 16),
        };
        // Indices have up to two digits.
        if plain.len() + 2 <= DEVICE_LENGTH {
            return plain;
        }
        // Base 36 makes room; `_` keeps the two forms apart.
        let hash = self.hash.map_or(0, |hash| hash >> 16);
        format!("v{hash:04x}_{}i", base36(vmid.get()))
    }

    /// Returns the name of a network device on the host: `veth101i0`.
    pub fn device(&self, vmid: Vmid, index: u16) -> String {
        format!("{}{index}", self.device_prefix(vmid))
    }

    /// Returns whether a network device of the host is the container's.
    pub fn is_device(&self, vmid: Vmid, name: &str) -> bool {
        let index = name.strip_prefix(&self.device_prefix(vmid));
        index.is_some_and(|index| !index.is_empty() && index.bytes().all(|byte| byte.is_ascii_digit()))
    }

    /// Returns the container of a cgroup, by the last part of its path (`101`, `1a2b3c4d-101`); `None` when it does not
    /// belong to a container of this directory.
    pub fn owner_of_cgroup(&self, leaf: &str) -> Option<Vmid> {
        let id = match self.hash {
            None => leaf,
            Some(hash) => leaf.strip_prefix(&format!("{hash:08x}-"))?,
        };
        let vmid = id.parse().ok()?;
        (self.leaf(vmid) == leaf).then_some(vmid)
    }

    /// Returns the container of a network device of the host; `None` when it does not belong to a container of this
    /// directory.
    pub fn owner_of_device(&self, name: &str) -> Option<Vmid> {
        let (stem, _) = name.rsplit_once('i')?;
        let id = stem.rsplit_once('-').map_or_else(|| stem.strip_prefix("veth"), |(_, id)| Some(id));
        let vmid = match (id, stem.rsplit_once('_')) {
            (Some(id), _) => id.parse().ok()?,
            (None, Some((_, id))) => u32::from_str_radix(id, 36).ok()?.to_string().parse().ok()?,
            (None, None) => return None,
        };
        self.is_device(vmid, name).then_some(vmid)
    }

    /// Returns a name for something that each node has one of, such as its table of packet filter rules: `pvect`, or
    /// `pvect_1a2b3c4d`.
    pub fn label(&self) -> String {
        match self.hash {
            None => "pvect".to_owned(),
            Some(hash) => format!("pvect_{hash:08x}"),
        }
    }

    /// Returns the name of the container's LXC command socket, see [`socket_name`].
    pub fn socket(&self, vmid: Vmid) -> Vec<u8> {
        socket_name(&self.lxc_path, vmid)
    }
}

fn base36(mut number: u32) -> String {
    let mut digits = Vec::new();
    loop {
        digits.push(char::from_digit(number % 36, 36).unwrap_or('0'));
        number /= 36;
        if number == 0 {
            return digits.iter().rev().collect();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vmid(text: &str) -> Vmid {
        text.parse().unwrap()
    }

    #[test]
    fn well_known_directories_have_the_names_of_proxmox() {
        for path in ["/var/lib/lxc", "/var/lib/pvect/lib/lxc"] {
            let names = Names::new(path);
            assert_eq!(names.cgroup(vmid("101")), "lxc/101");
            assert_eq!(names.monitor_cgroup(vmid("101")), "lxc.monitor/101");
            assert_eq!(names.device(vmid("101"), 0), "veth101i0");
            assert_eq!(names.label(), "pvect");
        }
    }

    #[test]
    fn other_directories_have_names_of_their_own() {
        let (one, two) = (Names::new("/tmp/a/lib/lxc"), Names::new("/tmp/b/lib/lxc"));
        assert_ne!(one.cgroup(vmid("101")), two.cgroup(vmid("101")));
        assert_ne!(one.device(vmid("101"), 0), two.device(vmid("101"), 0));
        assert!(one.label() != two.label() && one.label().starts_with("pvect_"), "{}", one.label());
        assert!(one.cgroup(vmid("101")).ends_with("-101"), "{}", one.cgroup(vmid("101")));
        assert!(one.device(vmid("101"), 0).ends_with("-101i0"), "{}", one.device(vmid("101"), 0));
    }

    #[test]
    fn owners_are_found_by_name() {
        for path in ["/var/lib/lxc", "/tmp/a/lib/lxc"] {
            let names = Names::new(path);
            for id in ["100", "999999", "9999999", "999999999"] {
                let device = names.device(vmid(id), 31);
                assert_eq!(names.owner_of_device(&device), Some(vmid(id)), "{device}");
                assert_eq!(names.owner_of_cgroup(&names.leaf(vmid(id))), Some(vmid(id)));
            }
            for other in ["eth0", "veth", "veth101i", "v-i", "vethi1", "v_i0", "veth0101i0", ""] {
                assert_eq!(names.owner_of_device(other), None, "{other}");
                assert_eq!(names.owner_of_cgroup(other), None, "{other}");
            }
        }
        let other = Names::new("/tmp/b/lib/lxc");
        assert_eq!(Names::new("/tmp/a/lib/lxc").owner_of_device(&other.device(vmid("101"), 0)), None);
        assert_eq!(Names::new("/var/lib/lxc").owner_of_cgroup(&other.leaf(vmid("101"))), None);
    }

    #[test]
    fn device_names_fit_and_are_told_apart() {
        for path in ["/var/lib/lxc", "/tmp/a/lib/lxc"] {
            let names = Names::new(path);
            for id in ["100", "999999", "1000000", "9999999", "999999999"] {
                let device = names.device(vmid(id), 31);
                assert!(device.len() <= 15, "{device}");
                assert!(names.is_device(vmid(id), &device), "{device}");
                assert!(!names.is_device(vmid("1010"), &device), "{device}");
                assert!(!names.is_device(vmid(id), &format!("{device}p")), "{device}");
            }
        }
        let names = Names::new("/var/lib/lxc");
        assert_eq!(names.device(vmid("999999999"), 31), "v0000_gjdgxri31");
        assert!(!names.is_device(vmid("101"), "veth1010i0") && !names.is_device(vmid("101"), "veth101i"));
    }
}
