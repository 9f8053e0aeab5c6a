//! `etc/pve/network.cfg`: the bridges that the node makes itself.
//!
//! The grammar is that of `storage.cfg`: `bridge: NAME` begins a section, indented `key value` lines follow. Unknown
//! keys and sections are kept.

use std::fmt::Write as _;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;

use super::subnet::{Net4, Net6};
use crate::{Failure, FailureKind, NodeResult, files};

/// The bridge that is made without being named anywhere.
pub const DEFAULT_BRIDGE: &str = "vmbr0";
/// The domain of the containers' names. `internal` is reserved for private use (ICANN, 2024).
pub const DEFAULT_DOMAIN: &str = "pvect.internal";
/// The longest name of a network device. Source: `IFNAMSIZ` of linux/if.h, less the final NUL.
const NAME_LENGTH: usize = 15;
const KIND: &str = "bridge";

/// The IPv6 setting of a bridge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Six {
    /// A network is chosen once a container asks for IPv6.
    #[default]
    WhenAsked,
    /// Never.
    Never,
    /// The bridge's address and its network.
    Net(Net6),
}

/// One bridge of the node's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Network {
    /// Its name.
    pub bridge: String,
    /// The host's address on it and the network; `None`: one is chosen at first use.
    pub address: Option<Net4>,
    /// IPv6.
    pub six: Six,
    /// Whether addresses are given by DHCP.
    pub dhcp: bool,
    /// Whether a name server answers on it.
    pub dns: bool,
    /// Whether containers reach other networks under the host's address.
    pub nat: bool,
    /// The domain of the containers' names.
    pub domain: String,
    /// First and last address that DHCP gives; `None`: the upper half of the network.
    pub range: Option<(Ipv4Addr, Ipv4Addr)>,
    /// Whether containers may have VLAN tags.
    pub vlan_aware: bool,
    /// Whether containers are restricted to their own IP addresses. To their MAC addresses they always are.
    pub ip_filter: bool,
    /// Keys that are not known here.
    other: Vec<(String, String)>,
}

/// A value that cannot be used (2).
fn wrong_value(text: String) -> Failure {
    Failure::with_exit(text.clone(), 2).of_kind(FailureKind::BadRequest { message: text })
}

impl Network {
    /// A bridge with the defaults.
    ///
    /// # Errors
    /// When the kernel does not accept such a name.
    pub fn new(bridge: &str) -> NodeResult<Self> {
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if bridge.is_empty()
            || bridge.len() > NAME_LENGTH
            || bridge.starts_with(['-', '.'])
            || !bridge.bytes().all(fits)
        {
            let text = format!("'{bridge}' is not a bridge name: up to 15 letters, digits, '-', '_', '.'");
            return Err(wrong_value(text));
        }
        Ok(Self {
            bridge: bridge.to_owned(),
            address: None,
            six: Six::WhenAsked,
            dhcp: true,
            dns: true,
            nat: true,
            domain: DEFAULT_DOMAIN.to_owned(),
            range: None,
            vlan_aware: false,
            ip_filter: true,
            other: Vec::new(),
        })
    }

    /// Sets one key.
    ///
    /// # Errors
    /// Key, value and what is allowed.
    pub fn set(&mut self, key: &str, value: &str) -> NodeResult<()> {
        let wrong = |allowed: &str| wrong_value(format!("{key}: '{value}' is not {allowed}"));
        let switch = || pvect_core::property::boolean(value).ok_or_else(|| wrong("0 or 1"));
        match key {
            "address" => {
                self.address = Some(Net4::parse(value).ok_or_else(|| {
                    wrong("an IPv4 address with a prefix from 8 to 29, such as 10.1.2.1/24")
                })?);
            }
            "ip6" => {
                self.six = match value {
                    "auto" => Six::WhenAsked,
                    "none" => Six::Never,
                    value => Six::Net(Net6::parse(value).ok_or_else(|| {
                        wrong("'auto', 'none' or an IPv6 address with /64, such as fd00:1::1/64")
                    })?),
                };
            }
            "dhcp" => self.dhcp = switch()?,
            "dns" => self.dns = switch()?,
            "nat" => self.nat = switch()?,
            "vlan-aware" => self.vlan_aware = switch()?,
            "ipfilter" => self.ip_filter = switch()?,
            "domain" => {
                let is_label = |label: &str| {
                    !label.is_empty()
                        && !label.starts_with('-')
                        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                };
                if value.len() > 200 || !value.split('.').all(is_label) {
                    return Err(wrong("a domain"));
                }
                self.domain = value.to_owned();
            }
            "range" => {
                let ends = value.split_once('-').and_then(|(first, last)| {
                    Some((first.trim().parse::<Ipv4Addr>().ok()?, last.trim().parse::<Ipv4Addr>().ok()?))
                });
                let ends = ends.filter(|(first, last)| first <= last);
                self.range = Some(ends.ok_or_else(|| wrong("a range such as 10.1.2.100-10.1.2.199"))?);
            }
            _ => self.other.push((key.to_owned(), value.to_owned())),
        }
        Ok(())
    }

    /// Checks what depends on several keys.
    ///
    /// # Errors
    /// `range: ...` when it lies outside of the network.
    pub fn check(&self) -> NodeResult<()> {
        let (Some(net), Some((first, last))) = (self.address, self.range) else { return Ok(()) };
        if net.contains(first) && net.contains(last) && !(first..=last).contains(&net.address) {
            return Ok(());
        }
        let text = format!("range: {first}-{last} does not lie in {net} beside the host's own address");
        Err(wrong_value(text))
    }

    /// First and last address that DHCP gives.
    pub fn dhcp_range(&self) -> Option<(Ipv4Addr, Ipv4Addr)> {
        self.range.or_else(|| self.address.map(|net| net.upper_half()))
    }

    /// The bridge's IPv6 address and network.
    pub fn net6(&self) -> Option<Net6> {
        match self.six {
            Six::Net(net) => Some(net),
            Six::WhenAsked | Six::Never => None,
        }
    }

    /// The host's IPv6 address in its network.
    pub fn address6(&self) -> Option<Ipv6Addr> {
        self.net6().map(|net| net.address)
    }

    fn section(&self) -> String {
        let mut text = format!("{KIND}: {}\n", self.bridge);
        let mut put = |key: &str, value: &str| {
            let _ = writeln!(text, "\t{key} {value}");
        };
        if let Some(address) = self.address {
            put("address", &address.to_string());
        }
        match self.six {
            Six::WhenAsked => {}
            Six::Never => put("ip6", "none"),
            Six::Net(net) => put("ip6", &net.to_string()),
        }
        for (key, value) in [("dhcp", self.dhcp), ("dns", self.dns), ("nat", self.nat)] {
            put(key, if value { "1" } else { "0" });
        }
        put("domain", &self.domain);
        if let Some((first, last)) = self.range {
            put("range", &format!("{first}-{last}"));
        }
        if self.vlan_aware {
            put("vlan-aware", "1");
        }
        if !self.ip_filter {
            put("ipfilter", "0");
        }
        for (key, value) in &self.other {
            put(key, value);
        }
        text
    }
}

/// The whole file.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The bridges, in file order.
    pub networks: Vec<Network>,
    /// Sections of other kinds and comments, as they were.
    kept: String,
}

impl Settings {
    /// Reads the file; without one there are no bridges.
    ///
    /// # Errors
    /// When it cannot be read; `<path>: bridge 'x': key: ...` for a wrong value.
    pub fn load(path: &Path) -> NodeResult<Self> {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(&text)
                .map_err(|failure| Failure::new(format!("{}: {}", path.display(), failure.text))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Self::default()),
            Err(error) => Err(Failure::io("can't read", path, &error)),
        }
    }

    /// Parses the text of the file.
    ///
    /// # Errors
    /// `bridge 'x': key: 'value' is not ...`.
    pub fn parse(text: &str) -> NodeResult<Self> {
        let mut settings = Self::default();
        let mut ours = false;
        for line in text.lines() {
            let indented = line.starts_with([' ', '\t']);
            let words = line.trim();
            if let Some(name) = words.strip_prefix("bridge:").filter(|_| !indented) {
                let name = name.trim();
                if settings.find(name).is_some() {
                    return Err(Failure::new(format!("bridge '{name}' appears twice")));
                }
                settings.networks.push(Network::new(name)?);
                ours = true;
            } else if indented && ours && !words.is_empty() && !words.starts_with('#') {
                let (key, value) = words.split_once([' ', '\t']).unwrap_or((words, "1"));
                if let Some(network) = settings.networks.last_mut() {
                    network.set(key, value.trim()).and_then(|()| network.check()).map_err(|failure| {
                        Failure::new(format!("bridge '{}': {}", network.bridge, failure.text))
                    })?;
                }
            } else if !words.is_empty() {
                ours &= words.starts_with('#');
                let _ = writeln!(settings.kept, "{line}");
            }
        }
        Ok(settings)
    }

    /// Finds a bridge.
    pub fn find(&self, bridge: &str) -> Option<&Network> {
        self.networks.iter().find(|network| network.bridge == bridge)
    }

    /// Adds a bridge, or replaces the one of its name.
    pub fn put(&mut self, network: Network) {
        match self.networks.iter_mut().find(|known| known.bridge == network.bridge) {
            Some(known) => *known = network,
            None => self.networks.push(network),
        }
    }

    /// Prints the file.
    pub fn print(&self) -> String {
        let mut text = self.kept.clone();
        for network in &self.networks {
            if !text.is_empty() {
                text.push('\n');
            }
            text.push_str(&network.section());
        }
        text
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When it cannot be written; the old one is then untouched.
    pub fn save(&self, path: &Path) -> NodeResult<()> {
        files::replace(path, self.print().as_bytes(), 0o644)
            .map_err(|error| Failure::io("can't write", path, &error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_read_and_written() {
        let text = "# mine\nother: x\n\tkey value\n\nbridge: vmbr0\n\taddress 10.1.2.1/24\n\tip6 fd00:1::1/64\n\tdhcp 1\n\tdns 1\n\
                    \tnat 0\n\tdomain lab.internal\n\trange 10.1.2.50-10.1.2.60\n\tvlan-aware 1\n\tipfilter 0\n\tfuture thing\n\n\
                    bridge: b2\n\tip6 none\n\tdhcp 0\n\tdns 1\n\tnat 1\n\tdomain pvect.internal\n";
        let settings = Settings::parse(text).unwrap();
        assert_eq!(settings.print(), text);
        assert_eq!(settings.networks.len(), 2);
        let first = settings.find("vmbr0").unwrap();
        assert!(first.dhcp && !first.nat && first.vlan_aware && !first.ip_filter);
        assert_eq!(first.dhcp_range(), Some(("10.1.2.50".parse().unwrap(), "10.1.2.60".parse().unwrap())));
        assert_eq!(settings.find("b2").unwrap().six, Six::Never);
        assert_eq!(Settings::parse("").unwrap(), Settings::default());
    }

    #[test]
    fn what_is_not_said_has_a_default() {
        let network = Settings::parse("bridge: vmbr0\n").unwrap().networks.remove(0);
        assert_eq!(network, Network::new("vmbr0").unwrap());
        assert!(network.dhcp && network.dns && network.nat && !network.vlan_aware && network.ip_filter);
        assert_eq!((network.address, network.six), (None, Six::WhenAsked));
    }

    #[test]
    fn wrong_values_are_named() {
        for (text, expected) in [
            (
                "bridge: b\n\taddress 10.0.0.1\n",
                "bridge 'b': address: '10.0.0.1' is not an IPv4 address with a prefix from 8 to 29, such as \
                 10.1.2.1/24",
            ),
            ("bridge: b\n\tnat maybe\n", "bridge 'b': nat: 'maybe' is not 0 or 1"),
            ("bridge: b\n\tdomain a..b\n", "bridge 'b': domain: 'a..b' is not a domain"),
            (
                "bridge: b\n\taddress 10.1.2.1/24\n\trange 10.1.3.1-10.1.3.9\n",
                "bridge 'b': range: 10.1.3.1-10.1.3.9 does not lie in 10.1.2.1/24 beside the host's own address",
            ),
            ("bridge: b\nbridge: b\n", "bridge 'b' appears twice"),
            ("bridge: a name\n", "'a name' is not a bridge name: up to 15 letters, digits, '-', '_', '.'"),
            (
                "bridge: b\n\tip6 fd00::1/48\n",
                "bridge 'b': ip6: 'fd00::1/48' is not 'auto', 'none' or an IPv6 address with /64, such as \
                 fd00:1::1/64",
            ),
        ] {
            assert_eq!(Settings::parse(text).unwrap_err().text, expected);
        }
        for text in [":", "bridge:", "\t\t", "bridge", "bridge: b\n\t\n\t#\n\tx"] {
            let _ = Settings::parse(text);
        }
    }
}
