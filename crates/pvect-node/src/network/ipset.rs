//! The sets `ipfilter-net[n]` of `etc/pve/firewall/<vmid>.fw`: addresses that an interface has besides its own.
//!
//! Of the file's grammar this node reads these sections alone. Source: Proxmox VE's documentation of its firewall.

use std::net::IpAddr;

/// The addresses of a set. This node does not support networks and names, and ignores them.
pub fn addresses(text: &str, set: &str) -> Vec<IpAddr> {
    let mut inside = false;
    let mut found = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default().trim();
        if let Some(title) = line.strip_prefix('[') {
            let title = title.split(']').next().unwrap_or_default();
            let (kind, name) = title.split_once(char::is_whitespace).unwrap_or((title, ""));
            inside = kind.eq_ignore_ascii_case("ipset") && name.trim().eq_ignore_ascii_case(set);
        } else if inside {
            found.extend(address(line));
        }
    }
    found
}

/// Whether a container's rules allow an interface more addresses than its own.
pub fn allows_more(rules: &[u8]) -> bool {
    let text = String::from_utf8_lossy(rules).to_ascii_lowercase();
    text.lines().filter_map(|line| line.trim().strip_prefix('[')).any(|title| {
        let mut words = title.split_ascii_whitespace();
        words.next() == Some("ipset") && words.next().is_some_and(|name| name.starts_with("ipfilter-"))
    })
}

fn address(text: &str) -> Option<IpAddr> {
    let (address, prefix) = text.split_once('/').unwrap_or((text, ""));
    let address: IpAddr = address.parse().ok()?;
    let whole = if address.is_ipv4() { "32" } else { "128" };
    (prefix.is_empty() && !text.contains('/') || prefix == whole).then_some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_one_set_are_read() {
        let text = "[OPTIONS]\nenable: 1\n\n[IPSET ipfilter-net0] # floating\n10.1.2.5 # web\n10.1.2.6/32\n\
                    fd00::7\n!10.1.2.8\n10.1.2.0/24\nname\n\n[ipset ipfilter-net1]\n10.1.2.9\n[RULES]\n10.1.2.10\n";
        let zero: Vec<String> = addresses(text, "ipfilter-net0").iter().map(ToString::to_string).collect();
        assert_eq!(zero, ["10.1.2.5", "10.1.2.6", "fd00::7"]);
        assert_eq!(addresses(text, "ipfilter-net1").len(), 1);
        assert_eq!(addresses("", "ipfilter-net0"), Vec::<IpAddr>::new());
        assert!(allows_more(text.as_bytes()) && allows_more(b" [IPSET\tipfilter-net0]"));
        assert!(!allows_more(b"[IPSET others]\n[RULES]\n# [IPSET ipfilter-net0]\n\xff"));
    }
}
