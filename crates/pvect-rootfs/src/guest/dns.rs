//! Hostname, `/etc/hosts`, `/etc/resolv.conf`.

use std::path::Path;

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};
use serde::{Deserialize, Serialize};

use super::Guest;
use super::assignment::assign;
use super::section::{self, Otherwise};
use crate::NodeResult;

/// The name servers and search domains of the host: the default for containers that do not set their own.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HostDns {
    /// Addresses, at most three.
    pub servers: Vec<String>,
    /// Search domains.
    pub search: Vec<String>,
}

impl HostDns {
    /// Reads those of the host; if systemd-resolved answers on a loopback address, the servers that it uses.
    pub fn of_this_host() -> Self {
        let own = Self::read(Path::new("/etc/resolv.conf"));
        if own.servers.iter().all(|server| server.starts_with("127.")) && !own.servers.is_empty() {
            let behind = Self::read(Path::new("/run/systemd/resolve/resolv.conf"));
            if !behind.servers.is_empty() {
                return behind;
            }
        }
        own
    }

    fn read(path: &Path) -> Self {
        Self::parse(&std::fs::read_to_string(path).unwrap_or_default())
    }

    /// Parses a resolv.conf(5).
    pub fn parse(text: &str) -> Self {
        let mut dns = Self::default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            match words.next() {
                Some("nameserver") if dns.servers.len() < 3 => {
                    dns.servers.extend(words.next().map(str::to_owned));
                }
                Some("search" | "domain") => dns.search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        dns
    }
}

fn list(text: &str) -> Vec<String> {
    text.split([',', ';', ' ', '\t', '\0']).filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// Search domains and name servers of a container.
pub(super) fn lookup(guest: &Guest<'_>, host: &HostDns) -> (Vec<String>, Vec<String>) {
    let own = |key: &str| guest.config.main.options.get(key).map(|text| list(text));
    (
        own("searchdomain").unwrap_or_else(|| host.search.clone()),
        own("nameserver").unwrap_or_else(|| host.servers.clone()),
    )
}

/// Writes `/etc/resolv.conf`.
pub fn set_resolver(guest: &Guest<'_>, host: &HostDns) -> NodeResult<()> {
    let (search, servers) = lookup(guest, host);
    let mut text = String::new();
    if !search.is_empty() {
        text += &format!("search {}\n", search.join(" "));
    }
    for server in servers {
        text += &format!("nameserver {server}\n");
    }
    guest.modify("/etc/resolv.conf", &text, Otherwise::Replace)
}

/// Writes `/etc/hostname` and the container's line of `/etc/hosts`.
pub fn set_hostname(guest: &Guest<'_>, host: &HostDns) -> NodeResult<()> {
    let short = guest.name.split('.').next().unwrap_or(&guest.name).to_owned();
    let (search, _) = lookup(guest, host);
    let names = if guest.name.contains('.') {
        format!("{} {short}", guest.name)
    } else {
        let full = search.iter().map(|domain| format!("{}.{domain} ", guest.name));
        full.collect::<String>() + &guest.name
    };
    let others = section::without(&guest.read("/etc/hosts")?.unwrap_or_default());
    let has = |address: &str| {
        others.lines().any(|line| {
            line.split_ascii_whitespace().next() == Some(address) && line.trim().contains([' ', '\t'])
        })
    };
    let mut text = String::new();
    for address in ["127.0.0.1", "::1"] {
        if !has(address) {
            text += &format!("{address} localhost.localnet localhost\n");
        }
    }
    match primary_address(guest) {
        Some(address) => text += &format!("{address} {names}\n"),
        None if short == "localhost" => text += &format!("127.0.1.1 {short}\n"),
        None => text += &format!("127.0.1.1 {names}\n"),
    }
    guest.modify("/etc/hosts", &text, Otherwise::Append)?;
    match guest.system.ostype.as_str() {
        // These want the full name, with the domain.
        "centos" | "fedora" | "openeuler" => {
            guest.write("/etc/hostname", &format!("{}\n", guest.name), 0o644)?;
            let path = "/etc/sysconfig/network";
            match guest.read(path)? {
                Some(old) => guest.write(path, &assign(&old, "HOSTNAME", &guest.name), 0o644),
                None => Ok(()),
            }
        }
        "gentoo" => guest.write("/etc/conf.d/hostname", &format!("hostname=\"{short}\"\n"), 0o644),
        _ => guest.write("/etc/hostname", &format!("{short}\n"), 0o644),
    }
}

/// The fixed address of net0, IPv4 before IPv6.
fn primary_address(guest: &Guest<'_>) -> Option<String> {
    let net = NetInterface::parse("net0", guest.config.main.options.get("net0")?).ok()?;
    match (net.ip, net.ip6) {
        (Some(Ipv4Config::Static(address, _)), _) => Some(address.to_string()),
        (_, Some(Ipv6Config::Static(address, _))) => Some(address.to_string()),
        _ => None,
    }
}
