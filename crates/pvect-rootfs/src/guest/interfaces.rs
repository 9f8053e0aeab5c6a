//! `/etc/network/interfaces`, for Debian, Devuan, Alpine and old Ubuntu.
//!
//! Stanzas of the container's own interfaces are written anew, other lines stay. Source: interfaces(5).

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};

use super::Guest;
use crate::NodeResult;

const PATH: &str = "/etc/network/interfaces";

/// The settings of one interface for one address family.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Family {
    /// `dhcp`, `manual`, `auto`; `static` with an address; `None`: no stanza.
    method: Option<&'static str>,
    address: Option<(IpAddr, u8)>,
    gateway: Option<IpAddr>,
}

/// How addresses are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// `address 10.0.0.1/24`.
    Cidr,
    /// `address` and `netmask` lines.
    Netmask,
}

type Interfaces = BTreeMap<String, [Family; 2]>;

/// Writes the file from the configuration; without a configured interface the file is left as it is.
pub fn setup(guest: &Guest<'_>) -> NodeResult<()> {
    let alpine = guest.system.ostype == "alpine";
    let interfaces: Interfaces = guest.networks().iter().filter_map(|net| families(net, alpine)).collect();
    if interfaces.is_empty() {
        return Ok(());
    }
    let form = match guest.system.ostype.as_str() {
        "debian" if guest.system.at_least(10, 0) => Form::Cidr,
        "alpine" if guest.system.at_least(3, 13) => Form::Cidr,
        _ => Form::Netmask,
    };
    let old = guest.read(PATH)?.unwrap_or_default();
    guest.write(PATH, &rewrite(&old, &interfaces, form), 0o644)
}

/// `None` for an interface that says nothing about addresses.
fn families(net: &NetInterface, alpine: bool) -> Option<(String, [Family; 2])> {
    if net.ip.is_none() && net.ip6.is_none() && net.gw.is_none() && net.gw6.is_none() {
        return None;
    }
    let (method, address) = match net.ip {
        Some(Ipv4Config::Dhcp) => (Some("dhcp"), None),
        Some(Ipv4Config::Manual) => (Some("manual"), None),
        Some(Ipv4Config::Static(address, prefix)) => (Some("static"), Some((address.into(), prefix))),
        None => (None, None),
    };
    let four = Family { method, address, gateway: net.gw.map(Into::into) };
    let (method, address) = match net.ip6 {
        // BusyBox has neither a working udhcpc6 nor the method auto, so the kernel uses router advertisements.
        Some(Ipv6Config::Dhcp | Ipv6Config::Auto) if alpine => (Some("manual"), None),
        Some(Ipv6Config::Dhcp) => (Some("dhcp"), None),
        Some(Ipv6Config::Auto) => (Some("auto"), None),
        Some(Ipv6Config::Manual) => (Some("manual"), None),
        Some(Ipv6Config::Static(address, prefix)) => (Some("static"), Some((address.into(), prefix))),
        None => (None, None),
    };
    let six = Family { method, address, gateway: net.gw6.map(Into::into) };
    Some((net.name.clone(), [four, six]))
}

/// The stanza of the old file that is being read.
struct Open<'a> {
    name: &'a str,
    six: bool,
    attributes: Vec<&'a str>,
}

/// The new file while it is made.
struct Rewriter<'a> {
    interfaces: &'a Interfaces,
    form: Form,
    text: String,
    auto: BTreeSet<String>,
    done: BTreeSet<(String, bool)>,
}

fn rewrite(old: &str, interfaces: &Interfaces, form: Form) -> String {
    let mut new =
        Rewriter { interfaces, form, text: String::new(), auto: BTreeSet::new(), done: BTreeSet::new() };
    let mut open: Option<Open<'_>> = None;
    let mut ours = false;
    for line in old.lines() {
        if line.starts_with("# --- ") && line.ends_with(" PVE ---") {
            ours = line.contains("BEGIN");
            continue;
        }
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        match words[..] {
            _ if ours => {}
            [] => match open.take() {
                Some(stanza) => new.stanza(&stanza),
                None => new.line(line),
            },
            ["iface", name, family @ ("inet" | "inet6"), _] => {
                new.close(&mut open);
                if interfaces.contains_key(name) {
                    open = Some(Open { name, six: family == "inet6", attributes: Vec::new() });
                } else {
                    new.line(line);
                }
            }
            ["auto", ref names @ ..] => {
                new.close(&mut open);
                new.auto.extend(names.iter().map(|name| (*name).to_owned()));
                new.line(line);
            }
            [word, ..] if begins_stanza(word) => {
                new.close(&mut open);
                new.line(line);
            }
            [word, ..] => match &mut open {
                Some(_) if matches!(word, "address" | "netmask" | "gateway" | "broadcast") => {}
                Some(stanza) if !word.starts_with('#') => stanza.attributes.push(line.trim()),
                _ => new.line(line),
            },
        }
    }
    new.close(&mut open);
    new.missing()
}

fn begins_stanza(word: &str) -> bool {
    matches!(
        word,
        "iface" | "mapping" | "source" | "source-directory" | "rename" | "no-auto-down" | "no-scripts"
    ) || word.starts_with("allow-")
}

impl Rewriter<'_> {
    fn line(&mut self, line: &str) {
        self.text += line;
        self.text.push('\n');
    }

    fn close(&mut self, open: &mut Option<Open<'_>>) {
        if let Some(stanza) = open.take() {
            self.stanza(&stanza);
        }
    }

    fn stanza(&mut self, stanza: &Open<'_>) {
        let Some(families) = self.interfaces.get(stanza.name) else { return };
        let family = &families[usize::from(stanza.six)];
        if !self.done.insert((stanza.name.to_owned(), stanza.six)) {
            return;
        }
        if self.auto.insert(stanza.name.to_owned()) {
            self.line(&format!("auto {}", stanza.name));
        }
        let Some(method) = family.method else { return };
        let inet = if stanza.six { "inet6" } else { "inet" };
        self.line(&format!("iface {} {inet} {method}", stanza.name));
        if let Some((address, prefix)) = family.address {
            match (self.form, address) {
                (Form::Cidr, _) => self.line(&format!("\taddress {address}/{prefix}")),
                (Form::Netmask, IpAddr::V4(_)) => {
                    self.line(&format!("\taddress {address}\n\tnetmask {}", netmask(prefix)));
                }
                (Form::Netmask, IpAddr::V6(_)) => {
                    self.line(&format!("\taddress {address}\n\tnetmask {prefix}"));
                }
            }
            match family.gateway {
                Some(gateway) if reachable(gateway, address, prefix) => {
                    self.line(&format!("\tgateway {gateway}"));
                }
                Some(gateway) => self.far_gateway(stanza.name, gateway),
                None => {}
            }
        }
        for attribute in without_old_routes(&stanza.attributes) {
            self.line(&format!("\t{attribute}"));
        }
        self.line("");
    }

    /// A gateway outside of the interface's network needs a route of its own first.
    fn far_gateway(&mut self, name: &str, gateway: IpAddr) {
        self.line("# --- BEGIN PVE ---");
        for (when, what) in [
            ("post-up", format!("ip route add {gateway} dev {name}")),
            ("post-up", format!("ip route add default via {gateway} dev {name}")),
            ("pre-down", format!("ip route del default via {gateway} dev {name}")),
            ("pre-down", format!("ip route del {gateway} dev {name}")),
        ] {
            self.line(&format!("\t{when} {what}"));
        }
        self.line("# --- END PVE ---");
    }

    /// Adds the stanzas that the old file did not have, and the loopback interface.
    fn missing(mut self) -> String {
        let interfaces = self.interfaces;
        for (name, families) in interfaces {
            for (six, family) in [(false, &families[0]), (true, &families[1])] {
                if family.method.is_none() || self.done.contains(&(name.clone(), six)) {
                    continue;
                }
                if !self.text.is_empty() && !self.text.ends_with("\n\n") {
                    self.line("");
                }
                self.stanza(&Open { name, six, attributes: Vec::new() });
            }
        }
        if self.auto.contains("lo") {
            return self.text;
        }
        format!("auto lo\niface lo inet loopback\niface lo inet6 loopback\n\n{}", self.text)
    }
}

/// The attributes without the four lines of the route to a gateway outside the network, which older versions wrote
/// without marks.
fn without_old_routes<'a>(attributes: &[&'a str]) -> Vec<&'a str> {
    let is_ours = |lines: &[&str]| {
        let [add, add_default, del_default, del] = lines else { return false };
        let words: Vec<&str> = add.split_ascii_whitespace().collect();
        let ["post-up", "ip", "route", "add", gateway, "dev", name] = words[..] else { return false };
        let is = |line: &str, text: String| line.split_ascii_whitespace().eq(text.split(' '));
        is(add_default, format!("post-up ip route add default via {gateway} dev {name}"))
            && is(del_default, format!("pre-down ip route del default via {gateway} dev {name}"))
            && is(del, format!("pre-down ip route del {gateway} dev {name}"))
    };
    let mut kept = Vec::new();
    let mut rest = attributes;
    while let Some((first, others)) = rest.split_first() {
        if rest.get(..4).is_some_and(is_ours) {
            rest = &rest[4..];
        } else {
            kept.push(*first);
            rest = others;
        }
    }
    kept
}

/// Returns whether a gateway lies in the network of an address; link-local ones (IPv6) always do.
pub(super) fn reachable(gateway: IpAddr, address: IpAddr, prefix: u8) -> bool {
    match (gateway, address) {
        (IpAddr::V4(gateway), IpAddr::V4(address)) => {
            let mask = u32::from(netmask(prefix));
            u32::from(gateway) & mask == u32::from(address) & mask
        }
        (IpAddr::V6(gateway), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(prefix.min(128))).unwrap_or(0);
            let local = gateway.segments()[0] & 0xffc0 == 0xfe80;
            local || u128::from(gateway) & mask == u128::from(address) & mask
        }
        _ => false,
    }
}

/// Returns whether a gateway lies outside of the interface's own network, so that it needs a route. Without a static
/// address of the same family there is no such network.
pub(super) fn is_far(net: &NetInterface, gateway: IpAddr) -> bool {
    match (gateway, net.ip, net.ip6) {
        (IpAddr::V4(_), Some(Ipv4Config::Static(address, prefix)), _) => {
            !reachable(gateway, address.into(), prefix)
        }
        (IpAddr::V6(_), _, Some(Ipv6Config::Static(address, prefix))) => {
            !reachable(gateway, address.into(), prefix)
        }
        _ => false,
    }
}

/// The network mask of a prefix length.
pub(super) fn netmask(prefix: u8) -> Ipv4Addr {
    Ipv4Addr::from(u32::MAX.checked_shl(32 - u32::from(prefix.min(32))).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fixed(gateway: &str) -> Family {
        Family {
            method: Some("static"),
            address: Some(("10.10.10.11".parse().unwrap(), 24)),
            gateway: gateway.parse().ok(),
        }
    }

    fn one(four: Family, six: Family) -> Interfaces {
        [("eth0".to_owned(), [four, six])].into()
    }

    #[test]
    fn an_empty_file_is_filled_as_recorded() {
        let old = "auto lo\niface lo inet loopback\n";
        let new = rewrite(old, &one(fixed("10.10.10.1"), Family::default()), Form::Cidr);
        assert_eq!(
            new,
            "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n\taddress 10.10.10.11/24\n\
             \tgateway 10.10.10.1\n\n"
        );
        // Writing it again changes nothing.
        assert_eq!(rewrite(&new, &one(fixed("10.10.10.1"), Family::default()), Form::Cidr), new);
    }

    #[test]
    fn other_lines_and_attributes_stay() {
        let old = "# mine\nsource /etc/network/interfaces.d/*\n\nauto eth0\niface eth0 inet dhcp\n    up echo hello\n\
                   \niface eth1 inet manual\n\tmtu 9000\n";
        let new = rewrite(old, &one(fixed("192.168.0.1"), Family::default()), Form::Netmask);
        assert_eq!(
            new,
            "auto lo\niface lo inet loopback\niface lo inet6 loopback\n\n# mine\n\
             source /etc/network/interfaces.d/*\n\nauto eth0\niface eth0 inet static\n\taddress 10.10.10.11\n\
             \tnetmask 255.255.255.0\n# --- BEGIN PVE ---\n\tpost-up ip route add 192.168.0.1 dev eth0\n\
             \tpost-up ip route add default via 192.168.0.1 dev eth0\n\
             \tpre-down ip route del default via 192.168.0.1 dev eth0\n\
             \tpre-down ip route del 192.168.0.1 dev eth0\n# --- END PVE ---\n\tup echo hello\n\n\
             iface eth1 inet manual\n\tmtu 9000\n"
        );
        assert_eq!(rewrite(&new, &one(fixed("192.168.0.1"), Family::default()), Form::Netmask), new);
    }

    #[test]
    fn both_families_are_written() {
        let dhcp = Family { method: Some("dhcp"), ..Family::default() };
        let auto = Family { method: Some("auto"), ..Family::default() };
        let new = rewrite("", &one(dhcp, auto), Form::Cidr);
        assert_eq!(
            new,
            "auto lo\niface lo inet loopback\niface lo inet6 loopback\n\nauto eth0\niface eth0 inet dhcp\n\n\
             iface eth0 inet6 auto\n\n"
        );
    }

    #[test]
    fn gateways_are_judged() {
        let ip = |text: &str| text.parse().unwrap();
        assert!(reachable(ip("10.0.1.1"), ip("10.0.0.5"), 23));
        assert!(!reachable(ip("10.0.2.1"), ip("10.0.0.5"), 23));
        assert!(reachable(ip("fe80::1"), ip("2001:db8::5"), 64));
        assert!(!reachable(ip("2001:db9::1"), ip("2001:db8::5"), 64));
        assert!(reachable(ip("1.2.3.4"), ip("10.0.0.5"), 0));
    }
}
