//! What `pvect doctor` says of the node's own networks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pvect_native::Names;

use super::bridge::{Kernel, Owner};
use super::dnsmasq::{self, Files};
use super::loaded;
use super::settings::{DEFAULT_BRIDGE, Network, Settings};
use crate::{Node, NodeResult, vmids};

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    /// Whether it is all right.
    pub ok: bool,
    /// What was found.
    pub detail: String,
    /// The command that repairs it.
    pub fix: Option<String>,
}

impl Check {
    fn ok(detail: impl Into<String>) -> Self {
        Self { ok: true, detail: detail.into(), fix: None }
    }

    fn wrong(detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { ok: false, detail: detail.into(), fix: Some(fix.into()) }
    }
}

const PROGRAMS: [(&str, &str, &str); 2] = [
    ("dnsmasq", "dnsmasq-base", "gives addresses by DHCP and answers names"),
    ("nft", "nftables", "lets containers reach other networks and restricts them to their own addresses"),
];

/// Looks at the programs, the settings, the bridges and what serves them.
pub fn checks(node: &Node) -> Vec<Check> {
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    let mut found = programs(&places);
    match Settings::load(&node.layout.network_cfg()) {
        Err(failure) => {
            let fix = format!("edit {}", node.layout.network_cfg().display());
            found.push(Check::wrong(failure.text, fix));
        }
        Ok(settings) if settings.networks.is_empty() => found.push(unused(&Kernel::default(), node)),
        Ok(settings) => found.extend(settings.networks.iter().flat_map(|network| {
            let kernel = Kernel::default();
            let mut found = of_bridge(&kernel, node, network);
            found.extend(unfiltered(network, &containers_on(&kernel, node, network), &|| {
                loaded::in_force(&Names::new(node.layout.lxc()).label())
            }));
            found
        })),
    }
    found
}

fn programs(places: &[PathBuf]) -> Vec<Check> {
    let is_there = |name: &str| places.iter().any(|place| place.join(name).is_file());
    let missing = PROGRAMS.iter().filter(|(name, ..)| !is_there(name));
    missing
        .map(|(name, package, what)| {
            Check::wrong(format!("{name} is missing, which {what}"), format!("apt-get install {package}"))
        })
        .collect()
}

fn unused(kernel: &Kernel, node: &Node) -> Check {
    match kernel.owner(node.layout.root(), DEFAULT_BRIDGE) {
        Owner::Nobody => Check::ok(format!("'{DEFAULT_BRIDGE}' is made when a container first uses it")),
        Owner::Other => Check::ok(format!("'{DEFAULT_BRIDGE}' is not this node's and is used as it is")),
        Owner::Us => Check::wrong(
            format!("'{DEFAULT_BRIDGE}' is this node's, but not in its network.cfg"),
            "pvect node network down --force",
        ),
    }
}

fn of_bridge(kernel: &Kernel, node: &Node, network: &Network) -> Vec<Check> {
    let name = &network.bridge;
    let up = format!("pvect node network up --bridge {name}");
    let Some(net) = network.address else { return vec![Check::ok(format!("'{name}' was not used yet"))] };
    match kernel.owner(node.layout.root(), name) {
        Owner::Other => {
            return vec![Check::wrong(
                format!("'{name}' is in network.cfg, but something else has the name"),
                format!("remove that device, or the section from {}", node.layout.network_cfg().display()),
            )];
        }
        Owner::Nobody => {
            return match super::bridge::check_free(kernel, name, &net) {
                Ok(()) => vec![Check::ok(format!("'{name}' ({net}) is made when a container first uses it"))],
                Err(failure) => {
                    vec![Check::wrong(failure.text, format!("{up} --address ADDRESS/24"))]
                }
            };
        }
        Owner::Us => {}
    }
    let mut found = Vec::new();
    if !kernel.has(name, &net) {
        found.push(Check::wrong(format!("'{name}' has lost its address {net}, or is down"), &up));
    }
    if let Err(failure) = super::bridge::check_free(kernel, name, &net) {
        found.push(Check::wrong(failure.text, format!("{up} --address ADDRESS/24")));
    }
    let files = Files::of(&node.layout, name);
    if (network.dhcp || network.dns) && dnsmasq::running(&kernel.proc, &files).is_none() {
        found.push(Check::wrong(format!("nothing gives addresses or answers names on '{name}'"), &up));
    }
    if network.nat && !forwards(&kernel.proc) {
        found.push(Check::wrong(format!("the host does not forward packets of '{name}'"), &up));
    }
    if found.is_empty() {
        let count = kernel.ports(name).len();
        found.push(Check::ok(format!("'{name}' ({net}) is up, interfaces in it: {count}")));
    }
    found
}

/// The interfaces of containers on a bridge of the node's own.
fn containers_on(kernel: &Kernel, node: &Node, network: &Network) -> Vec<String> {
    if kernel.owner(node.layout.root(), &network.bridge) != Owner::Us {
        return Vec::new();
    }
    let names = Names::new(node.layout.lxc());
    let vmids = vmids::all(node).unwrap_or_default();
    let is_container = |device: &String| vmids.iter().any(|vmid| names.is_device(*vmid, device));
    kernel.ports(&network.bridge).into_iter().filter(is_container).collect()
}

/// Whether rules restrict each of these interfaces to its own addresses.
fn unfiltered(
    network: &Network,
    devices: &[String],
    in_force: &dyn Fn() -> NodeResult<BTreeSet<String>>,
) -> Option<Check> {
    if devices.is_empty() {
        return None;
    }
    let name = &network.bridge;
    let detail = match in_force() {
        Err(failure) => {
            format!("no rules restrict the containers on '{name}' to their own addresses - {}", failure.text)
        }
        Ok(held) => {
            let free: Vec<&str> =
                devices.iter().filter(|device| !held.contains(*device)).map(String::as_str).collect();
            if free.is_empty() {
                return None;
            }
            format!("no rules restrict {} on '{name}' to the container's own addresses", free.join(", "))
        }
    };
    Some(Check::wrong(detail, format!("pvect node network up --bridge {name}")))
}

fn forwards(proc: &Path) -> bool {
    std::fs::read_to_string(proc.join("sys/net/ipv4/ip_forward")).is_ok_and(|text| text.trim() == "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(root: &Path) -> Node {
        crate::fixture::node(root)
    }

    #[test]
    fn missing_programs_have_their_package() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("nft"), "").unwrap();
        assert_eq!(
            programs(&[dir.path().to_owned()]),
            [Check::wrong(
                "dnsmasq is missing, which gives addresses by DHCP and answers names",
                "apt-get install dnsmasq-base"
            )]
        );
    }

    #[test]
    fn an_interface_without_rules_is_told() {
        let network = Network::new("vmbr0").unwrap();
        let devices = ["veth101i0".to_owned(), "veth102i0".to_owned()];
        let held = |names: &[String]| {
            let names: BTreeSet<String> = names.iter().cloned().collect();
            unfiltered(&network, &devices, &|| Ok(names.clone()))
        };
        assert_eq!(held(&devices), None);
        assert_eq!(
            held(&devices[1..]),
            Some(Check::wrong(
                "no rules restrict veth101i0 on 'vmbr0' to the container's own addresses",
                "pvect node network up --bridge vmbr0"
            ))
        );
        let failed = || Err(crate::Failure::new("no such table"));
        let found = unfiltered(&network, &devices, &failed).unwrap();
        assert_eq!(
            found.detail,
            "no rules restrict the containers on 'vmbr0' to their own addresses - no such table"
        );
        assert_eq!(unfiltered(&network, &[], &failed), None);
    }

    #[test]
    fn each_state_of_a_bridge_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let kernel = Kernel { net: dir.path().join("net"), proc: dir.path().join("proc") };
        let node = node(dir.path());
        let mut network = Network::new("vmbr0").unwrap();
        let told = |network: &Network| of_bridge(&kernel, &node, network).remove(0);
        assert_eq!(told(&network), Check::ok("'vmbr0' was not used yet"));
        network.set("address", "10.1.2.1/24").unwrap();
        assert_eq!(told(&network), Check::ok("'vmbr0' (10.1.2.1/24) is made when a container first uses it"));
        assert_eq!(unused(&kernel, &node), Check::ok("'vmbr0' is made when a container first uses it"));
        std::fs::create_dir_all(kernel.net.join("vmbr0/bridge")).unwrap();
        std::fs::write(kernel.net.join("vmbr0/address"), "aa:00:00:00:00:01\n").unwrap();
        assert_eq!(told(&network).detail, "'vmbr0' is in network.cfg, but something else has the name");
        assert_eq!(unused(&kernel, &node), Check::ok("'vmbr0' is not this node's and is used as it is"));
        let own = super::super::bridge::mark(dir.path(), "vmbr0");
        std::fs::write(kernel.net.join("vmbr0/address"), format!("{own}\n")).unwrap();
        let found = of_bridge(&kernel, &node, &network);
        let details: Vec<&str> = found.iter().map(|check| check.detail.as_str()).collect();
        assert_eq!(
            details,
            [
                "'vmbr0' has lost its address 10.1.2.1/24, or is down",
                "nothing gives addresses or answers names on 'vmbr0'",
                "the host does not forward packets of 'vmbr0'"
            ]
        );
        assert!(
            found
                .iter()
                .all(|check| { check.fix.as_deref() == Some("pvect node network up --bridge vmbr0") })
        );
    }
}
