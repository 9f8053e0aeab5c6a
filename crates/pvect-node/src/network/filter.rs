//! What a container may send into the node's own bridges: nothing under another's name.
//!
//! One table of the family `bridge`. Its rules are the same for all interfaces; sets say which interface has which MAC
//! and IP addresses. They look at a packet where it comes into the bridge, before the bridge learns its source. The
//! interfaces are known by name, so the rules are there before an interface is. Source: nft(8).

use std::collections::BTreeSet;
use std::fmt::{Display, Write as _};
use std::net::{Ipv4Addr, Ipv6Addr};

use pvect_core::Vmid;

use super::addresses::Mac;

/// A container's interface on one of the node's own bridges.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Port {
    /// Its container.
    pub vmid: Vmid,
    /// `net0`.
    pub key: String,
    /// Its bridge.
    pub bridge: String,
    /// Its VLAN.
    pub tag: Option<u16>,
    /// The host's end.
    pub device: String,
    /// Its MAC address; without one nothing passes.
    pub mac: Option<Mac>,
    /// Its IPv4 addresses.
    pub four: BTreeSet<Ipv4Addr>,
    /// Its IPv6 addresses.
    pub six: BTreeSet<Ipv6Addr>,
    /// Whether IP addresses are not checked.
    pub any_address: bool,
    /// VLANs in which it has a network of its own, where only the MAC address is checked.
    pub trunks: Vec<u16>,
}

/// The rules that all interfaces share.
///
/// An Ethernet frame is let through when its source is the interface's MAC address and it holds, without a VLAN tag (one
/// of the number 0 would hide what is in it):
/// - ARP from that MAC address and an IP address of the interface, or a probe (source 0.0.0.0) for one;
/// - IPv4 from such an address, or the question of a DHCP client; to a DHCP server only for its own MAC address, which
///   is what the server goes by, and in one piece, since the address may lie in the second; nothing that a DHCP server
///   says;
/// - IPv6 from such an address, but no router advertisement, redirect, or word of a DHCP server; neighbour
///   advertisements for its own addresses alone; from `::` only what a host says before it has an address. A packet
///   whose extension headers hide what it is (`meta l4proto` is then unknown) is dropped.
///
/// Frames to the bridge itself (01:80:c2:00:00:0x) take another way; see also [`Kernel::learn_nothing_local`].
///
/// [`Kernel::learn_nothing_local`]: super::bridge::Kernel::learn_nothing_local
const CHAINS: &str = "\
\tchain guest_arp {
\t\t@nh,0,48 != 0x000108000604 drop
\t\tmeta protocol arp iifname . arp saddr ether != @macs drop
\t\tiifname @any accept
\t\tmeta protocol arp iifname . arp saddr ip @four accept
\t\tmeta protocol arp arp saddr ip 0.0.0.0 iifname . arp daddr ip @four accept
\t\tdrop
\t}
\tchain guest_four_source {
\t\tiifname @any accept
\t\tiifname . ip saddr @four accept
\t\tip saddr 0.0.0.0 udp sport 68 udp dport 67 accept
\t\tdrop
\t}
\tchain guest_four {
\t\tudp sport 67 drop
\t\tudp dport 68 drop
\t\tip frag-off & 0x3fff != 0 udp dport 67 drop
\t\tudp dport 67 iifname . @th,288,48 @clients goto guest_four_source
\t\tudp dport 67 drop
\t\tgoto guest_four_source
\t}
\tchain guest_six {
\t\tudp sport 547 drop
\t\tudp dport 546 drop
\t\tmeta l4proto icmpv6 @th,0,8 { 134, 137 } drop
\t\tiifname @any meta l4proto != 255 accept
\t\tmeta l4proto icmpv6 @th,0,8 136 iifname . @th,64,128 != @targets drop
\t\tiifname . ip6 saddr @six meta l4proto != 255 accept
\t\tip6 saddr :: meta l4proto icmpv6 @th,0,8 135 iifname . @th,64,128 @targets accept
\t\tip6 saddr :: meta l4proto icmpv6 @th,0,8 { 131, 132, 133, 143 } accept
\t\tdrop
\t}
\tchain guest {
\t\tiifname . ether saddr != @macs drop
\t\tjump trunks
\t\tether type != { arp, ip, ip6 } drop
\t\tmeta protocol vmap { arp : goto guest_arp, ip : goto guest_four, ip6 : goto guest_six }
\t\tdrop
\t}
\tchain prerouting {
\t\ttype filter hook prerouting priority -310; policy accept;
\t\tiifname @ports goto guest
\t}
\tchain input {
\t\ttype filter hook input priority -310; policy accept;
\t\tiifname @ports ether daddr & ff:ff:ff:ff:ff:f0 == 01:80:c2:00:00:00 drop
\t}
";

/// The table with these interfaces; loading it replaces the old one. Without interfaces, removes the table.
pub fn rules(table: &str, ports: &[Port]) -> String {
    let mut text = format!("table bridge {table}\ndelete table bridge {table}\n");
    if ports.is_empty() {
        return text;
    }
    let _ = writeln!(text, "table bridge {table} {{");
    let mut set = |name: &str, key: &str, elements: Vec<String>| {
        let _ = writeln!(text, "\tset {name} {{\n\t\t{key}");
        if !elements.is_empty() {
            let _ = writeln!(text, "\t\telements = {{ {} }}", elements.join(", "));
        }
        text += "\t}\n";
    };
    let names = |of: &dyn Fn(&Port) -> bool| {
        ports.iter().filter(|port| of(port)).map(|port| format!("\"{}\"", port.device)).collect()
    };
    set("ports", "type ifname", names(&|_| true));
    set("any", "type ifname", names(&|port| port.any_address));
    let macs = |port: &Port| port.mac.into_iter().collect::<Vec<_>>();
    set("macs", "type ifname . ether_addr", pairs(ports, macs));
    set("clients", "typeof iifname . @th,288,48", pairs(ports, |port| hex(port.mac.map(Mac::bits))));
    set("four", "type ifname . ipv4_addr", pairs(ports, |port| port.four.clone()));
    set("six", "type ifname . ipv6_addr", pairs(ports, |port| port.six.clone()));
    set("targets", "typeof iifname . @th,64,128", pairs(ports, |port| hex(port.six.iter().copied())));
    text += "\tchain trunks {\n";
    for port in ports.iter().filter(|port| !port.trunks.is_empty()) {
        let trunks: Vec<String> = port.trunks.iter().map(u16::to_string).collect();
        let _ = writeln!(text, "\t\tiifname \"{}\" vlan id {{ {} }} accept", port.device, trunks.join(", "));
    }
    text += "\t}\n";
    text + CHAINS + "}\n"
}

/// Set elements, each of an interface and one of its values.
fn pairs<I>(ports: &[Port], of: impl Fn(&Port) -> I) -> Vec<String>
where
    I: IntoIterator,
    I::Item: Display,
{
    let pair = |port: &Port| {
        let device = port.device.clone();
        of(port).into_iter().map(move |item| format!("\"{device}\" . {item}")).collect::<Vec<_>>()
    };
    ports.iter().flat_map(pair).collect()
}

/// Numbers in nft's form for bytes of a packet.
fn hex<I>(numbers: I) -> Vec<String>
where
    I: IntoIterator,
    I::Item: Into<u128>,
{
    numbers.into_iter().map(|number| format!("{:#x}", number.into())).collect()
}

/// Reads the set of interfaces as `nft list set` prints it.
pub fn listed(text: &str) -> BTreeSet<String> {
    text.split('"').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(device: &str) -> Port {
        Port {
            vmid: "101".parse().unwrap(),
            key: "net0".to_owned(),
            bridge: "vmbr0".to_owned(),
            tag: None,
            device: device.to_owned(),
            mac: Mac::parse("bc:24:11:00:00:01"),
            four: BTreeSet::from(["10.1.2.5".parse().unwrap()]),
            six: BTreeSet::from(["fe80::1".parse().unwrap(), "fd00::1".parse().unwrap()]),
            any_address: false,
            trunks: Vec::new(),
        }
    }

    #[test]
    fn the_sets_say_what_each_interface_has() {
        let free = Port { any_address: true, trunks: vec![5, 6], ..port("veth102i0") };
        let closed = Port { mac: None, four: BTreeSet::new(), six: BTreeSet::new(), ..port("veth103i0") };
        let text = rules("pvect", &[port("veth101i0"), free, closed]);
        for part in [
            "table bridge pvect\ndelete table bridge pvect\ntable bridge pvect {\n",
            "set ports {\n\t\ttype ifname\n\t\telements = { \"veth101i0\", \"veth102i0\", \"veth103i0\" }\n",
            "set any {\n\t\ttype ifname\n\t\telements = { \"veth102i0\" }\n",
            "elements = { \"veth101i0\" . bc:24:11:00:00:01, \"veth102i0\" . bc:24:11:00:00:01 }\n",
            "elements = { \"veth101i0\" . 0xbc2411000001, ",
            "elements = { \"veth101i0\" . 10.1.2.5, ",
            "elements = { \"veth101i0\" . fd00::1, \"veth101i0\" . fe80::1, ",
            "elements = { \"veth101i0\" . 0xfd000000000000000000000000000001, ",
            "\tchain trunks {\n\t\tiifname \"veth102i0\" vlan id { 5, 6 } accept\n\t}\n",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(!text.contains("\"veth103i0\" ."), "{text}");
        assert_eq!(rules("pvect", &[]), "table bridge pvect\ndelete table bridge pvect\n");
    }

    #[test]
    fn the_set_of_interfaces_is_read() {
        let text = "table bridge pvect {\n\tset ports {\n\t\ttype ifname\n\t\telements = { \"veth101i0\", \"veth102i0\" }\n\
                    \t}\n}\n";
        assert_eq!(listed(text), ["veth101i0", "veth102i0"].map(str::to_owned).into());
        assert_eq!(listed(""), BTreeSet::new());
    }
}
