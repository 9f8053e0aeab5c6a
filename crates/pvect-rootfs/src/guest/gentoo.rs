//! `/etc/conf.d/net` and `/etc/conf.d/hostname`, for Gentoo's netifrc.
//!
//! Source: net.example of netifrc; which variables are written is what Proxmox VE writes.

use std::fmt::Write as _;

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};

use super::Guest;
use super::interfaces::is_far;
use super::section::Otherwise;
use crate::NodeResult;

/// Writes the interfaces and links their services.
pub fn setup(guest: &Guest<'_>) -> NodeResult<()> {
    let nets = guest.networks();
    let mut text = "modules=\"$modules ifconfig\"\n".to_owned();
    for net in &nets {
        let (config, routes) = lines(net);
        if !config.is_empty() {
            let _ = writeln!(text, "config_{}=\"{}\"", net.name, config.join("\n"));
        }
        if !routes.is_empty() {
            let _ = writeln!(text, "routes_{}=\"{}\"", net.name, routes.join("\n"));
        }
        if !config.is_empty() || !routes.is_empty() {
            let link = format!("/etc/init.d/net.{}", net.name);
            if guest.files.lstat(&link).is_ok_and(|found| found.is_none()) {
                guest.symlink("net.lo", &link)?;
            }
        }
    }
    guest.modify("/etc/conf.d/net", &text, Otherwise::Replace)
}

fn lines(net: &NetInterface) -> (Vec<String>, Vec<String>) {
    let (mut config, mut routes) = (Vec::new(), Vec::new());
    let name = &net.name;
    match net.ip {
        Some(Ipv4Config::Dhcp) => config.push("dhcp".to_owned()),
        Some(Ipv4Config::Static(address, prefix)) => config.push(format!("{address}/{prefix}")),
        Some(Ipv4Config::Manual) | None => {}
    }
    if let Some(gateway) = net.gw {
        if is_far(net, gateway.into()) {
            routes.push(format!("-host {gateway} dev {name}"));
        }
        routes.push(format!("default gw {gateway}"));
    }
    match net.ip6 {
        // netifrc cannot use DHCPv6 alone.
        Some(Ipv6Config::Dhcp | Ipv6Config::Manual) | None => {}
        Some(Ipv6Config::Auto) => config.push("auto".to_owned()),
        Some(Ipv6Config::Static(address, prefix)) => config.push(format!("{address}/{prefix}")),
    }
    if let Some(gateway) = net.gw6 {
        if is_far(net, gateway.into()) {
            routes.push(format!("-6 -host {gateway} dev {name}"));
        }
        routes.push(format!("-6 default gw {gateway}"));
    }
    (config, routes)
}
