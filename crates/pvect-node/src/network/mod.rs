//! The node's own networks: a bridge, its addresses, DHCP, names, and a way out.
//!
//! A container on `vmbr0` has a network at once: the first start makes the bridge, with a network that no route of
//! the machine leads to; dnsmasq gives addresses and answers names, nftables translates addresses. What was chosen is
//! kept in `etc/pve/network.cfg` ([`Settings`]); other bridges can be named there. A bridge that exists and was not made
//! by this node is never touched, and on a node of Proxmox VE nothing is made at all.
//!
//! What a container sends into such a bridge passes only under the MAC and IP addresses that its interface has by the
//! configuration and by the node's table for DHCP.
//!
//! Everything is looked at again at each start of a container: what is missing (after a boot, or because somebody
//! flushed the rules) is made anew.

mod addresses;
mod bridge;
mod check;
mod dnsmasq;
mod filter;
mod ipset;
mod leases;
mod loaded;
mod nat;
mod ports;
mod settings;
mod starting;
mod subnet;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};
use pvect_core::{ContainerConfig, Vmid};
use pvect_native::Names;
use serde::Serialize;

pub use bridge::{Kernel, no_vlans};
pub use check::{Check, checks};
pub use ipset::allows_more;
pub use leases::Lease;
pub use settings::{DEFAULT_BRIDGE, Network, Settings, Six};
pub use starting::StartMark;
pub use subnet::{Net4, Net6};

use crate::guest::HostDns;
use crate::{Failure, Node, NodeResult, Output, lock_files, random, store, vmids};
use addresses::Addresses;
use bridge::Owner;
use dnsmasq::Files;
use loaded::Loaded;
use ports::Plan;

/// One at a time on the whole machine: networks are chosen and the host's forwarding is switched.
const LOCK: &str = "/run/pvect/network.lock";
const LOCK_SECONDS: u64 = 30;

/// The state of one network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct State {
    /// The bridge.
    pub bridge: String,
    /// `up`, `down` (made at first use), or `foreign` (something that this node did not make has the name).
    pub state: &'static str,
    /// The host's address and the network.
    pub address: Option<String>,
    /// The same for IPv6.
    pub ip6: Option<String>,
    /// `running`, `stopped` or `off`: what gives addresses and answers names.
    pub dhcp: &'static str,
    /// Whether addresses are translated.
    pub nat: bool,
    /// The domain of the containers' names.
    pub domain: String,
    /// The host's devices in the bridge.
    pub ports: Vec<String>,
    /// The addresses that DHCP gave.
    pub leases: Vec<Lease>,
}

/// Whether this is a node of Proxmox VE, whose bridges its administrator manages.
fn is_proxmox() -> bool {
    ["/usr/bin/pveversion", "/etc/pve/.version"].iter().any(|path| Path::new(path).exists())
}

fn lock(output: &mut Output<'_>) -> NodeResult<fs::File> {
    lock_files::take(Path::new(LOCK), LOCK_SECONDS, &mut |waiting| {
        let _ = output.err.write_all(waiting.text().as_bytes());
    })
}

/// The interfaces of a container. Those that cannot be parsed are left out; the start reports them.
fn interfaces(config: &ContainerConfig) -> Vec<NetInterface> {
    config.nets().into_iter().map(|(_, net)| net).collect()
}

fn wants_six(net: &NetInterface) -> bool {
    !matches!(net.ip6, None | Some(Ipv6Config::Manual))
}

/// What to do about an interface on one of the node's own bridges if its rules cannot be loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfiltered {
    /// A warning, unless its `firewall=1` asks for them.
    Warn,
    /// An error.
    Refuse,
}

/// Makes sure that those bridges of a container that the node makes itself exist and are served, and that the rules for
/// its interfaces are in force.
///
/// A failure of something that is not vital (DHCP, NAT) is a warning.
///
/// # Errors
/// When a bridge cannot be made, or `network.cfg` is wrong; when an interface has an address of the host or of a
/// container that runs or starts; when the rules cannot be loaded and an interface requires them.
pub fn ensure(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    unfiltered: Unfiltered,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let nets = interfaces(config);
    if nets.is_empty() || is_proxmox() {
        return Ok(());
    }
    let kernel = Kernel::default();
    let made_here = is_made_here(node, Kernel::default())?;
    warn_of_firewalls(node, &kernel, config, output);
    let mut names: Vec<&str> = nets.iter().filter_map(|net| net.bridge.as_deref()).collect();
    names.sort_unstable();
    names.dedup();
    names.retain(|name| made_here(name));
    if names.is_empty() && !has_stale_rules(node, vmid, config) {
        return Ok(());
    }
    let _lock = lock(output)?;
    let mut settings = Settings::load(&node.layout.network_cfg())?;
    if names.is_empty() {
        return serve_ports(node, &kernel, &settings, Some((vmid, config)))?.loaded.filter;
    }
    for name in names {
        let mut network = settings.find(name).cloned().map_or_else(|| Network::new(name), Ok)?;
        let on_it = |net: &&NetInterface| net.bridge.as_deref() == Some(name);
        if network.six == Six::WhenAsked && nets.iter().filter(on_it).any(wants_six) {
            network.six = Six::Net(Net6::unique_local(random::bytes()?));
        }
        let raised = raise(node, &kernel, &mut settings, network, Some((vmid, config)))?;
        for problem in raised.problems {
            output.warning(problem);
        }
        let Err(failure) = raised.filter else { continue };
        let text = unfiltered_text(name, &failure);
        if unfiltered == Unfiltered::Refuse || nets.iter().filter(on_it).any(|net| net.firewall) {
            return Err(Failure::new(text));
        }
        output.warning(text);
    }
    Ok(())
}

/// Warns of interfaces that ask for rules on bridges of somebody else.
fn warn_of_firewalls(node: &Node, kernel: &Kernel, config: &ContainerConfig, output: &mut Output<'_>) {
    let is_foreign = |name: &String| kernel.owner(node.layout.root(), name) == Owner::Other;
    for (key, net) in config.nets().into_iter().filter(|(_, net)| net.firewall) {
        if let Some(bridge) = net.bridge.filter(is_foreign) {
            output.warning(format!(
                "{key}: firewall=1 does nothing on bridge '{bridge}', which this node did not make"
            ));
        }
    }
}

/// Returns which bridges the node makes itself when a container needs them, or has made.
///
/// # Errors
/// When `network.cfg` is wrong.
pub(crate) fn is_made_here(node: &Node, kernel: Kernel) -> NodeResult<impl Fn(&str) -> bool + use<>> {
    let known = Settings::load(&node.layout.network_cfg())?;
    let root = node.layout.root().to_owned();
    Ok(move |name: &str| match kernel.owner(&root, name) {
        _ if is_proxmox() => false,
        Owner::Other => false,
        Owner::Us => true,
        Owner::Nobody => name == DEFAULT_BRIDGE || known.find(name).is_some(),
    })
}

fn unfiltered_text(bridge: &str, failure: &Failure) -> String {
    format!("bridge '{bridge}': no rules restrict containers to their own addresses - {}", failure.text)
}

/// Whether rules are loaded for interfaces of a container that are now on other bridges.
fn has_stale_rules(node: &Node, vmid: Vmid, config: &ContainerConfig) -> bool {
    let names = Names::new(node.layout.lxc());
    let devices = config.main.family("net").into_iter().map(|(index, ..)| names.device(vmid, index));
    loaded::names_any(&node.layout, &devices.collect::<Vec<_>>())
}

/// Makes a bridge ready, or all of the file when `changed` is none; without any, `vmbr0`. Returns what failed and is
/// not vital.
///
/// # Errors
/// On a node of Proxmox VE; when something else has the name; when the bridge cannot be made or changed while
/// containers use it.
pub fn up(
    node: &Node,
    bridge: Option<&str>,
    keys: &[(String, String)],
    output: &mut Output<'_>,
) -> NodeResult<Vec<String>> {
    if is_proxmox() {
        return Err(Failure::new(
            "this is a node of Proxmox VE: its bridges are set in /etc/network/interfaces, pvect makes none",
        ));
    }
    // Report wrong values without taking the lock.
    let mut probe = Network::new(bridge.unwrap_or(DEFAULT_BRIDGE))?;
    for (key, value) in keys {
        probe.set(key, value)?;
    }
    store::ensure_root(node)?;
    let (kernel, root) = (Kernel::default(), node.layout.root());
    let _lock = lock(output)?;
    let mut settings = Settings::load(&node.layout.network_cfg())?;
    let mut wanted: Vec<Network> = match bridge {
        None if keys.is_empty() && !settings.networks.is_empty() => settings.networks.clone(),
        name => {
            let name = name.unwrap_or(DEFAULT_BRIDGE);
            vec![settings.find(name).cloned().map_or_else(|| Network::new(name), Ok)?]
        }
    };
    let mut problems = Vec::new();
    for mut network in wanted.drain(..) {
        let name = network.bridge.clone();
        let owner = kernel.owner(root, &name);
        if owner == Owner::Other {
            return Err(Failure::new(format!(
                "'{name}' exists and was not made by this node, so it is left alone: name another bridge with --bridge"
            )));
        }
        let before = network.clone();
        for (key, value) in keys {
            network.set(key, value)?;
        }
        network.check()?;
        let moved = (before.address, before.six, before.vlan_aware)
            != (network.address, network.six, network.vlan_aware);
        if owner == Owner::Us && moved && before.address.is_some() {
            let ports = kernel.ports(&name);
            if !ports.is_empty() {
                return Err(in_use(&name, &ports));
            }
            // Make it again, so that none of the old addresses remain.
            bridge::remove(&name)?;
        }
        let raised = raise(node, &kernel, &mut settings, network, None)?;
        problems.extend(raised.problems);
        problems.extend(raised.filter.err().map(|failure| unfiltered_text(&name, &failure)));
    }
    Ok(problems)
}

fn in_use(bridge: &str, ports: &[String]) -> Failure {
    Failure::new(format!("bridge '{bridge}' is in use by {}: stop their containers first", ports.join(", ")))
}

/// The result of [`raise`].
struct Raised {
    /// Failures that are not vital.
    problems: Vec<String>,
    /// Whether the rules for interfaces are in force.
    filter: NodeResult<()>,
}

/// A container that is about to run with this configuration.
type Starting<'a> = Option<(Vmid, &'a ContainerConfig)>;

/// Makes a bridge and all that serves it. The lock is held.
fn raise(
    node: &Node,
    kernel: &Kernel,
    settings: &mut Settings,
    mut network: Network,
    starting: Starting<'_>,
) -> NodeResult<Raised> {
    let (layout, root) = (&node.layout, node.layout.root());
    let name = network.bridge.clone();
    let host = HostDns::of_this_host();
    let net = match network.address {
        Some(net) => net,
        None => {
            let servers: Vec<_> = host.servers.iter().filter_map(|server| server.parse().ok()).collect();
            bridge::choose(kernel, root, &name, &servers)?
        }
    };
    network.address = Some(net);
    if settings.find(&name) != Some(&network) {
        settings.put(network.clone());
        settings.save(&layout.network_cfg())?;
    }
    let made = kernel.owner(root, &name) == Owner::Nobody;
    if made || !kernel.has(&name, &net) || network.net6().is_some() {
        bridge::check_free(kernel, &name, &net)?;
        if made {
            bridge::make(kernel, root, &network)?;
        }
        bridge::configure(&network, &net).inspect_err(|_| {
            if made {
                let _ = bridge::remove(&name);
            }
        })?;
    }
    let mut problems = Vec::new();
    let mut note = |what: &str, done: NodeResult<()>| {
        if let Err(failure) = done {
            problems.push(format!("bridge '{name}': {what} - {}", failure.text));
        }
    };
    let directory = layout.network_run();
    fs::create_dir_all(&directory).map_err(|error| Failure::io("can't create", &directory, &error))?;
    if network.nat {
        note("containers cannot reach other networks", nat::forward(kernel));
    }
    let Served { containers, addresses, lacking, loaded } = serve_ports(node, kernel, settings, starting)?;
    note("containers cannot reach other networks", loaded.nat);
    if network.dhcp || network.dns {
        let addresses = addresses.get(&name).cloned().unwrap_or_default();
        let done = serve(node, kernel, &network, &net, &host, &containers, &addresses);
        note("no addresses by DHCP and no names", done);
    } else {
        note("a server is left", dnsmasq::stop(&kernel.proc, &Files::of(layout, &name)));
    }
    problems.extend(lacking);
    Ok(Raised { problems, filter: kernel.learn_nothing_local(&name).and(loaded.filter) })
}

/// The result of [`serve_ports`].
struct Served {
    containers: Vec<(Vmid, ContainerConfig)>,
    /// The tables for DHCP.
    addresses: BTreeMap<String, Addresses>,
    /// Interfaces without an address, and tables that could not be written.
    lacking: Vec<String>,
    loaded: Loaded,
}

/// Gives the interfaces on all existing bridges of the node their addresses, and loads the rules.
///
/// # Errors
/// When the container that starts has an address of another one.
fn serve_ports(
    node: &Node,
    kernel: &Kernel,
    settings: &Settings,
    starting: Starting<'_>,
) -> NodeResult<Served> {
    let root = node.layout.root();
    let there: Vec<&Network> =
        settings.networks.iter().filter(|one| kernel.owner(root, &one.bridge) == Owner::Us).collect();
    let containers = containers(node, starting)?;
    let mut plan = Plan::load(node, &there, &containers)?;
    let vmid = starting.map(|(vmid, _)| vmid);
    if let Some(vmid) = vmid {
        plan.check(&plan.ports(kernel)?, vmid)?;
    }
    let lacking = plan.assign(vmid);
    let mut ports = plan.ports(kernel)?;
    plan.add_sets(&mut ports);
    let loaded = loaded::load(&node.layout, &Names::new(node.layout.lxc()).label(), &there, &ports);
    let addresses = plan.into_addresses();
    Ok(Served { containers, addresses, lacking, loaded })
}

fn serve(
    node: &Node,
    kernel: &Kernel,
    network: &Network,
    net: &Net4,
    host: &HostDns,
    containers: &[(Vmid, ContainerConfig)],
    addresses: &Addresses,
) -> NodeResult<()> {
    let files = Files::of(&node.layout, &network.bridge);
    let server = dnsmasq::Server {
        user: dnsmasq::user(Path::new("/etc/passwd")),
        host: node.name.as_str(),
        upstream: &host.servers,
    };
    let texts = dnsmasq::texts(network, net, &files, &server, containers, addresses)?;
    dnsmasq::start(&kernel.proc, &files, &texts)
}

/// The node's containers, without those whose file cannot be read. The one that starts has the configuration with which
/// it starts.
fn containers(node: &Node, starting: Starting<'_>) -> NodeResult<Vec<(Vmid, ContainerConfig)>> {
    let load = |vmid: Vmid| match starting {
        Some((current, config)) if current == vmid => Some((vmid, config.clone())),
        _ => Some((vmid, store::load(node, vmid).ok()?.config)),
    };
    let all = vmids::all(node)?.into_iter().filter_map(load);
    // A template never runs.
    Ok(all.filter(|(_, config)| !config.is_set("template")).collect())
}

/// Removes a bridge and what serves it, or all of the node's when none is named. Their settings stay.
///
/// # Errors
/// When devices are in it, unless `force`; when something cannot be removed.
pub fn down(node: &Node, bridge: Option<&str>, force: bool, output: &mut Output<'_>) -> NodeResult<()> {
    let (kernel, root) = (Kernel::default(), node.layout.root());
    let _lock = lock(output)?;
    let settings = Settings::load(&node.layout.network_cfg())?;
    let mut names: Vec<String> = settings.networks.iter().map(|one| one.bridge.clone()).collect();
    // Also those that somebody removed from the file.
    names.extend(kernel.marked());
    names.sort();
    names.dedup();
    let ours = |name: &str| kernel.owner(root, name) == Owner::Us;
    if let Some(bridge) = bridge {
        if !ours(bridge) && kernel.owner(root, bridge) == Owner::Other {
            return Err(Failure::new(format!("'{bridge}' was not made by this node, so it is left alone")));
        }
        names.retain(|name| name == bridge);
    }
    let mut used = names.iter().map(|name| (name, kernel.ports(name)));
    match used.find(|(name, ports)| ours(name) && !ports.is_empty()) {
        Some((name, ports)) if !force => return Err(in_use(name, &ports)),
        _ => {}
    }
    for name in &names {
        dnsmasq::stop(&kernel.proc, &Files::of(&node.layout, name))?;
        if ours(name) {
            bridge::remove(name)?;
        }
    }
    if node.layout.network_run().is_dir() {
        let loaded = serve_ports(node, &kernel, &settings, None)?.loaded;
        loaded.nat.and(loaded.filter)?;
    }
    nat::stop_forwarding(&kernel)
}

/// Returns the present state of the node's networks; without any, `vmbr0` as it would be made.
///
/// # Errors
/// When `network.cfg` is wrong.
pub fn states(node: &Node) -> NodeResult<Vec<State>> {
    let kernel = Kernel::default();
    let mut settings = Settings::load(&node.layout.network_cfg())?;
    if settings.networks.is_empty() {
        settings.put(Network::new(DEFAULT_BRIDGE)?);
    }
    Ok(settings.networks.iter().map(|network| state(node, &kernel, network)).collect())
}

fn state(node: &Node, kernel: &Kernel, network: &Network) -> State {
    let files = Files::of(&node.layout, &network.bridge);
    let owner = kernel.owner(node.layout.root(), &network.bridge);
    let up = network.address.is_some_and(|net| kernel.has(&network.bridge, &net));
    State {
        bridge: network.bridge.clone(),
        state: match owner {
            Owner::Other => "foreign",
            Owner::Us if up => "up",
            Owner::Us | Owner::Nobody => "down",
        },
        address: network.address.map(|net| net.to_string()),
        ip6: network.net6().map(|net| net.to_string()),
        dhcp: match dnsmasq::running(&kernel.proc, &files) {
            Some(_) => "running",
            None if network.dhcp || network.dns => "stopped",
            None => "off",
        },
        nat: network.nat,
        domain: network.domain.clone(),
        ports: if owner == Owner::Us { kernel.ports(&network.bridge) } else { Vec::new() },
        leases: leases::parse(&fs::read_to_string(&files.leases).unwrap_or_default()),
    }
}

/// Returns the name server of a container: the node's own, if the container is on one of the node's own bridges and can
/// reach it there.
pub fn resolver(node: &Node, config: &ContainerConfig) -> Option<HostDns> {
    let settings = Settings::load(&node.layout.network_cfg()).ok()?;
    let (kernel, root) = (Kernel::default(), node.layout.root());
    interfaces(config).iter().find_map(|net| {
        let network = settings.find(net.bridge.as_deref()?).filter(|network| network.dns)?;
        if net.link_down || kernel.owner(root, &network.bridge) != Owner::Us {
            return None;
        }
        Some(HostDns { servers: vec![server(network, net)?], search: vec![network.domain.clone()] })
    })
}

/// The server's address that an interface reaches.
fn server(network: &Network, net: &NetInterface) -> Option<String> {
    let four = network.address.filter(|own| match net.ip {
        Some(Ipv4Config::Dhcp) => network.dhcp,
        Some(Ipv4Config::Static(address, _)) => own.contains(address),
        Some(Ipv4Config::Manual) | None => false,
    });
    let six = network.net6().filter(|own| match net.ip6 {
        Some(Ipv6Config::Dhcp | Ipv6Config::Auto) => network.dhcp,
        Some(Ipv6Config::Static(address, _)) => own.contains(address),
        Some(Ipv6Config::Manual) | None => false,
    });
    four.map(|own| own.address.to_string()).or_else(|| six.map(|own| own.address.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_count_for_the_task() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        let kernel = Kernel { net: dir.path().join("net"), proc: dir.path().join("proc") };
        fs::create_dir_all(kernel.net.join("br9/bridge")).unwrap();
        let mut config = ContainerConfig::default();
        config.main.set("net0", "name=eth0,bridge=br9,firewall=1");
        config.main.set("net1", "name=eth1,bridge=br9");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut err);
        warn_of_firewalls(&node, &kernel, &config, &mut output);
        assert_eq!(output.warned(), 1);
        let text = "WARN: net0: firewall=1 does nothing on bridge 'br9', which this node did not make\n";
        assert_eq!((String::from_utf8(out).unwrap().as_str(), err.as_slice()), (text, &b""[..]));
    }

    #[test]
    fn a_container_asks_the_server_that_it_reaches() {
        let mut network = Network::new("vmbr0").unwrap();
        network.set("address", "10.1.2.1/24").unwrap();
        network.set("ip6", "fd00:1::1/64").unwrap();
        for (text, expected) in [
            ("ip=dhcp", Some("10.1.2.1")),
            ("ip=10.1.2.9/24", Some("10.1.2.1")),
            ("ip=10.9.9.9/24", None),
            ("ip=10.9.9.9/24,ip6=auto", Some("fd00:1::1")),
            ("ip6=fd00:1::9/64", Some("fd00:1::1")),
            ("ip6=manual", None),
        ] {
            let net = NetInterface::parse("net0", &format!("name=eth0,bridge=vmbr0,{text}")).unwrap();
            assert_eq!(server(&network, &net).as_deref(), expected, "{text}");
        }
        network.dhcp = false;
        let net = NetInterface::parse("net0", "name=eth0,bridge=vmbr0,ip=dhcp").unwrap();
        assert_eq!(server(&network, &net), None);
    }
}
