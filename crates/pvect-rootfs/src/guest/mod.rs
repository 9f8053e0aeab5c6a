//! Files inside the guest: hostname, hosts, resolv.conf, network, passwords.
//!
//! What is written, where and in which form is what the real pct writes (pve-container's `PVE::LXC::Setup`), so a
//! container can move between both. Each distribution has its network in the form of its own tools; `unmanaged` is left
//! alone. A file `.pve-ignore.NAME` beside a file keeps it as it is.

mod detect;
mod dns;
mod fixup;
mod gentoo;
mod ifcfg;
mod init;
mod interfaces;
mod keyfile;
mod networkd;
mod section;
mod users;
mod wicked;

use std::net::IpAddr;
use std::path::Path;

use pvect_core::property::NetInterface;
use pvect_core::{ContainerConfig, Vmid};

pub use detect::{Detected, architecture, detect, elf_architecture};
pub use dns::HostDns;
use section::Otherwise;

use sha2::{Digest, Sha256};

use crate::idmap::IdMap;
use crate::rooted::Rooted;
use crate::{Failure, NodeResult};

/// A new host key for sshd.
#[derive(Clone)]
pub struct HostKey {
    /// The private key, in the form of OpenSSH.
    pub private: String,
    /// The public key: one line.
    pub public: String,
    /// The line that ssh-keygen shows of it: `SHA256:...` and more.
    pub fingerprint: String,
}

/// Makes a host key of a kind (`rsa`, `ecdsa`, `ed25519`) with a comment, outside of the guest.
pub type MakeHostKey<'a> = dyn Fn(&str, &str) -> NodeResult<HostKey> + 'a;

/// What a create sets up once.
pub struct FirstSetup<'a> {
    /// The password of root, plain or as a crypt(5) hash; none locks it.
    pub password: Option<&'a str>,
    /// Public keys for root, one a line.
    pub ssh_keys: Option<&'a str>,
    /// Makes the host keys of a guest that has `/etc/ssh`.
    pub make_host_key: &'a MakeHostKey<'a>,
}

/// A mounted root file system, its distribution and its configuration.
struct Guest<'a> {
    files: Rooted,
    system: Detected,
    config: &'a ContainerConfig,
    name: String,
}

impl<'a> Guest<'a> {
    fn open(root: &Path, vmid: Vmid, config: &'a ContainerConfig) -> NodeResult<Self> {
        let files = Rooted::open(root, IdMap::of(config).root())
            .map_err(|error| Failure::io("can't open the root file system", root, &error))?;
        let system = match config.main.options.get("ostype") {
            Some(ostype) => Detected::known(&files, ostype),
            None => detect(&files).0,
        };
        Ok(Self { files, system, config, name: config.name(vmid) })
    }

    /// Writes a file unless it is to be kept or already has this content.
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

    /// The same at a file's beginning; a file that would hold nothing is removed.
    fn modify_own(&self, path: &str, text: &str) -> NodeResult<()> {
        let old = self.read(path)?;
        if text.is_empty() && old.is_some_and(|old| section::without(&old).trim().is_empty()) {
            return self.remove(path);
        }
        self.modify(path, text, Otherwise::Prepend)
    }

    /// An identity for the connection of an interface: the same at each start, another one for each MAC address.
    fn uuid(&self, net: &NetInterface) -> String {
        let mut hash = Sha256::new();
        hash.update("pvect connection\0");
        hash.update(net.hwaddr.as_deref().unwrap_or(&self.name).to_ascii_lowercase());
        hash.update([0]);
        hash.update(&net.name);
        let mut bytes = [0_u8; 16];
        bytes.copy_from_slice(&hash.finalize()[..16]);
        // RFC 9562, version 8: made as one likes.
        bytes[6] = bytes[6] & 0x0f | 0x80;
        bytes[8] = bytes[8] & 0x3f | 0x80;
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// The network interfaces, by index; those that cannot be parsed are left to the start to complain about.
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

    /// What belongs to every start.
    fn each_start(&self, host: &HostDns) -> NodeResult<()> {
        if self.system.ostype == "unmanaged" {
            return Ok(());
        }
        init::setup(self)?;
        self.network(host)?;
        dns::set_hostname(self, host)?;
        dns::set_resolver(self, host)?;
        init::set_timezone(self)
    }

    /// The network in the form of the distribution's own tools.
    fn network(&self, host: &HostDns) -> NodeResult<()> {
        let system = &self.system;
        match system.ostype.as_str() {
            "debian" | "devuan" | "alpine" => interfaces::setup(self),
            "ubuntu" if !system.at_least(17, 10) => interfaces::setup(self),
            "ubuntu" | "archlinux" | "nixos" => networkd::setup(self),
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

/// Writes what belongs to every start (hostname, hosts, resolv.conf, network) into a mounted root file system, by
/// `ostype`. No symlink inside leads out of `root`; files are owned by the container's root. `dns` is what a container
/// without name servers or search domains of its own gets instead of the host's.
///
/// # Errors
/// When a file cannot be written.
pub fn prepare_start(
    root: &Path,
    vmid: Vmid,
    config: &ContainerConfig,
    dns: Option<&HostDns>,
) -> NodeResult<()> {
    let guest = Guest::open(root, vmid, config)?;
    match dns {
        Some(dns) => guest.each_start(dns),
        None => guest.each_start(&HostDns::of_this_host()),
    }
}

/// Removes from the mounted root file system of a clone what each machine must have its own of.
///
/// # Errors
/// When a file cannot be removed.
pub fn after_clone(root: &Path, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    let guest = Guest::open(root, vmid, config)?;
    if guest.system.ostype == "unmanaged" { Ok(()) } else { init::forget_identity(&guest) }
}

/// Writes the network of a running container into its root file system (`/proc/<pid>/root`), for the guest's next start
/// of it. `dns` as in [`prepare_start`].
///
/// # Errors
/// When a file cannot be written.
pub fn write_network(
    root: &Path,
    vmid: Vmid,
    config: &ContainerConfig,
    dns: Option<&HostDns>,
) -> NodeResult<()> {
    let guest = Guest::open(root, vmid, config)?;
    match dns {
        Some(dns) => guest.network(dns),
        None => guest.network(&HostDns::of_this_host()),
    }
}

/// Returns whether an address lies in the network of another; link-local ones (IPv6) always do.
pub fn is_in_network(address: IpAddr, other: IpAddr, prefix: u8) -> bool {
    interfaces::reachable(address, other, prefix)
}

/// Sets up a root file system that was just unpacked: what is unique to each container, root's password and keys,
/// and what belongs to every start. `log` gets pct's lines.
///
/// # Errors
/// When a file cannot be written.
pub fn first_setup(
    root: &Path,
    vmid: Vmid,
    config: &ContainerConfig,
    first: &FirstSetup<'_>,
    log: &mut dyn FnMut(&str),
) -> NodeResult<()> {
    let guest = Guest::open(root, vmid, config)?;
    if guest.system.ostype != "unmanaged" {
        init::forget_identity(&guest)?;
        fixup::after_unpacking(&guest)?;
    }
    if guest.system.ostype != "unmanaged" || first.password.is_some() {
        users::set_password(&guest, "root", first.password)?;
    }
    if let Some(keys) = first.ssh_keys {
        users::set_ssh_keys(&guest, keys)?;
    }
    guest.each_start(&HostDns::of_this_host())?;
    if guest.system.ostype != "unmanaged" {
        users::renew_host_keys(&guest, first.make_host_key, log)?;
    }
    Ok(())
}

#[cfg(test)]
mod golden;
#[cfg(test)]
mod tests;
