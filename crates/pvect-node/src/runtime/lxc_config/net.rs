//! The lines of a network interface.

use pvect_core::Vmid;
use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};

use super::host::Host;
use super::lines::Lines;
use crate::{Failure, NodeResult};

pub(super) fn put_net(
    lines: &mut Lines,
    host: &Host,
    vmid: Vmid,
    index: u16,
    net: &NetInterface,
) -> NodeResult<()> {
    let mut put = |key: &str, value: &str| lines.put(&format!("lxc.net.{index}.{key}"), value);
    put("type", "veth")?;
    put("veth.pair", &host.names.device(vmid, index))?;
    if let Some(hwaddr) = &net.hwaddr {
        put("hwaddr", hwaddr)?;
    }
    put("name", &net.name)?;
    if let Some(bridge) = &net.bridge {
        let bridge_mtu = host.bridge_mtu(bridge)?;
        let mtu = net.mtu.map_or(bridge_mtu, u32::from);
        if mtu > bridge_mtu {
            let text = format!("net{index}: MTU size '{mtu}' is bigger than bridge MTU '{bridge_mtu}'");
            return Err(Failure::new(text));
        }
        put("mtu", &mtu.to_string())?;
        if !net.link_down {
            put("link", bridge)?;
            if net.tag.is_some() || !net.trunks.is_empty() {
                host.check_vlans(index, bridge)?;
                if let Some(tag) = net.tag {
                    put("veth.vlan.id", &tag.to_string())?;
                }
                for trunk in &net.trunks {
                    put("veth.vlan.tagged.id", &trunk.to_string())?;
                }
            }
        }
    } else if let Some(mtu) = net.mtu {
        put("mtu", &mtu.to_string())?;
    }
    if net.host_managed && !net.link_down {
        if let Some(Ipv4Config::Static(address, prefix)) = net.ip {
            put("ipv4.address", &format!("{address}/{prefix}"))?;
        }
        if let Some(gateway) = net.gw {
            put("ipv4.gateway", &gateway.to_string())?;
        }
        match net.ip6 {
            Some(Ipv6Config::Static(address, prefix)) => put("ipv6.address", &format!("{address}/{prefix}"))?,
            Some(Ipv6Config::Auto) => {
                let text =
                    format!("net{index}: SLAAC is not supported for host-managed network configuration");
                return Err(Failure::new(text));
            }
            _ => {}
        }
        if let Some(gateway) = net.gw6 {
            put("ipv6.gateway", &gateway.to_string())?;
        }
        put("flags", "up")?;
    }
    Ok(())
}
