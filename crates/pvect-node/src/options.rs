//! The form in which an option's value goes into the configuration file.

use pvect_core::property::NetInterface;

use crate::{NodeResult, random};

/// Returns the form that create and set store for a checked value, as the real pct does: lists joined with blanks,
/// tags normalised, interfaces in canonical order with a MAC address.
///
/// # Errors
/// When no random bytes can be read for a MAC address.
pub fn stored(key: &str, value: &str) -> NodeResult<String> {
    Ok(match key {
        "nameserver" | "searchdomain" => {
            let words = value.split([',', ';', ' ', '\t', '\0']).filter(|word| !word.is_empty());
            words.collect::<Vec<_>>().join(" ")
        }
        "tags" => pvect_core::tags::normalise(value),
        // The bounds of the kernel's cpu.weight and cpu.shares.
        "cpuunits" => match (value.parse::<u32>(), cgroup2_only()) {
            (Ok(units), true) if units > 10_000 => "10000".to_owned(),
            (Ok(units), false) if units < 2 => "2".to_owned(),
            _ => value.to_owned(),
        },
        _ if is_net(key) => match NetInterface::parse(key, value) {
            Ok(mut net) => {
                if net.hwaddr.is_none() {
                    net.hwaddr = Some(random::mac_address()?);
                }
                net.to_string()
            }
            Err(_) => value.to_owned(),
        },
        _ => value.to_owned(),
    })
}

fn is_net(key: &str) -> bool {
    key.strip_prefix("net").is_some_and(|rest| rest.parse::<u8>().is_ok())
}

/// Whether the machine has only the cgroup hierarchy of version 2.
fn cgroup2_only() -> bool {
    std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_stored_as_pct_does() {
        for (key, value, form) in [
            ("nameserver", "1.1.1.1,8.8.8.8", "1.1.1.1 8.8.8.8"),
            ("searchdomain", "a.org; b.org", "a.org b.org"),
            ("tags", "web,prod", "prod;web"),
            ("memory", "512", "512"),
            ("features", "nesting=1", "nesting=1"),
            (
                "net0",
                "name=eth0,bridge=vmbr0,ip=10.10.10.11/24,gw=10.10.10.1,hwaddr=BC:24:11:4B:99:7C",
                "name=eth0,bridge=vmbr0,gw=10.10.10.1,hwaddr=BC:24:11:4B:99:7C,ip=10.10.10.11/24,type=veth",
            ),
        ] {
            assert_eq!(stored(key, value).unwrap(), form);
        }
        let net = stored("net0", "name=eth0,bridge=vmbr0").unwrap();
        assert!(net.starts_with("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:"), "{net}");
    }
}
