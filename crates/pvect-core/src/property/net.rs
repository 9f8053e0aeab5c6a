//! `net[n]`.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::schema::Violation;

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
#[derive(Debug, Clone, PartialEq)]
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
    /// MAC address, upper case with colons.
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
}

impl NetInterface {
    /// Parses the value of `net[n]`; `name` is the option's full name, for the violations.
    ///
    /// # Errors
    /// Every violation of the schema.
    pub fn parse(_name: &str, _text: &str) -> Result<Self, Vec<Violation>> {
        Err(Vec::new())
    }
}

impl fmt::Display for NetInterface {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
