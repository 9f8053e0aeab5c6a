//! Which interfaces are on the node's own bridges, and which addresses each of them has.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};
use pvect_core::{ContainerConfig, Vmid};
use pvect_native::{Names, NativeReader};

use super::addresses::{Addresses, Limits, Mac};
use super::bridge::{self, Kernel};
use super::dnsmasq::Files;
use super::filter::Port;
use super::ipset;
use super::leases;
use super::settings::Network;
use super::starting::is_starting;
use crate::{Failure, Node, NodeResult, vmids};

/// The bridges that are up, the containers, and the tables of addresses.
pub struct Plan<'a> {
    node: &'a Node,
    networks: &'a [&'a Network],
    containers: &'a [(Vmid, ContainerConfig)],
    addresses: BTreeMap<String, Addresses>,
}

impl<'a> Plan<'a> {
    /// Reads the tables.
    ///
    /// # Errors
    /// When one cannot be read.
    pub fn load(
        node: &'a Node,
        networks: &'a [&'a Network],
        containers: &'a [(Vmid, ContainerConfig)],
    ) -> NodeResult<Self> {
        let table = |network: &&Network| {
            let path = node.layout.network_addresses(&network.bridge);
            Ok((network.bridge.clone(), Addresses::load(&path)?))
        };
        let addresses = networks.iter().map(table).collect::<NodeResult<_>>()?;
        Ok(Self { node, networks, containers, addresses })
    }

    /// The table of a bridge.
    pub fn of(&self, bridge: &str) -> Option<&Addresses> {
        self.addresses.get(bridge)
    }

    /// The tables, by bridge.
    pub fn into_addresses(self) -> BTreeMap<String, Addresses> {
        self.addresses
    }

    /// The interfaces of the configurations, and other devices in the bridges that have such a name: one whose
    /// configuration cannot be read may not send anything.
    ///
    /// # Errors
    /// When the containers cannot be listed.
    pub fn ports(&self, kernel: &Kernel) -> NodeResult<Vec<Port>> {
        let names = Names::new(self.node.layout.lxc());
        let mut ports: Vec<Port> = self
            .interfaces()
            .map(|(vmid, key, net, network)| self.port(&names, vmid, key, &net, network))
            .collect();
        let known: BTreeSet<String> = ports.iter().map(|port| port.device.clone()).collect();
        let vmids = vmids::all(self.node)?;
        for network in self.networks {
            let unknown = kernel.ports(&network.bridge).into_iter().filter(|device| !known.contains(device));
            for device in unknown {
                if let Some(vmid) = vmids.iter().find(|vmid| names.is_device(**vmid, &device)) {
                    ports.push(closed(*vmid, network, device));
                }
            }
        }
        Ok(ports)
    }

    /// Each interface on one of the bridges: its container, its key, the interface, the bridge's network.
    fn interfaces(&self) -> impl Iterator<Item = (Vmid, String, NetInterface, &'a Network)> {
        let networks = self.networks;
        self.containers.iter().flat_map(move |(vmid, config)| {
            config.nets().into_iter().filter_map(move |(key, net)| {
                let on = |network: &&&Network| net.bridge.as_deref() == Some(&network.bridge);
                let network = networks.iter().find(on)?;
                Some((*vmid, key, net, *network))
            })
        })
    }

    fn port(&self, names: &Names, vmid: Vmid, key: String, net: &NetInterface, network: &Network) -> Port {
        let index = key.strip_prefix("net").and_then(|index| index.parse().ok()).unwrap_or_default();
        let mac = mac(net);
        let given = || self.of(&network.bridge)?.of(mac?);
        let four = fixed(net).or_else(|| given().filter(|_| network.dhcp));
        let mut six: BTreeSet<Ipv6Addr> = mac.map(Mac::link_local).into_iter().collect();
        if let (Some(mac), Some(own)) = (mac, network.address6()) {
            six.insert(mac.address_in(own));
        }
        if let Some(Ipv6Config::Static(address, _)) = net.ip6 {
            six.insert(address);
        }
        Port {
            vmid,
            bridge: network.bridge.clone(),
            tag: net.tag,
            device: names.device(vmid, index),
            key,
            mac,
            four: four.into_iter().collect(),
            six,
            any_address: !network.ip_filter,
            trunks: net.trunks.clone(),
        }
    }

    /// Checks that an interface that is about to run has a MAC address, and does not use an address of the host or of a
    /// container that runs or starts.
    ///
    /// # Errors
    /// `net0: 10.1.2.5 on bridge 'vmbr0' is already used by CT 101 (net0)`.
    pub fn check(&self, ports: &[Port], starting: Vmid) -> NodeResult<()> {
        let running = NativeReader::new(self.node.layout.lxc(), self.node.layout.configs());
        for port in ports.iter().filter(|port| port.vmid == starting) {
            let Some(network) = self.networks.iter().find(|network| network.bridge == port.bridge) else {
                continue;
            };
            if port.mac.is_none() && port.key.starts_with("net") {
                return Err(Failure::new(format!(
                    "{}: an interface on bridge '{}' needs a MAC address (hwaddr), to which the node restricts it",
                    port.key, port.bridge
                )));
            }
            if let Some(address) = of_host(self.node, network, port) {
                return Err(Failure::new(format!(
                    "{}: {address} on bridge '{}' is the host's own address",
                    port.key, port.bridge
                )));
            }
            for other in ports {
                let same = (other.vmid, &other.key) == (port.vmid, &port.key);
                if same || (&other.bridge, other.tag) != (&port.bridge, port.tag) {
                    continue;
                }
                let Some(address) = shared(port, other) else { continue };
                if other.vmid == starting
                    || is_starting(self.node, other.vmid)
                    || running.is_running(other.vmid)
                {
                    return Err(Failure::new(format!(
                        "{}: {address} on bridge '{}' is already used by CT {} ({})",
                        port.key, port.bridge, other.vmid, other.key
                    )));
                }
            }
        }
        Ok(())
    }

    /// Gives each interface an address, and writes the tables that changed. Returns what failed.
    pub fn assign(&mut self, starting: Option<Vmid>) -> Vec<String> {
        let mut problems = Vec::new();
        for network in self.networks {
            let (Some(range), Some(net)) = (network.dhcp_range().filter(|_| network.dhcp), network.address)
            else {
                continue;
            };
            let (mut wanted, mut all, mut own) = (BTreeMap::new(), BTreeSet::new(), BTreeSet::new());
            for (vmid, key, interface, on) in self.interfaces() {
                if on.bridge != network.bridge {
                    continue;
                }
                if let Some(address) = fixed(&interface) {
                    all.insert(address);
                    if Some(vmid) == starting {
                        own.insert(address);
                    }
                } else if let Some(mac) = mac(&interface) {
                    wanted.entry(mac).or_insert((vmid, key));
                }
            }
            let files = Files::of(&self.node.layout, &network.bridge);
            let leases = leases::parse(&std::fs::read_to_string(files.leases).unwrap_or_default());
            let limits = Limits { range, net, fixed: &all, starting: &own, leases: &leases };
            let table = self.addresses.entry(network.bridge.clone()).or_default();
            let before = table.clone();
            let lacking = table.assign(&wanted.keys().copied().collect(), &limits);
            if *table != before {
                let saved = table.save(&self.node.layout.network_addresses(&network.bridge));
                problems.extend(saved.err().map(|failure| failure.text));
            }
            let lacking = lacking.iter().filter_map(|mac| wanted.get(mac));
            for (_, key) in lacking.filter(|(vmid, _)| Some(*vmid) == starting) {
                let (first, last) = range;
                problems.push(format!("{key}: DHCP has no address left in {first}-{last}"));
            }
        }
        problems
    }

    /// Adds the addresses that the container's `.fw` file allows an interface besides its own.
    pub fn add_sets(&self, ports: &mut [Port]) {
        for port in ports {
            let path = self.node.layout.firewall(port.vmid);
            let text = std::fs::read_to_string(path).unwrap_or_default();
            for address in ipset::addresses(&text, &format!("ipfilter-{}", port.key)) {
                match address {
                    IpAddr::V4(address) => port.four.insert(address),
                    IpAddr::V6(address) => port.six.insert(address),
                };
            }
            if let Some(network) = self.networks.iter().find(|network| network.bridge == port.bridge) {
                port.four.retain(|four| network.address.is_none_or(|own| own.address != *four));
                port.six.retain(|six| network.address6() != Some(*six));
            }
        }
    }
}

fn mac(net: &NetInterface) -> Option<Mac> {
    net.hwaddr.as_deref().and_then(Mac::parse)
}

fn fixed(net: &NetInterface) -> Option<Ipv4Addr> {
    match net.ip {
        Some(Ipv4Config::Static(address, _)) => Some(address),
        _ => None,
    }
}

/// An interface that may not send anything.
fn closed(vmid: Vmid, network: &Network, device: String) -> Port {
    Port {
        vmid,
        key: device.clone(),
        bridge: network.bridge.clone(),
        tag: None,
        device,
        mac: None,
        four: BTreeSet::new(),
        six: BTreeSet::new(),
        any_address: false,
        trunks: Vec::new(),
    }
}

/// The address of an interface that is also the host's on that bridge.
fn of_host(node: &Node, network: &Network, port: &Port) -> Option<String> {
    let mac = Mac::parse(&bridge::mark(node.layout.root(), &network.bridge));
    let four = network.address.map(|net| net.address).filter(|address| port.four.contains(address));
    let six = network.address6().into_iter().chain(mac.map(Mac::link_local));
    let six = { six }.find(|address| port.six.contains(address));
    (mac.is_some() && mac == port.mac)
        .then_some(mac)
        .flatten()
        .map(|mac| mac.to_string())
        .or_else(|| four.map(|address| address.to_string()))
        .or_else(|| six.map(|address| address.to_string()))
}

/// An address that two interfaces both have.
fn shared(one: &Port, other: &Port) -> Option<String> {
    let mac = one.mac.filter(|mac| other.mac == Some(*mac)).map(|mac| mac.to_string());
    mac.or_else(|| one.four.intersection(&other.four).next().map(ToString::to_string))
        .or_else(|| one.six.intersection(&other.six).next().map(ToString::to_string))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network() -> Network {
        let mut network = Network::new("vmbr0").unwrap();
        network.set("address", "10.1.2.1/24").unwrap();
        network.set("ip6", "fd00:1::1/64").unwrap();
        network
    }

    fn container(vmid: &str, net: &str) -> (Vmid, ContainerConfig) {
        let text = format!("net0: name=eth0,bridge=vmbr0,{net}\n");
        let mode = pvect_core::config::ParseMode::Strict;
        (vmid.parse().unwrap(), ContainerConfig::parse(text.as_bytes(), mode).unwrap().0)
    }

    /// The ports of two containers, and the result of a start of the second.
    fn planned(first: &str, second: &str) -> (Vec<Port>, NodeResult<()>) {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        let kernel = Kernel { net: dir.path().join("net"), proc: dir.path().join("proc") };
        let network = network();
        let networks = [&network];
        let containers = [container("101", first), container("102", second)];
        let mut plan = Plan::load(&node, &networks, &containers).unwrap();
        assert_eq!(plan.assign(None), Vec::<String>::new());
        let ports = plan.ports(&kernel).unwrap();
        // As if both ran: a container's own interfaces are checked in any case.
        let mut twice = ports.clone();
        for port in &mut twice {
            port.vmid = containers[1].0;
        }
        twice[0].key = "net1".to_owned();
        (ports, plan.check(&twice, containers[1].0))
    }

    #[test]
    fn an_interface_has_what_configuration_and_table_give() {
        let (ports, said) = planned(
            "hwaddr=BC:24:11:00:00:01,ip=10.1.2.5/24,ip6=fd00:1::5/64",
            "hwaddr=BC:24:11:00:00:02,ip=manual",
        );
        said.unwrap();
        assert_eq!(ports[0].four, ["10.1.2.5".parse().unwrap()].into());
        let six = ["fd00:1::5", "fd00:1::be24:11ff:fe00:1", "fe80::be24:11ff:fe00:1"];
        assert_eq!(ports[0].six, six.map(|text| text.parse().unwrap()).into());
        // Without an address of its own, it has the one that DHCP would give it.
        assert_eq!(ports[1].four.len(), 1);
        assert!(ports[1].four.first().unwrap() >= &Ipv4Addr::new(10, 1, 2, 128));
    }

    #[test]
    fn nobody_starts_with_the_address_of_another() {
        let one = "hwaddr=BC:24:11:00:00:01,ip=10.1.2.5/24";
        for (other, expected) in [
            (
                "hwaddr=bc:24:11:00:00:01,ip=dhcp",
                "bc:24:11:00:00:01 on bridge 'vmbr0' is already used by CT 102 (net0)",
            ),
            (
                "hwaddr=BC:24:11:00:00:02,ip=10.1.2.5/24",
                "10.1.2.5 on bridge 'vmbr0' is already used by CT 102 (net0)",
            ),
            (
                "hwaddr=BC:24:11:00:00:02,ip6=fe80::be24:11ff:fe00:1/64",
                "fe80::be24:11ff:fe00:1 on bridge 'vmbr0' is already used by CT 102 (net0)",
            ),
            (
                "hwaddr=BC:24:11:00:00:02,ip=10.1.2.1/24",
                "10.1.2.1 on bridge 'vmbr0' is the host's own address",
            ),
            (
                "hwaddr=BC:24:11:00:00:02,ip6=fd00:1::1/64",
                "fd00:1::1 on bridge 'vmbr0' is the host's own address",
            ),
            ("ip=dhcp", "net0: an interface on bridge 'vmbr0' needs a MAC address (hwaddr)"),
        ] {
            let text = planned(one, other).1.unwrap_err().text;
            assert!(text.contains(expected), "{other}: {text}");
        }
        planned(one, "hwaddr=BC:24:11:00:00:02,ip=10.1.2.5/24,tag=7").1.unwrap();
    }
}
