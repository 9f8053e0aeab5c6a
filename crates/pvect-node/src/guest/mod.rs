//! Files inside the guest: hostname, hosts, resolv.conf, network, passwords.
//!
//! What is written, where and in which form is what the real pct writes (pve-container's `PVE::LXC::Setup`), so a
//! container can move between both. Debian, Devuan, Ubuntu and Alpine are set up whole; other known distributions
//! get hostname, hosts and resolv.conf, and those with systemd-networkd their network; `unmanaged` is left alone.
//! A file `.pve-ignore.NAME` beside a file keeps it as it is.

mod detect;
mod dns;
mod init;
mod interfaces;
mod networkd;
mod section;
mod users;

use std::path::Path;

use pvect_core::property::NetInterface;
use pvect_core::{ContainerConfig, Vmid};

pub use detect::{Detected, architecture, detect, elf_architecture};
pub use dns::HostDns;

use crate::idmap::IdMap;
use crate::rooted::Rooted;
use crate::{Failure, NodeResult};

/// What a create sets up once.
#[derive(Default)]
pub struct FirstSetup<'a> {
    /// The password of root, plain or as a crypt(5) hash; none locks it.
    pub password: Option<&'a str>,
    /// Public keys for root, one a line.
    pub ssh_keys: Option<&'a str>,
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
        match self.system.ostype.as_str() {
            "debian" | "devuan" | "alpine" => interfaces::setup(self)?,
            "ubuntu" if self.system.at_least(17, 10) => networkd::setup(self)?,
            "ubuntu" => interfaces::setup(self)?,
            "archlinux" | "fedora" | "opensuse" if self.files.is_dir("/etc/systemd") => {
                networkd::setup(self)?;
            }
            _ => {}
        }
        dns::set_hostname(self, host)?;
        dns::set_resolver(self, host)?;
        init::set_timezone(self)
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
        init::after_unpacking(&guest)?;
    }
    if guest.system.ostype != "unmanaged" || first.password.is_some() {
        users::set_password(&guest, "root", first.password)?;
    }
    if let Some(keys) = first.ssh_keys {
        users::set_ssh_keys(&guest, keys)?;
    }
    guest.each_start(&HostDns::of_this_host())?;
    if guest.system.ostype != "unmanaged" {
        users::renew_host_keys(&guest, log)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
