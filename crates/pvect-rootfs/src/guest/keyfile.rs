//! `/etc/NetworkManager/system-connections/NAME.nmconnection`, for CentOS and its relatives from version 10.
//!
//! Source: nm-settings-keyfile(5); which keys are written is what Proxmox VE writes.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};

use super::interfaces::reachable;
use super::{Guest, HostDns, dns};
use crate::NodeResult;

const DIRECTORY: &str = "/etc/NetworkManager/system-connections";

/// Writes one file for each interface. NetworkManager takes only files that root alone can read.
pub fn setup(guest: &Guest<'_>, host: &HostDns) -> NodeResult<()> {
    let (search, servers) = dns::lookup(guest, host);
    for net in guest.networks() {
        let text = connection(&net, &guest.uuid(&net), &search, &servers);
        guest.write(&format!("{DIRECTORY}/{}.nmconnection", net.name), &text, 0o600)?;
    }
    Ok(())
}

fn connection(net: &NetInterface, uuid: &str, search: &[String], servers: &[String]) -> String {
    let name = &net.name;
    let mut text =
        format!("[connection]\nid={name}\nuuid={uuid}\ntype=ethernet\ninterface-name={name}\n[ipv4]\n");
    let four: Vec<&str> =
        servers.iter().map(String::as_str).filter(|server| server.parse::<Ipv4Addr>().is_ok()).collect();
    let six: Vec<&str> =
        servers.iter().map(String::as_str).filter(|server| server.parse::<Ipv6Addr>().is_ok()).collect();
    match net.ip {
        Some(Ipv4Config::Dhcp) => text += "method=auto\n",
        Some(Ipv4Config::Static(address, prefix)) => {
            let _ = write!(text, "method=manual\naddresses={address}/{prefix}\n");
            if let Some(gateway) = net.gw {
                let _ = writeln!(text, "gateway={gateway}");
                if !reachable(gateway.into(), address.into(), prefix) {
                    let _ = writeln!(text, "routes={gateway}");
                }
            }
        }
        Some(Ipv4Config::Manual) | None => text += "method=disabled\n",
    }
    if !matches!(net.ip, Some(Ipv4Config::Manual) | None) {
        put_names(&mut text, &four, search);
    }
    text += "[ipv6]\n";
    match net.ip6 {
        Some(Ipv6Config::Auto | Ipv6Config::Dhcp) => text += "method=auto\n",
        Some(Ipv6Config::Static(address, prefix)) => {
            let _ = write!(text, "method=manual\naddress={address}/{prefix}\n");
            if let Some(gateway) = net.gw6 {
                let key =
                    if reachable(gateway.into(), address.into(), prefix) { "gateway" } else { "routes" };
                let _ = writeln!(text, "{key}={gateway}");
            }
        }
        Some(Ipv6Config::Manual) | None => text += "method=disabled\n",
    }
    if !matches!(net.ip6, Some(Ipv6Config::Manual) | None) {
        put_names(&mut text, &six, search);
    }
    text
}

fn put_names(text: &mut String, servers: &[&str], search: &[String]) {
    if servers.is_empty() {
        return;
    }
    let _ = writeln!(text, "dns={}", servers.join(";"));
    if !search.is_empty() {
        let _ = writeln!(text, "dns-search={}", search.join(";"));
    }
}
