//! Whether two values of an option mean the same.
//!
//! Proxmox VE does not store what it was given: tags come back lower-cased, sorted and joined with `;`, a description
//! with one more line break, booleans as 1 and 0, lists with their own separator, and an absent key may mean another
//! value than the default of create. Source: `API2/LXC/Config.pm` and `LXC/Config.pm` of pve-container.

use crate::property;
use crate::schema::{Format, Kind, options::config_option, split_list};
use crate::size::DiskSize;
use crate::{ContainerConfig, tags};

/// Returns whether two values of an option mean the same, however they are written.
///
/// For a property string, keys that only `stored` has (a MAC address, the size of a volume) do not count; the
/// comparison is not symmetric there.
pub fn normalised_eq(key: &str, wanted: &str, stored: &str) -> bool {
    if wanted == stored {
        return true;
    }
    let Some((spec, _)) = config_option(key) else { return false };
    match spec.kind {
        _ if key == "description" => wanted.trim_end_matches('\n') == stored.trim_end_matches('\n'),
        Kind::List(Format::Tag) => tags::normalise(wanted) == tags::normalise(stored),
        Kind::List(_) => split_list(wanted) == split_list(stored),
        Kind::Boolean => boolean(wanted).is_some() && boolean(wanted) == boolean(stored),
        Kind::Integer { .. } | Kind::Number { .. } => match (wanted.parse::<f64>(), stored.parse::<f64>()) {
            (Ok(wanted), Ok(stored)) => wanted == stored,
            _ => false,
        },
        Kind::Properties(schema) => {
            let pairs = |text: &str| pairs(schema.default_key, text);
            let stored = pairs(stored);
            let same = |(key, value): &(String, String)| {
                stored.iter().any(|(known, present)| known == key && property_eq(key, value, present))
            };
            pairs(wanted).iter().all(same)
        }
        _ => false,
    }
}

/// Returns whether an option has the wanted value in a configuration; if the key is absent, its default counts.
///
/// An absent `swap` is 0 and an absent `unprivileged` is 0, whatever create would have written.
pub fn is_at(config: &ContainerConfig, key: &str, wanted: &str) -> bool {
    match config.main.get(key) {
        Some(stored) => normalised_eq(key, wanted, &stored),
        None => absent(key).is_some_and(|value| normalised_eq(key, wanted, value)),
    }
}

/// What an absent key means.
fn absent(key: &str) -> Option<&'static str> {
    match key {
        "swap" | "unprivileged" => Some("0"),
        "description" | "tags" => Some(""),
        // These depend on the host.
        "cpuunits" => None,
        _ => config_option(key).and_then(|(spec, _)| spec.default),
    }
}

fn boolean(text: &str) -> Option<bool> {
    if text.is_empty() { Some(true) } else { property::boolean(text) }
}

fn pairs(default_key: Option<&str>, text: &str) -> Vec<(String, String)> {
    text.split(',')
        .filter(|part| !part.is_empty())
        .map(|part| match part.split_once('=') {
            Some((key, value)) => (key.to_owned(), value.to_owned()),
            None => (default_key.unwrap_or_default().to_owned(), part.to_owned()),
        })
        .collect()
}

fn property_eq(key: &str, wanted: &str, stored: &str) -> bool {
    let size = |text: &str| DiskSize::parse(text).filter(|_| text.ends_with(['K', 'M', 'G', 'T', 'B']));
    let on = |text: &str| property::boolean(text);
    wanted == stored
        || key == "hwaddr" && wanted.eq_ignore_ascii_case(stored)
        || on(wanted).is_some() && on(wanted) == on(stored)
        || size(wanted).is_some() && size(wanted) == size(stored)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_by_their_meaning() {
        for (key, wanted, stored, same) in [
            ("tags", "Web,prod web", "prod;web", true),
            ("tags", "web", "prod;web", false),
            ("description", "a\nb", "a\nb\n", true),
            ("description", "a", "b\n", false),
            ("onboot", "yes", "1", true),
            ("onboot", "", "1", true),
            ("onboot", "no", "1", false),
            ("memory", "0512", "512", true),
            ("cpulimit", "1.50", "1.5", true),
            ("cpulimit", "1.5", "1", false),
            ("searchdomain", "a.b,c.d", "a.b c.d", true),
            ("hostname", "Web", "web", false),
            (
                "net0",
                "name=eth0,bridge=vmbr0",
                "bridge=vmbr0,hwaddr=BC:24:11:00:00:01,name=eth0,type=veth",
                true,
            ),
            ("net0", "name=eth0,hwaddr=bc:24:11:00:00:01", "hwaddr=BC:24:11:00:00:01,name=eth0", true),
            ("net0", "name=eth0,bridge=vmbr1", "bridge=vmbr0,name=eth0", false),
            ("net0", "name=eth0,firewall=yes", "firewall=1,name=eth0", true),
            ("mp0", "local:101/d.raw,mp=/a,size=1024M", "local:101/d.raw,mp=/a,size=1G", true),
            ("features", "nesting=on", "nesting=1", true),
            ("bogus", "a", "b", false),
        ] {
            assert_eq!(normalised_eq(key, wanted, stored), same, "{key}: {wanted} {stored}");
        }
    }

    #[test]
    fn trap_swap_default_and_other_absent_keys() {
        let config = ContainerConfig::default();
        for (key, wanted, same) in [
            ("swap", "0", true),
            ("swap", "512", false),
            ("unprivileged", "0", true),
            ("unprivileged", "1", false),
            ("memory", "512", true),
            ("onboot", "0", true),
            ("tags", "", true),
            ("description", "", true),
            ("cores", "1", false),
            ("hostname", "x", false),
        ] {
            assert_eq!(is_at(&config, key, wanted), same, "{key} {wanted}");
        }
    }
}
