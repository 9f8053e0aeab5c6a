//! The host's side of a running container's network.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::Path;

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};
use pvect_core::{ContainerConfig, Vmid};

use super::lxc_config::host::Host;
use super::{dhcp, live, names};
use crate::network::Unfiltered;
use crate::tool::Tool;
use crate::{Failure, FailureKind, Node, NodeResult, Output, setup};

/// Bytes a second of a rate, which is in MB/s.
const MEGABYTE: f64 = 1024.0 * 1024.0;
/// The smallest burst, bytes. Source: Proxmox VE.
const BURST_MIN: f64 = 1024.0 * 1024.0;

fn ip(words: &[&str]) -> NodeResult<()> {
    Tool::new("ip", "iproute2").args(words).run()
}

/// Runs `ip` in a network namespace that we have open.
fn ip_inside(place: &OwnedFd, words: &[&str]) -> NodeResult<()> {
    Tool::new("nsenter", "util-linux")
        .args([&format!("--net={}", super::path_of(place)), "--", "ip"])
        .args(words)
        .run()
}

/// Does what LXC does not do: links that are to be down, rate limits, DHCP for interfaces that the host manages.
///
/// # Errors
/// When a link cannot be taken down. A rate that cannot be set is a warning.
pub(super) fn after_start(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let names = names(node);
    for (index, key, value) in config.main.family("net") {
        let Ok(net) = NetInterface::parse(key, value) else { continue };
        let device = names.device(vmid, index);
        if net.link_down {
            ip(&["link", "set", "dev", &device, "down"])?;
        }
        if let Err(failure) = limit_rate(&device, &net) {
            output.warning(format!("{key}: can't limit the rate - {}", failure.text));
        }
    }
    dhcp::ask(node, vmid, config, output);
    Ok(())
}

/// Limits both directions of a device to its rate; without a rate, removes the limit.
fn limit_rate(device: &str, net: &NetInterface) -> NodeResult<()> {
    let tc = |words: &[&str]| Tool::new("tc", "iproute2").args(words).run();
    let rate: Option<f64> = net.rate.as_deref().and_then(|rate| rate.parse().ok());
    let Some(rate) = rate.filter(|rate| *rate > 0.0) else { return Ok(()) };
    let bytes = rate * MEGABYTE;
    let (rate, burst) = (format!("{bytes:.0}bps"), format!("{:.0}b", bytes.max(BURST_MIN)));
    // To the container and from it. One direction is limited even if the kernel cannot limit the other.
    let to = tc(&[
        "qdisc", "add", "dev", device, "root", "tbf", "rate", &rate, "latency", "100ms", "burst", &burst,
    ]);
    let filter = ["filter", "add", "dev", device, "parent", "ffff:", "prio", "50", "basic"];
    let from = tc(&["qdisc", "add", "dev", device, "handle", "ffff:", "ingress"]).and_then(|()| {
        tc(&[&filter[..], &["police", "rate", &rate, "burst", &burst, "mtu", "64kb", "drop"]].concat())
    });
    to.and(from)
}

fn unlimit_rate(device: &str) {
    for kind in ["root", "ingress"] {
        // There may be no limit to remove.
        let _ = Tool::new("tc", "iproute2").args(["qdisc", "del", "dev", device, kind]).run();
    }
}

/// Adds, changes or removes an interface of a running container. Returns `false` when that needs a restart.
///
/// A new name or MAC address makes a new interface. The rules for its addresses are in force before it is. The guest's
/// files are written for the next time that it sets up its network. The live addresses and routes are changed at once,
/// except that no DHCP client is started in the guest. Source: `update_net` and `update_ipconfig` of pve-container.
///
/// # Errors
/// `bridge '<name>' does not exist`, what `ip` says, or that the guest's system is not supported; what was changed is
/// changed back.
pub(super) fn hotplug(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    key: &str,
    index: u16,
    value: Option<&str>,
) -> NodeResult<bool> {
    let device = names(node).device(vmid, index);
    let is_there = Path::new("/sys/class/net").join(&device).exists();
    let Some(value) = value else {
        if is_there {
            ip(&["link", "delete", "dev", &device])?;
        }
        return Ok(true);
    };
    let new = parse(key, value)?;
    let old = config.main.options.get(key).and_then(|old| parse(key, old).ok());
    if old.as_ref().is_some_and(|old| old.host_managed != new.host_managed) {
        return Ok(false);
    }
    let mut after = config.clone();
    after.main.set(key, value);
    let (mut out, mut err) = (std::io::sink(), std::io::sink());
    let mut rules = |config: &ContainerConfig| {
        let mut output = Output::new(&mut out, &mut err);
        crate::network::ensure(node, vmid, config, Unfiltered::Refuse, &mut output)
    };
    let old = old.filter(|_| is_there);
    let replaced = rules(&after).and_then(|()| write_files(node, vmid, &after)).and_then(|()| {
        let init = super::init(node, vmid)?;
        let place = super::opened(vmid, init.namespace("net"))?;
        let host = Host::of_this_machine(names(node));
        let link = Link { device: &device, place: &place, index, host: &host };
        link.replace(old.as_ref(), is_there, &new)?;
        if old.as_ref().is_some_and(|old| old.bridge != new.bridge) {
            // During the move the rules shut the interface off, because it had no addresses on that bridge: load them
            // again.
            rules(&after)
                .inspect_err(|_| drop(link.replace(Some(&new), true, old.as_ref().unwrap_or(&new))))?;
        }
        Ok(())
    });
    if let Err(failure) = replaced {
        // The rules that it had; if that fails too, the first failure is the one to report.
        let _ = rules(config).and_then(|()| write_files(node, vmid, config));
        return Err(failure);
    }
    if new.host_managed && !new.link_down && new.ip == Some(Ipv4Config::Dhcp) {
        // As at a start, an interface without an address is better than none.
        let _ = dhcp::lease(node, vmid, &after, &new.name);
    }
    Ok(true)
}

/// Writes the network into the files of a running guest.
///
/// # Errors
/// When the guest's system is not one that can be set up.
fn write_files(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    let (root, dns) = (node.layout.rootfs(vmid), crate::network::resolver(node, config));
    let guest = setup::Guest::running(node, vmid, config, &root);
    unless_refused(vmid, live::beside_monitor(node, vmid, || guest.network(dns)))
}

/// What a running guest keeps from being written, the next start writes; what is refused now is refused then, too.
fn unless_refused(vmid: Vmid, written: NodeResult<()>) -> NodeResult<()> {
    match written {
        Err(failure) if failure.kind != FailureKind::UnsupportedGuest => {
            tracing::debug!(%vmid, "writing the network of a running guest: {}", failure.text);
            Ok(())
        }
        other => other,
    }
}

fn parse(key: &str, value: &str) -> NodeResult<NetInterface> {
    NetInterface::parse(key, value).map_err(|_| Failure::new(format!("unable to parse {key} '{value}'")))
}

fn same_mac(old: &NetInterface, new: &NetInterface) -> bool {
    let lower = |net: &NetInterface| net.hwaddr.as_deref().map(str::to_ascii_lowercase);
    lower(old) == lower(new)
}

/// The bridge and VLANs that an interface is connected to.
fn plug(net: &NetInterface) -> (Option<&str>, Option<u16>, &[u16], bool) {
    (net.bridge.as_deref(), net.tag, &net.trunks, net.link_down)
}

/// Both ends of a running container's interface.
struct Link<'a> {
    device: &'a str,
    /// The container's network namespace.
    place: &'a OwnedFd,
    index: u16,
    host: &'a Host,
}

impl Link<'_> {
    /// Replaces an interface, if there is one, by the new one. On failure the old one is put back.
    fn replace(&self, old: Option<&NetInterface>, is_there: bool, new: &NetInterface) -> NodeResult<()> {
        match old {
            Some(old) if old.name == new.name && same_mac(old, new) => {
                self.change(old, new).inspect_err(|_| drop(self.change(new, old)))
            }
            old => {
                self.check(new)?;
                if is_there {
                    ip(&["link", "delete", "dev", self.device])?;
                }
                self.add(new).inspect_err(|_| {
                    let _ = ip(&["link", "delete", "dev", self.device]);
                    // If that fails too, the first failure is the one to report.
                    let _ = old.map(|old| self.add(old));
                })
            }
        }
    }

    /// Checks that the bridge exists and can do what is asked.
    fn check(&self, net: &NetInterface) -> NodeResult<()> {
        self.mtu(net)?;
        match &net.bridge {
            Some(bridge) if !net.link_down && (net.tag.is_some() || !net.trunks.is_empty()) => {
                self.host.check_vlans(self.index, bridge)
            }
            _ => Ok(()),
        }
    }

    fn mtu(&self, net: &NetInterface) -> NodeResult<u32> {
        let bridge = net.bridge.as_deref().map(|bridge| self.host.bridge_mtu(bridge)).transpose()?;
        let mtu = net.mtu.map(u32::from).or(bridge).unwrap_or(1500);
        match bridge {
            Some(most) if mtu > most => Err(Failure::new(format!(
                "net{}: MTU size '{mtu}' is bigger than bridge MTU '{most}'",
                self.index
            ))),
            _ => Ok(mtu),
        }
    }

    fn change(&self, old: &NetInterface, new: &NetInterface) -> NodeResult<()> {
        self.check(new)?;
        let mtu = self.mtu(new)?;
        if self.mtu(old).ok() != Some(mtu) {
            let mtu = mtu.to_string();
            ip(&["link", "set", "dev", self.device, "mtu", &mtu])?;
            ip_inside(self.place, &["link", "set", "dev", &new.name, "mtu", &mtu])?;
        }
        if plug(old) != plug(new) {
            self.attach(new)?;
        }
        if old.rate != new.rate {
            unlimit_rate(self.device);
            limit_rate(self.device, new)?;
        }
        self.address(&new.name, &Addresses::four(old), &Addresses::four(new))?;
        self.address(&new.name, &Addresses::six(old), &Addresses::six(new))
    }

    /// Connects the device to its bridge and VLANs, and sets its link.
    fn attach(&self, net: &NetInterface) -> NodeResult<()> {
        let device = self.device;
        // When it leaves a bridge, it loses its VLANs.
        ip(&["link", "set", "dev", device, "nomaster"])?;
        let Some(bridge) = net.bridge.as_deref().filter(|_| !net.link_down) else {
            return ip(&["link", "set", "dev", device, "down"]);
        };
        ip(&["link", "set", "dev", device, "master", bridge])?;
        let vlan = |words: &[&str]| Tool::new("bridge", "iproute2").arg("vlan").args(words).run();
        if let Some(tag) = net.tag {
            vlan(&["del", "dev", device, "vid", "1"])?;
            vlan(&["add", "dev", device, "vid", &tag.to_string(), "pvid", "untagged"])?;
        }
        for trunk in &net.trunks {
            vlan(&["add", "dev", device, "vid", &trunk.to_string()])?;
        }
        ip(&["link", "set", "dev", device, "up"])
    }

    fn add(&self, net: &NetInterface) -> NodeResult<()> {
        let (device, place) = (self.device, super::path_of(self.place));
        let mtu = self.mtu(net)?.to_string();
        let mut words = vec!["link", "add", "dev", device, "mtu", &mtu, "type", "veth", "peer"];
        words.extend(["name", net.name.as_str(), "mtu", &mtu, "netns", &place]);
        if let Some(hwaddr) = &net.hwaddr {
            words.extend(["address", hwaddr]);
        }
        ip(&words)?;
        self.attach(net)?;
        limit_rate(device, net)?;
        ip_inside(self.place, &["link", "set", "dev", &net.name, "up"])?;
        self.address(&net.name, &Addresses::default(), &Addresses::four(net))?;
        self.address(&net.name, &Addresses::default(), &Addresses::six(net))
    }

    /// Replaces address and gateway of one family.
    fn address(&self, name: &str, old: &Addresses, new: &Addresses) -> NodeResult<()> {
        if old == new {
            return Ok(());
        }
        let inside = |words: &[&str]| ip_inside(self.place, &[&[new.family()], words].concat());
        if old.cidr != new.cidr {
            if let Some(cidr) = &old.cidr {
                // The guest may have removed it already. The old address goes first: if it were the older of two in one
                // network, removing it would remove the newer one, too.
                let _ = inside(&["address", "del", cidr, "dev", name]);
            }
            if let Some(cidr) = &new.cidr {
                inside(&["address", "replace", cidr, "dev", name])?;
            }
        }
        match (&new.gateway, &old.gateway) {
            (Some(gateway), _) => {
                if new.is_far {
                    inside(&["route", "replace", gateway, "dev", name])?;
                }
                inside(&["route", "replace", "default", "via", gateway, "dev", name])
            }
            (None, Some(_)) => {
                // It may have gone with its address.
                let _ = inside(&["route", "del", "default", "dev", name]);
                Ok(())
            }
            (None, None) => Ok(()),
        }
    }
}

/// Address and gateway of one family, as `ip` takes them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Addresses {
    six: bool,
    cidr: Option<String>,
    gateway: Option<String>,
    /// The gateway lies outside of the network.
    is_far: bool,
}

impl Addresses {
    fn four(net: &NetInterface) -> Self {
        let fixed = match net.ip {
            Some(Ipv4Config::Static(address, prefix)) => Some((address, prefix)),
            _ => None,
        };
        Self::new(false, fixed.map(|(address, prefix)| (address.into(), prefix)), net.gw.map(Into::into))
    }

    fn six(net: &NetInterface) -> Self {
        let fixed = match net.ip6 {
            Some(Ipv6Config::Static(address, prefix)) => Some((address, prefix)),
            _ => None,
        };
        Self::new(true, fixed.map(|(address, prefix)| (address.into(), prefix)), net.gw6.map(Into::into))
    }

    fn new(six: bool, fixed: Option<(IpAddr, u8)>, gateway: Option<IpAddr>) -> Self {
        let is_far = matches!((fixed, gateway), (Some((address, prefix)), Some(gateway))
            if !crate::guest::is_in_network(gateway, address, prefix));
        Self {
            six,
            cidr: fixed.map(|(address, prefix)| format!("{address}/{prefix}")),
            gateway: gateway.map(|gateway| gateway.to_string()),
            is_far,
        }
    }

    fn family(&self) -> &'static str {
        if self.six { "-6" } else { "-4" }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> NetInterface {
        NetInterface::parse("net0", &format!("name=eth0,{text}")).unwrap()
    }

    #[test]
    fn addresses_are_as_ip_takes_them() {
        let far = Addresses::four(&net("ip=10.0.0.5/24,gw=192.168.0.1"));
        assert_eq!(far.cidr.as_deref(), Some("10.0.0.5/24"));
        assert_eq!((far.gateway.as_deref(), far.is_far, far.family()), (Some("192.168.0.1"), true, "-4"));
        let local = Addresses::six(&net("ip6=fd00::5/64,gw6=fe80::1"));
        assert_eq!((local.gateway.as_deref(), local.is_far, local.family()), (Some("fe80::1"), false, "-6"));
        assert_eq!(Addresses::four(&net("ip=dhcp")), Addresses::default());
    }

    #[test]
    fn a_refusal_of_the_guests_files_is_a_failure() {
        let vmid = "101".parse().unwrap();
        let refused = Failure::new("unsupported").of_kind(FailureKind::UnsupportedGuest);
        assert_eq!(unless_refused(vmid, Err(refused.clone())), Err(refused));
        assert_eq!(unless_refused(vmid, Err(Failure::new("a full disk"))), Ok(()));
        assert_eq!(unless_refused(vmid, Ok(())), Ok(()));
    }

    #[test]
    fn what_makes_a_new_interface_and_what_plugs_it_anew() {
        let one = net("bridge=a,hwaddr=BC:24:11:00:00:01");
        assert!(same_mac(&one, &net("bridge=b,hwaddr=bc:24:11:00:00:01")));
        assert!(!same_mac(&one, &net("bridge=a,hwaddr=bc:24:11:00:00:02")));
        for (text, same) in [
            ("bridge=a,rate=5,firewall=1,ip=dhcp,mtu=1400", true),
            ("bridge=b", false),
            ("bridge=a,tag=5", false),
            ("bridge=a,trunks=5;6", false),
            ("bridge=a,link_down=1", false),
        ] {
            assert_eq!(plug(&net(text)) == plug(&one), same, "{text}");
        }
    }
}
