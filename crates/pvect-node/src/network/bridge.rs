//! Bridges in the kernel: whose they are, made and removed.
//!
//! A bridge of ours is known by its MAC address, which it has from the moment it is there: whatever kills us, no
//! bridge is left that nobody knows. Its alias tells people whose it is.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::settings::Network;
use super::subnet::{self, Net4, Route};
use crate::tool::Tool;
use crate::{Failure, NodeResult};

/// The prefix of the MAC addresses of all standalone nodes' bridges: locally administered, then `pv`.
const MARK: &str = "02:70:76:";

/// Where the kernel's files are; parameters, so that tests need not read the host's.
#[derive(Debug, Clone)]
pub struct Kernel {
    /// `/sys/class/net`.
    pub net: PathBuf,
    /// `/proc`.
    pub proc: PathBuf,
}

impl Default for Kernel {
    fn default() -> Self {
        Self { net: "/sys/class/net".into(), proc: "/proc".into() }
    }
}

/// Who has a device name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner {
    /// There is no such device.
    Nobody,
    /// A bridge that this node made.
    Us,
    /// Something else, perhaps a bridge of another node.
    Other,
}

/// The MAC address of a node's bridge.
pub(super) fn mark(root: &Path, bridge: &str) -> String {
    let mut hash = Sha256::new();
    hash.update(root.as_os_str().as_encoded_bytes());
    hash.update([0]);
    hash.update(bridge);
    let [a, b, c, ..] = <[u8; 32]>::from(hash.finalize());
    format!("{MARK}{a:02x}:{b:02x}:{c:02x}")
}

impl Kernel {
    fn file(&self, device: &str, name: &str) -> Option<String> {
        Some(fs::read_to_string(self.net.join(device).join(name)).ok()?.trim().to_owned())
    }

    /// Returns whose a device is.
    pub fn owner(&self, root: &Path, bridge: &str) -> Owner {
        match self.file(bridge, "address") {
            None if !self.net.join(bridge).exists() => Owner::Nobody,
            Some(address) if self.is_bridge(bridge) && address == mark(root, bridge) => Owner::Us,
            _ => Owner::Other,
        }
    }

    /// Returns whether a device is a bridge.
    pub fn is_bridge(&self, device: &str) -> bool {
        self.net.join(device).join("bridge").is_dir()
    }

    /// Returns the bridges of all standalone nodes of this machine.
    pub fn marked(&self) -> Vec<String> {
        let names = fs::read_dir(&self.net).into_iter().flatten().flatten();
        names
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| self.file(name, "address").is_some_and(|address| address.starts_with(MARK)))
            .filter(|name| self.is_bridge(name))
            .collect()
    }

    /// Returns the devices in a bridge.
    pub fn ports(&self, bridge: &str) -> Vec<String> {
        let entries = fs::read_dir(self.net.join(bridge).join("brif")).into_iter().flatten().flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Returns whether this kernel's bridges know VLANs.
    pub fn knows_vlans(&self, bridge: &str) -> bool {
        self.net.join(bridge).join("bridge/vlan_filtering").exists()
    }

    /// Keeps a bridge from learning from frames to 01:80:c2:00:00:0x. LLDP frames do not pass the packet filter, so one
    /// with a forged source address would redirect another container's traffic. Source: `br_handle_frame` of Linux.
    ///
    /// # Errors
    /// When the kernel does not support this (before 4.20).
    pub fn learn_nothing_local(&self, bridge: &str) -> NodeResult<()> {
        let path = self.net.join(bridge).join("bridge/no_linklocal_learn");
        fs::write(&path, "1\n").map_err(|error| Failure::io("can't write", &path, &error))
    }

    /// The routes to networks.
    pub fn routes(&self) -> Vec<Route> {
        subnet::routes(&fs::read_to_string(self.proc.join("net/route")).unwrap_or_default())
    }

    /// Returns whether a bridge has this network and its link is up.
    pub fn has(&self, bridge: &str, net: &Net4) -> bool {
        self.routes().iter().any(|route| route.device == bridge && route.is(net))
    }
}

fn ip(words: &[&str]) -> NodeResult<()> {
    Tool::new("ip", "iproute2").args(words).run()
}

/// Makes the bridge, without an address and with its link down.
pub fn make(kernel: &Kernel, root: &Path, network: &Network) -> NodeResult<()> {
    let name = network.bridge.as_str();
    ip(&["link", "add", "name", name, "address", &mark(root, name), "type", "bridge"])?;
    let alias = format!("pvect {}", root.display());
    // The alias is for people to read; a path that is too long is left out.
    let _ = ip(&["link", "set", "dev", name, "alias", &alias]);
    if !network.vlan_aware {
        return Ok(());
    }
    let aware = if kernel.knows_vlans(name) {
        ip(&["link", "set", "dev", name, "type", "bridge", "vlan_filtering", "1"])
    } else {
        Err(no_vlans())
    };
    aware.inspect_err(|_| drop(remove(name)))
}

/// The failure of a kernel without VLANs in bridges.
pub fn no_vlans() -> Failure {
    Failure::new("this kernel's bridges do not support VLANs (CONFIG_BRIDGE_VLAN_FILTERING is off)")
}

/// Gives the bridge its addresses and sets its link up.
pub fn configure(network: &Network, net: &Net4) -> NodeResult<()> {
    let name = network.bridge.as_str();
    ip(&["address", "replace", &net.to_string(), "brd", "+", "dev", name])?;
    if let Some(six) = network.net6() {
        ip(&["-6", "address", "replace", &six.to_string(), "dev", name, "nodad"])?;
    }
    ip(&["link", "set", "dev", name, "up"])
}

/// Removes the bridge.
pub fn remove(bridge: &str) -> NodeResult<()> {
    ip(&["link", "delete", "dev", bridge, "type", "bridge"])
}

/// Checks that no other device leads to addresses of the network.
///
/// # Errors
/// Names the network, and the other device and its network.
pub fn check_free(kernel: &Kernel, bridge: &str, net: &Net4) -> NodeResult<()> {
    let routes = kernel.routes();
    match routes.iter().find(|route| route.device != bridge && route.overlaps(net)) {
        None => Ok(()),
        Some(other) => Err(Failure::new(format!(
            "the network {} of bridge '{bridge}' overlaps {} on '{}': choose another one with `pvect node network up \
             --bridge {bridge} --address ADDRESS/24`",
            net.network(),
            other.network(),
            other.device
        ))),
    }
}

/// Chooses a free network.
///
/// # Errors
/// When there is none.
pub fn choose(kernel: &Kernel, root: &Path, bridge: &str, taken: &[Ipv4Addr]) -> NodeResult<Net4> {
    let mark = mark(root, bridge);
    let seed = u16::from_str_radix(&mark[mark.len() - 5..].replace(':', ""), 16).unwrap_or(0);
    subnet::choose(seed, &kernel.routes(), taken).ok_or_else(|| {
        Failure::new(format!(
            "no network of 10.64.0.0/10 is free for bridge '{bridge}': name one with `pvect node network up --bridge \
             {bridge} --address ADDRESS/24`"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bridge_is_known_by_its_address() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Kernel { net: dir.path().join("net"), proc: dir.path().join("proc") };
        let root = Path::new("/var/lib/pvect");
        let device = |name: &str, address: &str, is_bridge: bool| {
            fs::create_dir_all(kernel.net.join(name)).unwrap();
            fs::write(kernel.net.join(name).join("address"), format!("{address}\n")).unwrap();
            if is_bridge {
                fs::create_dir_all(kernel.net.join(name).join("bridge")).unwrap();
                fs::create_dir_all(kernel.net.join(name).join("brif/veth101i0")).unwrap();
            }
        };
        device("vmbr0", &mark(root, "vmbr0"), true);
        device("vmbr1", &mark(root, "vmbr0"), true);
        device("vmbr2", "aa:bb:cc:00:11:22", true);
        device("vmbr3", &mark(root, "vmbr3"), false);
        assert_eq!(kernel.owner(root, "vmbr0"), Owner::Us);
        assert_eq!(kernel.owner(Path::new("/tmp/other"), "vmbr0"), Owner::Other);
        for name in ["vmbr1", "vmbr2", "vmbr3"] {
            assert_eq!(kernel.owner(root, name), Owner::Other, "{name}");
        }
        assert_eq!(kernel.owner(root, "vmbr4"), Owner::Nobody);
        let mut marked = kernel.marked();
        marked.sort();
        assert_eq!(marked, ["vmbr0", "vmbr1"]);
        assert_eq!(kernel.ports("vmbr0"), ["veth101i0"]);
        assert!(!kernel.knows_vlans("vmbr0"));
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn a_network_that_is_taken_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Kernel { net: dir.path().to_owned(), proc: dir.path().to_owned() };
        fs::create_dir(dir.path().join("net")).unwrap();
        let line = "Iface Destination\neth0\t0001010A\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n";
        fs::write(dir.path().join("net/route"), line).unwrap();
        let net = Net4::parse("10.1.1.1/24").unwrap();
        assert_eq!(
            check_free(&kernel, "vmbr0", &net).unwrap_err().text,
            "the network 10.1.1.0/24 of bridge 'vmbr0' overlaps 10.1.1.0/24 on 'eth0': choose another one with \
             `pvect node network up --bridge vmbr0 --address ADDRESS/24`"
        );
        assert!(check_free(&kernel, "eth0", &net).is_ok());
        assert!(kernel.has("eth0", &net) && !kernel.has("vmbr0", &net));
        let root = Path::new("/a");
        assert_eq!(choose(&kernel, root, "b", &[]).unwrap(), choose(&kernel, root, "b", &[]).unwrap());
        assert_ne!(choose(&kernel, root, "b", &[]).unwrap(), choose(&kernel, root, "c", &[]).unwrap());
    }
}
