//! The addresses that the DHCP server gave.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::mac::Mac;

/// A lease: MAC address, address, name (`*` for none).
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Lease {
    /// The MAC address; of IPv6, what the client calls itself.
    pub mac: String,
    /// The address.
    pub ip: String,
    /// The name.
    pub name: Option<String>,
}

/// Reads the text of a lease file.
pub fn parse(text: &str) -> Vec<Lease> {
    let lease = |line: &str| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, mac, ip, name, ..] = words[..] else { return None };
        let name = (name != "*").then(|| name.to_owned());
        Some(Lease { mac: mac.to_owned(), ip: ip.to_owned(), name })
    };
    text.lines().filter(|line| !line.starts_with("duid ")).filter_map(lease).collect()
}

/// Returns the text of a lease file without the leases that are no longer what their interfaces are given.
pub fn valid(text: &str, given: &BTreeSet<(Mac, IpAddr)>) -> String {
    let is_given = |line: &str| {
        let Some(lease) = parse(line).pop() else { return true };
        match (lease.ip.parse::<IpAddr>(), Mac::parse(&lease.mac)) {
            (Ok(ip), Some(mac)) => given.contains(&(mac, ip)),
            // Leases of IPv6 have no MAC address.
            (Ok(ip), None) => given.iter().any(|(_, known)| *known == ip),
            _ => true,
        }
    };
    text.split_inclusive('\n').filter(|line| is_given(line)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leases_end_with_what_they_were_given_for() {
        let duid = "duid 00:01:00:01:2b\n";
        let lines = [
            "1700000000 bc:24:11:00:00:01 10.1.2.130 web 01:bc\n",
            "1700000000 bc:24:11:00:00:02 10.1.2.131 * *\n",
            "1700000000 bc:24:11:00:00:03 10.1.2.132 gone *\n",
            duid,
            "1700000000 3145729 fd00:1::130 web 00:01\n",
            "1700000000 3145730 fd00:1::131 gone 00:01\n",
        ];
        let mac = |last: u8| Mac::parse(&format!("bc:24:11:00:00:0{last}")).unwrap();
        let given = [(1, "10.1.2.130"), (1, "fd00:1::130"), (2, "10.1.2.9")];
        let given = given.iter().map(|(last, ip)| (mac(*last), ip.parse().unwrap())).collect();
        assert_eq!(valid(&lines.concat(), &given), [lines[0], duid, lines[4]].concat());
    }

    #[test]
    fn leases_are_read() {
        let text = "1700000000 bc:24:11:00:00:01 10.1.2.130 web 01:bc:24:11:00:00:01\n\
                    1700000000 bc:24:11:00:00:02 10.1.2.131 * *\nduid 00:01\nshort\n";
        let found = parse(text);
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].ip.as_str(), found[0].name.as_deref()), ("10.1.2.130", Some("web")));
        assert_eq!(found[1].name, None);
    }
}
