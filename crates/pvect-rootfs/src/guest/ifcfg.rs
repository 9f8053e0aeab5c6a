//! `/etc/sysconfig/network-scripts`, for CentOS and its relatives before version 10 and Fedora before 28.
//!
//! Source: sysconfig.txt of initscripts; which keys are written is what Proxmox VE writes.

use std::fmt::Write as _;

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};

use super::assignment::assign;
use super::interfaces::{netmask, reachable};
use super::{Guest, HostDns, dns};
use crate::NodeResult;

const DIRECTORY: &str = "/etc/sysconfig/network-scripts";
const NETWORK: &str = "/etc/sysconfig/network";

/// Writes `ifcfg-NAME`, `route-NAME` and `route6-NAME` of each interface, and switches networking on.
pub fn setup(guest: &Guest<'_>, host: &HostDns) -> NodeResult<()> {
    let nets = guest.networks();
    for net in &nets {
        let Some(text) = interface(guest, host, net) else { continue };
        let name = &net.name;
        guest.write(&format!("{DIRECTORY}/ifcfg-{name}"), &text, 0o644)?;
        let (four, six) = routes(net);
        guest.modify_own(&format!("{DIRECTORY}/route-{name}"), &four)?;
        guest.modify_own(&format!("{DIRECTORY}/route6-{name}"), &six)?;
    }
    let Some(mut text) = guest.read(NETWORK)? else { return Ok(()) };
    for (wanted, key) in [
        (nets.iter().any(|net| net.ip.is_some()), "NETWORKING"),
        (nets.iter().any(|net| net.ip6.is_some()), "NETWORKING_IPV6"),
    ] {
        if wanted {
            text = assign(&text, key, "yes");
        }
    }
    guest.write(NETWORK, &text, 0o644)
}

/// `None` for an interface without any address settings.
fn interface(guest: &Guest<'_>, host: &HostDns, net: &NetInterface) -> Option<String> {
    let mut text = String::new();
    let mut protocol = "";
    match net.ip {
        Some(Ipv4Config::Dhcp) => protocol = "dhcp",
        Some(Ipv4Config::Static(address, prefix)) => {
            protocol = "none";
            let _ = write!(text, "IPADDR={address}\nNETMASK={}\n", netmask(prefix));
            if let Some(gateway) = net.gw {
                let _ = writeln!(text, "GATEWAY={gateway}");
            }
        }
        Some(Ipv4Config::Manual) | None => {}
    }
    if let Some(six) = net.ip6.filter(|six| *six != Ipv6Config::Manual) {
        if protocol.is_empty() {
            protocol = "none";
        }
        text += "IPV6INIT=yes\n";
        match six {
            Ipv6Config::Auto => text += "IPV6_AUTOCONF=yes\n",
            Ipv6Config::Dhcp => text += "DHCPV6C=yes\n",
            Ipv6Config::Static(address, prefix) => {
                let _ = write!(text, "IPV6ADDR={address}/{prefix}\nIPV6_AUTOCONF=no\n");
                if let Some(gateway) = net.gw6.filter(|way| reachable((*way).into(), address.into(), prefix))
                {
                    let _ = writeln!(text, "IPV6_DEFAULTGW={gateway}");
                }
            }
            Ipv6Config::Manual => {}
        }
    }
    let (search, servers) = dns::lookup(guest, host);
    for (index, server) in servers.iter().enumerate() {
        let _ = writeln!(text, "DNS{}={server}", index + 1);
    }
    match search.as_slice() {
        [] => {}
        [one] => {
            let _ = writeln!(text, "DOMAIN={one}");
        }
        // A shell reads the file; Proxmox VE leaves the quotes out.
        several => {
            let _ = writeln!(text, "DOMAIN=\"{}\"", several.join(" "));
        }
    }
    if text.is_empty() && protocol.is_empty() {
        return None;
    }
    let name = &net.name;
    Some(format!("DEVICE={name}\nONBOOT=yes\nUUID={}\nBOOTPROTO={protocol}\n{text}", guest.uuid(net)))
}

/// Routes to gateways outside of the interface's network, IPv4 and IPv6.
fn routes(net: &NetInterface) -> (String, String) {
    let name = &net.name;
    let far = |gateway: String| format!("{gateway} dev {name}\ndefault via {gateway} dev {name}\n");
    let four = match (net.ip, net.gw) {
        (Some(Ipv4Config::Static(address, prefix)), Some(gateway))
            if !reachable(gateway.into(), address.into(), prefix) =>
        {
            far(gateway.to_string())
        }
        _ => String::new(),
    };
    let six = match (net.ip6, net.gw6) {
        (Some(Ipv6Config::Static(address, prefix)), Some(gateway))
            if !reachable(gateway.into(), address.into(), prefix) =>
        {
            far(gateway.to_string())
        }
        _ => String::new(),
    };
    (four, six)
}
