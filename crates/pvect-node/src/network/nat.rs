//! Addresses translated and packets forwarded between a bridge and the other networks of the host.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::bridge::Kernel;
use super::settings::Network;
use crate::{Failure, NodeResult};

/// The value of the host's switch before the first bridge needed it. It belongs to the machine, not to one root, and
/// like the switch itself it does not survive a reboot.
const BEFORE: &str = "/run/pvect/ip_forward";
const SWITCH: &str = "sys/net/ipv4/ip_forward";

/// The rules of all bridges of a node; loading them replaces the whole table. Source: nft(8).
///
/// From outside, only answers and packets that an administrator's own rules redirect (`dnat`) are let in, so that the
/// host's neighbours cannot reach the containers although the host forwards packets.
pub fn rules(table: &str, root: &Path, networks: &[&Network]) -> String {
    let mut text = format!("# The node below {}; made anew at each start of a container.\n", root.display());
    // Declaring the table first makes the deletion work whether or not it exists.
    let _ = write!(text, "table inet {table}\ndelete table inet {table}\n");
    let nets: Vec<_> = networks.iter().filter(|network| network.nat).collect();
    if nets.is_empty() {
        return text;
    }
    let _ = writeln!(text, "table inet {table} {{");
    text += "\tchain postrouting {\n\t\ttype nat hook postrouting priority 100; policy accept;\n";
    for network in &nets {
        let bridge = &network.bridge;
        if let Some(net) = network.address.map(|net| net.network()) {
            let _ = writeln!(text, "\t\tip saddr {net} ip daddr != {net} oifname != \"{bridge}\" masquerade");
        }
        if let Some(net) = network.net6().map(|net| net.network()) {
            let _ =
                writeln!(text, "\t\tip6 saddr {net} ip6 daddr != {net} oifname != \"{bridge}\" masquerade");
        }
    }
    text += "\t}\n\tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n";
    for network in &nets {
        let way = format!("iifname != \"{0}\" oifname \"{0}\"", network.bridge);
        let _ = write!(
            text,
            "\t\t{way} ct state established,related accept\n\t\t{way} ct status dnat accept\n\t\t{way} drop\n"
        );
    }
    text += "\t}\n}\n";
    text
}

/// Makes the host forward packets; notes the setting from before.
pub fn forward(kernel: &Kernel) -> NodeResult<()> {
    forward_with(&kernel.proc.join(SWITCH), Path::new(BEFORE))
}

fn forward_with(switch: &Path, before: &Path) -> NodeResult<()> {
    let now = fs::read_to_string(switch).map_err(|error| Failure::io("can't read", switch, &error))?;
    if now.trim() == "1" {
        return Ok(());
    }
    let noted = before.parent().map_or(Ok(()), fs::create_dir_all).and_then(|()| fs::write(before, &now));
    noted.map_err(|error| Failure::io("can't write", before, &error))?;
    fs::write(switch, "1\n").map_err(|error| Failure::io("can't write", switch, &error))
}

/// Restores the setting from before, once no standalone node of this machine has a bridge any more.
pub fn stop_forwarding(kernel: &Kernel) -> NodeResult<()> {
    if !kernel.marked().is_empty() {
        return Ok(());
    }
    restore(&kernel.proc.join(SWITCH), Path::new(BEFORE))
}

fn restore(switch: &Path, before: &Path) -> NodeResult<()> {
    let Ok(old) = fs::read_to_string(before) else { return Ok(()) };
    fs::write(switch, old).map_err(|error| Failure::io("can't write", switch, &error))?;
    fs::remove_file(before).map_err(|error| Failure::io("can't remove", before, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rules_are_those_of_one_table() {
        let mut one = Network::new("vmbr0").unwrap();
        one.set("address", "10.1.2.1/24").unwrap();
        one.set("ip6", "fd00:1::1/64").unwrap();
        let mut routed = Network::new("vmbr1").unwrap();
        routed.set("nat", "0").unwrap();
        assert_eq!(
            rules("pvect", Path::new("/var/lib/pvect"), &[&one, &routed]),
            "# The node below /var/lib/pvect; made anew at each start of a container.\n\
             table inet pvect\ndelete table inet pvect\ntable inet pvect {\n\
             \tchain postrouting {\n\t\ttype nat hook postrouting priority 100; policy accept;\n\
             \t\tip saddr 10.1.2.0/24 ip daddr != 10.1.2.0/24 oifname != \"vmbr0\" masquerade\n\
             \t\tip6 saddr fd00:1::/64 ip6 daddr != fd00:1::/64 oifname != \"vmbr0\" masquerade\n\t}\n\
             \tchain forward {\n\t\ttype filter hook forward priority 0; policy accept;\n\
             \t\tiifname != \"vmbr0\" oifname \"vmbr0\" ct state established,related accept\n\
             \t\tiifname != \"vmbr0\" oifname \"vmbr0\" ct status dnat accept\n\
             \t\tiifname != \"vmbr0\" oifname \"vmbr0\" drop\n\t}\n}\n"
        );
        assert_eq!(
            rules("pvect", Path::new("/a"), &[&routed]),
            "# The node below /a; made anew at each start of a container.\ntable inet pvect\ndelete table inet pvect\n"
        );
    }

    #[test]
    fn the_switch_is_restored_to_what_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let (switch, before) = (dir.path().join("switch"), dir.path().join("run/before"));
        let text = |path: &Path| fs::read_to_string(path).unwrap();
        fs::write(&switch, "0\n").unwrap();
        forward_with(&switch, &before).unwrap();
        forward_with(&switch, &before).unwrap();
        assert_eq!((text(&switch).as_str(), text(&before).as_str()), ("1\n", "0\n"));
        restore(&switch, &before).unwrap();
        restore(&switch, &before).unwrap();
        assert_eq!(text(&switch), "0\n");
        assert!(!before.exists());
        fs::write(&switch, "1\n").unwrap();
        forward_with(&switch, &before).unwrap();
        assert!(!before.exists(), "it was on before");
    }
}
