//! Networks: which addresses a bridge has, and which are free on this machine.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use pvect_core::shape;

/// An address and its network, IPv4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net4 {
    /// The host's address.
    pub address: Ipv4Addr,
    /// The prefix length.
    pub prefix: u8,
}

/// An address and its network of 64 bits, IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net6 {
    /// The host's address.
    pub address: Ipv6Addr,
}

impl fmt::Display for Net4 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Display for Net6 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/64", self.address)
    }
}

impl Net4 {
    /// Parses `10.1.2.1/24`: an address that is neither the first nor the last of its network, prefix 8 to 29.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = shape::ipv4_cidr(text)?;
        let net = Self { address, prefix };
        let bits = u32::from(address);
        let fits = (8..=29).contains(&prefix) && bits != net.first() && bits != net.last();
        fits.then_some(net)
    }

    fn mask(&self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix.min(32))).unwrap_or(0)
    }

    fn first(&self) -> u32 {
        u32::from(self.address) & self.mask()
    }

    fn last(&self) -> u32 {
        self.first() | !self.mask()
    }

    /// The network with the prefix length, as nft takes it.
    pub fn network(&self) -> String {
        format!("{}/{}", Ipv4Addr::from(self.first()), self.prefix)
    }

    /// The network mask.
    pub fn netmask(&self) -> Ipv4Addr {
        Ipv4Addr::from(self.mask())
    }

    /// Returns whether an address is one of the network.
    pub fn contains(&self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == self.first()
    }

    /// The upper half without the last address, and without the host's own if that is its first.
    pub fn upper_half(&self) -> (Ipv4Addr, Ipv4Addr) {
        let middle = self.first() + (self.last() - self.first()) / 2 + 1;
        let own = u32::from(self.address);
        let (mut first, mut last) = (middle, self.last() - 1);
        // The larger part before or after the host's own address.
        if (first..=last).contains(&own) {
            if own - first > last - own {
                last = own - 1;
            } else {
                first = own + 1;
            }
        }
        (Ipv4Addr::from(first), Ipv4Addr::from(last))
    }
}

impl Net6 {
    /// Parses `fd00:1::1/64`; other prefix lengths have no router advertisements.
    pub fn parse(text: &str) -> Option<Self> {
        let (address, prefix) = shape::ipv6_cidr(text)?;
        let host = u128::from(address) & u128::from(u64::MAX);
        (prefix == 64 && host != 0).then_some(Self { address })
    }

    /// A unique local network (RFC 4193) of five random bytes.
    pub fn unique_local([a, b, c, d, e]: [u8; 5]) -> Self {
        let pair = |high: u8, low: u8| u16::from_be_bytes([high, low]);
        Self { address: Ipv6Addr::new(pair(0xfd, a), pair(b, c), pair(d, e), 0, 0, 0, 0, 1) }
    }

    /// The network with the prefix length.
    pub fn network(&self) -> String {
        format!("{}/64", Ipv6Addr::from(u128::from(self.address) & !u128::from(u64::MAX)))
    }

    /// Returns whether an address is one of the network.
    pub fn contains(&self, address: Ipv6Addr) -> bool {
        u128::from(self.address) >> 64 == u128::from(address) >> 64
    }

    /// The address of the network with these low 16 bits.
    pub fn host(&self, low: u16) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.address) & !u128::from(u64::MAX) | u128::from(low))
    }
}

/// A route of this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The device.
    pub device: String,
    /// The first address.
    first: u32,
    mask: u32,
}

/// Reads the text of `/proc/net/route`; the default route is left out. Source: proc_net(5), addresses are in the byte
/// order of the machine.
pub fn routes(text: &str) -> Vec<Route> {
    let route = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let address = |index: usize| {
            let word: &str = words.get(index)?;
            Some(u32::from_be_bytes(u32::from_str_radix(word, 16).ok()?.to_ne_bytes()))
        };
        let (first, mask) = (address(1)?, address(7)?);
        (mask != 0).then(|| Route { device: words[0].to_owned(), first, mask })
    };
    text.lines().skip(1).filter_map(route).collect()
}

impl Route {
    /// Returns whether it leads to an address of the network.
    pub fn overlaps(&self, net: &Net4) -> bool {
        let mask = self.mask & net.mask();
        self.first & mask == net.first() & mask
    }

    /// Returns whether it leads to exactly this network.
    pub fn is(&self, net: &Net4) -> bool {
        self.mask == net.mask() && self.first == net.first()
    }

    /// The network with the prefix length.
    pub fn network(&self) -> String {
        format!("{}/{}", Ipv4Addr::from(self.first), self.mask.count_ones())
    }
}

/// Chooses a network of 256 addresses in 10.64.0.0/10 that no route leads to and that holds none of these addresses;
/// `seed` says where the search begins. The host has its first address.
pub fn choose(seed: u16, routes: &[Route], taken: &[Ipv4Addr]) -> Option<Net4> {
    (0..=u16::MAX >> 2).find_map(|step| {
        let number = seed.wrapping_add(step) & 0x3fff;
        let [high, low] = number.to_be_bytes();
        let net = Net4 { address: Ipv4Addr::new(10, 64 + high, low, 1), prefix: 24 };
        let free = !routes.iter().any(|route| route.overlaps(&net));
        (free && !taken.iter().any(|address| net.contains(*address))).then_some(net)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> Net4 {
        Net4::parse(text).unwrap()
    }

    /// As a little-endian machine prints it: 192.0.2.0/24, 10.64.0.0/16, and the default route.
    #[cfg(target_endian = "little")]
    const ROUTES: &str = "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n\
        eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0\n\
        eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n\
        tun0\t0000400A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0\nshort 1\n";

    #[test]
    fn networks_are_parsed_and_told() {
        let one = net("10.1.2.1/24");
        assert_eq!((one.network().as_str(), one.netmask()), ("10.1.2.0/24", Ipv4Addr::new(255, 255, 255, 0)));
        assert_eq!(one.upper_half(), ("10.1.2.128".parse().unwrap(), "10.1.2.254".parse().unwrap()));
        assert_eq!(net("10.1.2.254/24").upper_half().1, Ipv4Addr::new(10, 1, 2, 253));
        assert_eq!(net("10.1.2.130/24").upper_half().0, Ipv4Addr::new(10, 1, 2, 131));
        for text in ["10.1.2.0/24", "10.1.2.255/24", "10.1.2.1/30", "10.1.2.1/7", "10.1.2.1", "x"] {
            assert_eq!(Net4::parse(text), None, "{text}");
        }
        let six = Net6::unique_local([1, 2, 3, 4, 5]);
        assert_eq!(
            (six.to_string().as_str(), six.network().as_str()),
            ("fd01:203:405::1/64", "fd01:203:405::/64")
        );
        assert!(six.contains("fd01:203:405::77".parse().unwrap()));
        assert_eq!(six.host(0x1000), "fd01:203:405::1000".parse::<Ipv6Addr>().unwrap());
        assert_eq!(Net6::parse("fd00::/64"), None);
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn routes_are_avoided() {
        let found = routes(ROUTES);
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].network(), "192.0.2.0/24");
        assert!(found[0].is(&net("192.0.2.7/24")) && !found[0].is(&net("192.0.2.7/25")));
        assert!(found[1].overlaps(&net("10.64.9.1/24")) && found[1].overlaps(&net("10.0.0.1/8")));
        assert!(!found[1].overlaps(&net("10.65.0.1/24")));
        assert_eq!(choose(0, &found, &[]), Some(net("10.65.0.1/24")));
        assert_eq!(choose(0, &found, &["10.65.0.53".parse().unwrap()]), Some(net("10.65.1.1/24")));
        assert_eq!(choose(0xffff, &[], &[]), Some(net("10.127.255.1/24")));
        let everything = Route { device: "x".to_owned(), first: 0x0a00_0000, mask: 0xff00_0000 };
        assert_eq!(choose(5, &[everything], &[]), None);
    }
}
