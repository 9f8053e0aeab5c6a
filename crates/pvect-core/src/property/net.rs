//! `net[n]`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use super::{Reader, Writer, print};
use crate::schema::{Violation, properties};
use crate::shape;

/// The value of `ip`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv4Config {
    /// By DHCP.
    Dhcp,
    /// The guest does it.
    Manual,
    /// A fixed address with its prefix length, 8 to 32.
    Static(Ipv4Addr, u8),
}

/// The value of `ip6`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ipv6Config {
    /// By router advertisement.
    Auto,
    /// By DHCPv6.
    Dhcp,
    /// The guest does it.
    Manual,
    /// A fixed address with its prefix length, 8 to 128.
    Static(Ipv6Addr, u8),
}

/// A network interface.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NetInterface {
    /// Its name in the container.
    pub name: String,
    /// The bridge of the host.
    pub bridge: Option<String>,
    /// Firewall on.
    pub firewall: bool,
    /// Gateway, IPv4.
    pub gw: Option<Ipv4Addr>,
    /// Gateway, IPv6.
    pub gw6: Option<Ipv6Addr>,
    /// The host sets the addresses.
    pub host_managed: bool,
    /// MAC address, as it was written.
    pub hwaddr: Option<String>,
    /// IPv4 configuration.
    pub ip: Option<Ipv4Config>,
    /// IPv6 configuration.
    pub ip6: Option<Ipv6Config>,
    /// The link is down.
    pub link_down: bool,
    /// MTU, 64 to 65535.
    pub mtu: Option<u16>,
    /// Rate limit, MB/s, as text.
    pub rate: Option<String>,
    /// VLAN, 1 to 4094.
    pub tag: Option<u16>,
    /// VLANs let through.
    pub trunks: Vec<u16>,
    /// Booleans that were written out although they have their default; printing keeps them.
    pub written: Vec<&'static str>,
}

impl fmt::Display for Ipv4Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dhcp => f.write_str("dhcp"),
            Self::Manual => f.write_str("manual"),
            Self::Static(address, prefix) => write!(f, "{address}/{prefix}"),
        }
    }
}

impl fmt::Display for Ipv6Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("auto"),
            Self::Dhcp => f.write_str("dhcp"),
            Self::Manual => f.write_str("manual"),
            Self::Static(address, prefix) => write!(f, "{address}/{prefix}"),
        }
    }
}

fn ipv4_config(text: &str) -> Option<Ipv4Config> {
    match text {
        "dhcp" => Some(Ipv4Config::Dhcp),
        "manual" => Some(Ipv4Config::Manual),
        text => shape::ipv4_cidr(text).map(|(address, prefix)| Ipv4Config::Static(address, prefix)),
    }
}

fn ipv6_config(text: &str) -> Option<Ipv6Config> {
    match text {
        "auto" => Some(Ipv6Config::Auto),
        "dhcp" => Some(Ipv6Config::Dhcp),
        "manual" => Some(Ipv6Config::Manual),
        text => shape::ipv6_cidr(text).map(|(address, prefix)| Ipv6Config::Static(address, prefix)),
    }
}

impl NetInterface {
    /// Parses the value of `net[n]`; `name` is the option's full name, for the violations.
    ///
    /// # Errors
    /// Every violation of the schema, and trunks beyond 65535.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<Violation>> {
        let mut reader = Reader::new(&properties::NET, name, text)?;
        let trunks = reader.parsed("trunks", |text| text.split(';').map(|tag| tag.parse().ok()).collect())?;
        Ok(Self {
            name: reader.owned("name").unwrap_or_default(),
            bridge: reader.owned("bridge"),
            firewall: reader.switch("firewall", false),
            gw: reader.number("gw")?,
            gw6: reader.number("gw6")?,
            host_managed: reader.switch("host-managed", false),
            hwaddr: reader.owned("hwaddr"),
            ip: reader.parsed("ip", ipv4_config)?,
            ip6: reader.parsed("ip6", ipv6_config)?,
            link_down: reader.switch("link_down", false),
            mtu: reader.number("mtu")?,
            rate: reader.owned("rate"),
            tag: reader.number("tag")?,
            trunks: trunks.unwrap_or_default(),
            written: reader.written,
        })
    }
}

/// Prints as pct writes it, always with `type=veth`.
impl fmt::Display for NetInterface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::default();
        writer.put("name", &self.name);
        writer.maybe("bridge", self.bridge.as_ref());
        writer.switch("firewall", self.firewall, false, &self.written);
        writer.maybe("gw", self.gw);
        writer.maybe("gw6", self.gw6);
        writer.switch("host-managed", self.host_managed, false, &self.written);
        writer.maybe("hwaddr", self.hwaddr.as_ref());
        writer.maybe("ip", self.ip);
        writer.maybe("ip6", self.ip6);
        writer.switch("link_down", self.link_down, false, &self.written);
        writer.maybe("mtu", self.mtu);
        writer.maybe("rate", self.rate.as_ref());
        writer.maybe("tag", self.tag);
        writer.join("trunks", &self.trunks);
        writer.put("type", &"veth");
        f.write_str(&print(&properties::NET, &writer.pairs))
    }
}
