//! What pvect says of a new container beyond what pct does: to stderr and in the task's log, not among pct's lines.

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};
use pvect_core::{ContainerConfig, Vmid};

use crate::task::TaskLog;
use crate::{Node, NodeResult, Output, store, vmids};

/// Writes a warning that pct does not have; the task ends as it would without.
pub(super) fn note(log: &mut TaskLog, output: &mut Output<'_>, text: &str) {
    let (mut out, mut err) = (std::io::sink(), std::io::sink());
    log.line(&mut Output::new(&mut out, &mut err), &format!("WARN: {text}"));
    output.warn(text);
}

/// Says that `--ha-managed 1` does nothing here.
pub(super) fn no_ha(log: &mut TaskLog, output: &mut Output<'_>) {
    note(log, output, "ha-managed does nothing here: the standalone node has no HA manager");
}

/// Notes each interface of a restored container whose MAC or fixed address another container has too.
pub(super) fn note_shared(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    log: &mut TaskLog,
    output: &mut Output<'_>,
) {
    // The container is there whether they can be looked at or not.
    for text in others(node, vmid).map(|others| shared(vmid, config, &others)).unwrap_or_default() {
        note(log, output, &text);
    }
}

/// The node's other containers, without templates, which never run.
fn others(node: &Node, vmid: Vmid) -> NodeResult<Vec<(Vmid, ContainerConfig)>> {
    let others = vmids::all(node)?.into_iter().filter(|other| *other != vmid);
    let loaded = others.filter_map(|other| Some((other, store::load(node, other).ok()?.config)));
    Ok(loaded.filter(|(_, config)| !config.is_set("template")).collect())
}

fn shared(vmid: Vmid, config: &ContainerConfig, others: &[(Vmid, ContainerConfig)]) -> Vec<String> {
    let mut lines = Vec::new();
    if config.is_set("template") {
        return lines;
    }
    for (key, net) in config.nets() {
        let same_network = |other: &NetInterface| other.bridge == net.bridge && other.tag == net.tag;
        let first = others.iter().find_map(|(other, config)| {
            let (other_key, what, advice) =
                config.nets().into_iter().filter(|(_, other)| same_network(other)).find_map(
                    |(key, other)| in_common(&net, &other).map(|(what, advice)| (key, what, advice)),
                )?;
            Some((other, other_key, what, advice))
        });
        let Some((other, other_key, what, advice)) = first else { continue };
        lines.push(format!(
            "CT {vmid} ({key}) has the {what} of CT {other} ({other_key}) on the same bridge: run only one of them, or \
             {advice}"
        ));
    }
    lines
}

/// What two interfaces on one network must not both have, and how to change that.
fn in_common(one: &NetInterface, other: &NetInterface) -> Option<(String, &'static str)> {
    const CHANGE: &str = "change it with 'pct set'";
    let mac = one.hwaddr.as_deref().zip(other.hwaddr.as_deref());
    if let Some((mac, _)) = mac.filter(|(one, other)| one.eq_ignore_ascii_case(other)) {
        return Some((format!("MAC address {mac}"), "restore with '--unique 1'"));
    }
    match (&one.ip, &other.ip) {
        (Some(Ipv4Config::Static(one, _)), Some(Ipv4Config::Static(other, _))) if one == other => {
            return Some((format!("address {one}"), CHANGE));
        }
        _ => {}
    }
    match (&one.ip6, &other.ip6) {
        (Some(Ipv6Config::Static(one, _)), Some(Ipv6Config::Static(other, _))) if one == other => {
            Some((format!("address {one}"), CHANGE))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(vmid: &str, net: &str) -> (Vmid, ContainerConfig) {
        let mut config = ContainerConfig::default();
        config.main.set("net0", net);
        (vmid.parse().unwrap(), config)
    }

    #[test]
    fn what_two_containers_share_is_named() {
        let others = [
            container("101", "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:01,ip=10.1.2.5/24"),
            container("102", "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,tag=7,ip6=fd00::5/64"),
        ];
        let of = |net: &str| {
            let (vmid, config) = container("103", net);
            shared(vmid, &config, &others)
        };
        assert_eq!(
            of("name=eth0,bridge=vmbr0,hwaddr=bc:24:11:00:00:01,ip=dhcp"),
            [
                "CT 103 (net0) has the MAC address bc:24:11:00:00:01 of CT 101 (net0) on the same bridge: run only one of \
              them, or restore with '--unique 1'"
            ]
        );
        assert_eq!(
            of("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:09,ip=10.1.2.5/16"),
            [
                "CT 103 (net0) has the address 10.1.2.5 of CT 101 (net0) on the same bridge: run only one of them, or \
              change it with 'pct set'"
            ]
        );
        assert_eq!(of("name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:09,tag=7,ip6=fd00::5/64").len(), 1);
        for alone in [
            "name=eth0,bridge=vmbr1,hwaddr=BC:24:11:00:00:01,ip=10.1.2.5/24",
            "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,ip=dhcp",
            "name=eth0,bridge=vmbr0,hwaddr=BC:24:11:00:00:09,ip=10.1.2.6/24",
        ] {
            assert_eq!(of(alone), Vec::<String>::new(), "{alone}");
        }
    }
}
