//! `/etc/systemd/network/NAME.network`, for distributions with systemd-networkd.

use std::fmt::Write as _;

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};

use super::Guest;
use super::interfaces::is_far;
use crate::NodeResult;

/// Writes one file for each interface.
pub fn setup(guest: &Guest<'_>) -> NodeResult<()> {
    for net in guest.networks() {
        guest.write(&format!("/etc/systemd/network/{}.network", net.name), &unit(&net), 0o644)?;
    }
    Ok(())
}

/// Source: systemd.network(5).
fn unit(net: &NetInterface) -> String {
    let name = &net.name;
    let mut text = format!(
        "[Match]\nName = {name}\n\n[Network]\nDescription = Interface {name} autoconfigured by PVE\n"
    );
    let mut routes = String::new();
    if let Some(Ipv4Config::Static(address, prefix)) = net.ip {
        let _ = writeln!(text, "Address = {address}/{prefix}");
    }
    if let Some(gateway) = net.gw {
        let _ = writeln!(text, "Gateway = {gateway}");
        if is_far(net, gateway.into()) {
            let _ = write!(routes, "\n[Route]\nDestination = {gateway}/32\nScope = link\n");
        }
    }
    if let Some(Ipv6Config::Static(address, prefix)) = net.ip6 {
        let _ = writeln!(text, "Address = {address}/{prefix}");
    }
    if let Some(gateway) = net.gw6 {
        let _ = writeln!(text, "Gateway = {gateway}");
        if is_far(net, gateway.into()) {
            let _ = write!(routes, "\n[Route]\nDestination = {gateway}/128\nScope = link\n");
        }
    }
    let (four, six) = (net.ip == Some(Ipv4Config::Dhcp), net.ip6 == Some(Ipv6Config::Dhcp));
    let dhcp = match (four, six) {
        (false, false) => "no",
        (true, false) => "ipv4",
        (false, true) => "ipv6",
        (true, true) => "yes",
    };
    let advertised = net.gw6.is_none() && matches!(net.ip6, Some(Ipv6Config::Dhcp | Ipv6Config::Auto));
    let _ = write!(text, "DHCP = {dhcp}\nIPv6AcceptRA = {advertised}\n{routes}");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> NetInterface {
        NetInterface::parse("net0", text).unwrap()
    }

    #[test]
    fn fixed_addresses_and_far_gateways() {
        assert_eq!(
            unit(&net("name=eth0,ip=10.0.0.5/24,gw=192.168.0.1,ip6=auto")),
            "[Match]\nName = eth0\n\n[Network]\nDescription = Interface eth0 autoconfigured by PVE\n\
             Address = 10.0.0.5/24\nGateway = 192.168.0.1\nDHCP = no\nIPv6AcceptRA = true\n\n\
             [Route]\nDestination = 192.168.0.1/32\nScope = link\n"
        );
    }

    #[test]
    fn dhcp_for_both() {
        assert!(unit(&net("name=eth0,ip=dhcp,ip6=dhcp")).ends_with("DHCP = yes\nIPv6AcceptRA = true\n"));
    }
}
