//! MAC addresses, and the IPv6 addresses that an interface makes of its own.

use std::fmt;
use std::net::Ipv6Addr;

/// A MAC address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mac([u8; 6]);

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Mac {
    /// Parses `BC:24:11:00:00:01`, in any case.
    pub fn parse(text: &str) -> Option<Self> {
        let mut bytes = [0; 6];
        let mut pairs = text.split(':');
        for byte in &mut bytes {
            let pair = pairs.next().filter(|pair| pair.len() == 2 && !pair.starts_with('+'))?;
            *byte = u8::from_str_radix(pair, 16).ok()?;
        }
        pairs.next().is_none().then_some(Self(bytes))
    }

    /// The number that it is.
    pub fn bits(self) -> u64 {
        self.0.iter().fold(0, |bits, byte| bits << 8 | u64::from(*byte))
    }

    /// The lower half of the IPv6 addresses that an interface makes of it. Source: RFC 4291, appendix A.
    fn interface_id(self) -> u64 {
        let [a, b, c, d, e, g] = self.0;
        u64::from_be_bytes([a ^ 2, b, c, 0xff, 0xfe, d, e, g])
    }

    /// Its IPv6 address in a network of 64 bits.
    pub fn address_in(self, network: Ipv6Addr) -> Ipv6Addr {
        let upper = u128::from(network) & !u128::from(u64::MAX);
        Ipv6Addr::from(upper | u128::from(self.interface_id()))
    }

    /// Its link-local address.
    pub fn link_local(self) -> Ipv6Addr {
        self.address_in(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_address_makes_ipv6_addresses() {
        let one = Mac::parse("BC:24:11:0a:00:01").unwrap();
        assert_eq!(one.to_string(), "bc:24:11:0a:00:01");
        assert_eq!(one.bits(), 0xbc24_110a_0001);
        assert_eq!(one.link_local(), "fe80::be24:11ff:fe0a:1".parse::<Ipv6Addr>().unwrap());
        assert_eq!(
            one.address_in("fd00:1::1".parse().unwrap()),
            "fd00:1::be24:11ff:fe0a:1".parse::<Ipv6Addr>().unwrap()
        );
        for text in ["", "bc:24:11:00:00", "bc:24:11:00:00:01:02", "bc:24:11:00:00:+1", "bc:24:11:00:00:1"] {
            assert_eq!(Mac::parse(text), None, "{text}");
        }
    }
}
