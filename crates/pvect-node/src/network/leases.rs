//! The addresses that the DHCP server gave.

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

#[cfg(test)]
mod tests {
    use super::*;

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
