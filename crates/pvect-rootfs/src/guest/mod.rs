//! Files inside the guest: hostname, hosts, resolv.conf, network, passwords.
//!
//! What is written, where and in which form is what the real pct writes (pve-container's `PVE::LXC::Setup`), so a
//! container can move between both. Each distribution has its network in the form of its own tools; `unmanaged` is left
//! alone. A file `.pve-ignore.NAME` beside a file keeps it as it is.

mod assignment;
mod detect;
mod dns;
mod elf;
mod fixup;
mod gentoo;
mod ifcfg;
mod init;
mod interfaces;
mod job;
mod keyfile;
mod networkd;
mod release_files;
mod section;
mod snakeoil;
mod users;
mod versions;
mod wicked;

use std::net::IpAddr;
use std::path::Path;

use pvect_core::property::NetInterface;
use pvect_core::{ContainerConfig, Vmid};

pub use detect::{Detected, detect};
pub use dns::HostDns;
pub use elf::elf_architecture;
pub use job::{Done, HOST_KEYS, Job, Work};
use section::Otherwise;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::rooted::Rooted;
use crate::{Failure, NodeResult};

/// What is to be said about a guest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// A line of the log.
    Line(String),
    /// A warning of the task.
    Warning(String),
}

/// A new host key for sshd.
#[derive(Clone, Serialize, Deserialize)]
pub struct HostKey {
    /// The private key, in the form of OpenSSH.
    pub private: String,
    /// The public key: one line.
    pub public: String,
    /// The line that ssh-keygen prints about it: `SHA256:...` and more.
    pub fingerprint: String,
}

/// A mounted root file system, its distribution and its configuration.
struct Guest<'a> {
    files: Rooted,
    system: Detected,
    config: &'a ContainerConfig,
    name: String,
}

impl<'a> Guest<'a> {
    /// Examines a root file system. Its distribution is the one that is found, whatever the configuration says, unless
    /// that says `unmanaged`. Lines for the log go to `notes`, even when it fails.
    fn new(
        files: Rooted,
        vmid: Vmid,
        config: &'a ContainerConfig,
        notes: &mut Vec<Note>,
    ) -> NodeResult<Self> {
        let system = detect(&files, config.main.options.get("ostype").map(String::as_str), notes)?;
        Ok(Self { files, system, config, name: config.name(vmid) })
    }

    /// Writes a file unless the guest wants to keep it, or it has this content already.
    fn write(&self, path: &str, text: &str, mode: u32) -> NodeResult<()> {
        if self.is_ignored(path) {
            return Ok(());
        }
        let failed = |error| Failure::io("can't write", Path::new(path), &error);
        let is_link = self.files.read_link(path).is_some();
        if !is_link && self.files.read(path).map_err(failed)?.as_deref() == Some(text.as_bytes()) {
            return Ok(());
        }
        self.files.write(path, text.as_bytes(), mode).map_err(failed)
    }

    fn read(&self, path: &str) -> NodeResult<Option<String>> {
        self.files.read_text(path).map_err(|error| Failure::io("can't read", Path::new(path), &error))
    }

    fn remove(&self, path: &str) -> NodeResult<()> {
        if self.is_ignored(path) {
            return Ok(());
        }
        self.files.remove(path).map_err(|error| Failure::io("can't remove", Path::new(path), &error))
    }

    fn symlink(&self, target: &str, path: &str) -> NodeResult<()> {
        if self.is_ignored(path) || self.files.read_link(path).is_some_and(|old| old == Path::new(target)) {
            return Ok(());
        }
        self.files.symlink(target, path).map_err(|error| Failure::io("can't write", Path::new(path), &error))
    }

    fn is_ignored(&self, path: &str) -> bool {
        let (directory, name) = path.rsplit_once('/').unwrap_or(("", path));
        self.files.is_file(format!("{directory}/.pve-ignore.{name}"))
    }

    /// Writes the part of a file that belongs to Proxmox VE.
    fn modify(&self, path: &str, text: &str, otherwise: Otherwise) -> NodeResult<()> {
        match section::set(self.read(path)?.as_deref(), text, otherwise) {
            Some(new) => self.write(path, &new, 0o644),
            None => Ok(()),
        }
    }

    /// The same at a file's beginning; a file that would be empty is removed.
    fn modify_own(&self, path: &str, text: &str) -> NodeResult<()> {
        let old = self.read(path)?;
        if text.is_empty() && old.is_some_and(|old| section::without(&old).trim().is_empty()) {
            return self.remove(path);
        }
        self.modify(path, text, Otherwise::Prepend)
    }

    /// A UUID for the connection of an interface: the same at each start, and a different one for each MAC address.
    fn uuid(&self, net: &NetInterface) -> String {
        let mut hash = Sha256::new();
        hash.update("pvect connection\0");
        hash.update(net.hwaddr.as_deref().unwrap_or(&self.name).to_ascii_lowercase());
        hash.update([0]);
        hash.update(&net.name);
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        // RFC 9562, version 8: the bits are free to choose.
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// The network interfaces, by index. Those that cannot be parsed are left out; the start reports them.
    fn networks(&self) -> Vec<NetInterface> {
        let mut nets: Vec<(u16, NetInterface)> = self
            .config
            .main
            .options
            .iter()
            .filter_map(|(key, value)| {
                let index = key.strip_prefix("net")?.parse().ok()?;
                Some((index, NetInterface::parse(key, value).ok()?))
            })
            .collect();
        nets.sort_by_key(|(index, _)| *index);
        nets.into_iter().map(|(_, net)| net).collect()
    }

    /// Writes what every start needs; returns the notes about it.
    fn each_start(&self, host: &HostDns) -> NodeResult<Vec<Note>> {
        if self.system.is_unmanaged() {
            return Ok(Vec::new());
        }
        init::setup(self)?;
        self.network(host)?;
        dns::set_hostname(self, host)?;
        dns::set_resolver(self, host)?;
        Ok(init::set_timezone(self)?.into_iter().collect())
    }

    /// Writes the network configuration in the form of the distribution's own tools.
    fn network(&self, host: &HostDns) -> NodeResult<()> {
        let system = &self.system;
        match system.ostype.as_str() {
            "debian" | "devuan" | "alpine" => interfaces::setup(self),
            "ubuntu" if !system.at_least(17, 10) => interfaces::setup(self),
            "ubuntu" | "archlinux" | "nixos" => networkd::setup(self),
            "openeuler" => keyfile::setup(self, host),
            "centos" if system.at_least(10, 0) => keyfile::setup(self, host),
            "centos" => ifcfg::setup(self, host),
            "fedora" => {
                let scripts = self.files.is_file("/etc/sysconfig/network") && !system.at_least(28, 0);
                if scripts || !system.at_least(25, 0) {
                    ifcfg::setup(self, host)?;
                }
                if system.at_least(25, 0) { networkd::setup(self) } else { Ok(()) }
            }
            "opensuse" => wicked::setup(self),
            "gentoo" => gentoo::setup(self),
            _ => Ok(()),
        }
    }
}

/// Returns whether an address lies in the network of another; link-local ones (IPv6) always do.
pub fn is_in_network(address: IpAddr, other: IpAddr, prefix: u8) -> bool {
    interfaces::reachable(address, other, prefix)
}

#[cfg(test)]
mod found;
#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
