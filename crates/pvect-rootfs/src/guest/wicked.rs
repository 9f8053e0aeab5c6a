//! `/etc/sysconfig/network/ifcfg-NAME` and `ifroute-NAME`, for openSUSE's wicked.
//!
//! Source: ifcfg(5) and ifroute(5) of wicked; which keys are written is what Proxmox VE writes.

use std::fmt::Write as _;

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};

use super::interfaces::reachable;
use super::{Guest, networkd};
use crate::NodeResult;

const DIRECTORY: &str = "/etc/sysconfig/network";

/// Writes the files of each interface; if systemd-networkd is installed, also its files.
pub fn setup(guest: &Guest<'_>) -> NodeResult<()> {
    for net in guest.networks() {
        let Some(text) = interface(&net) else { continue };
        guest.write(&format!("{DIRECTORY}/ifcfg-{}", net.name), &text, 0o644)?;
        guest.modify_own(&format!("{DIRECTORY}/ifroute-{}", net.name), &routes(&net))?;
    }
    if guest.files.is_file("/usr/lib/systemd/systemd-networkd") {
        networkd::setup(guest)?;
    }
    Ok(())
}

/// `None` for an interface that configures itself (`ip6=auto` alone).
fn interface(net: &NetInterface) -> Option<String> {
    let four = net.ip.filter(|ip| *ip != Ipv4Config::Manual);
    let six = net.ip6.filter(|ip| *ip != Ipv6Config::Manual);
    let protocol = match (four == Some(Ipv4Config::Dhcp), six == Some(Ipv6Config::Dhcp)) {
        (false, false) => "static",
        (true, false) => "dhcp4",
        (false, true) => "dhcp6",
        (true, true) => "dhcp",
    };
    let mut addresses = Vec::new();
    if let Some(Ipv4Config::Static(address, prefix)) = four {
        addresses.push(format!("{address}/{prefix}"));
    }
    if let Some(Ipv6Config::Static(address, prefix)) = six {
        addresses.push(format!("{address}/{prefix}"));
    }
    let configured = four.is_some() || six.is_some();
    if configured && protocol == "static" && addresses.is_empty() {
        return None;
    }
    let mode = if configured { "onboot" } else { "manual" };
    let mut text = format!("STARTMODE={mode}\nBOOTPROTO={protocol}\n");
    match addresses.as_slice() {
        [] => {}
        [one] => {
            let _ = writeln!(text, "IPADDR={one}");
        }
        several => {
            for (index, address) in several.iter().enumerate() {
                let _ = writeln!(text, "IPADDR_{}={address}", index + 1);
            }
        }
    }
    Some(text)
}

fn routes(net: &NetInterface) -> String {
    let name = &net.name;
    let mut text = String::new();
    if let (Some(Ipv4Config::Static(address, prefix)), Some(gateway)) = (net.ip, net.gw) {
        if !reachable(gateway.into(), address.into(), prefix) {
            let _ = writeln!(text, "{gateway} 0.0.0.0 255.255.255.255 {name}");
        }
        let _ = writeln!(text, "default {gateway} 0.0.0.0 {name}");
    }
    if let (Some(Ipv6Config::Static(address, prefix)), Some(gateway)) = (net.ip6, net.gw6) {
        if !reachable(gateway.into(), address.into(), prefix) {
            let _ = writeln!(text, "{gateway}/128 - - {name}");
        }
        let _ = writeln!(text, "default {gateway} - {name}");
    }
    text
}
