//! What the HA manager is asked to do with containers.

use std::collections::BTreeMap;

use pvect_core::Vmid;

/// Returns the asked state of each container in the text of `ha/resources.cfg`.
///
/// Source: `PVE::HA::Resources` of pve-ha-manager: sections `ct: 101` with indented `state STATE`, `started` by default.
pub(super) fn states(resources: &str) -> BTreeMap<Vmid, String> {
    let mut found = BTreeMap::new();
    let mut present = None;
    for line in resources.lines() {
        if !line.starts_with([' ', '\t']) {
            present = line.strip_prefix("ct:").and_then(|id| id.trim().parse::<Vmid>().ok());
            found.extend(present.map(|vmid| (vmid, "started".to_owned())));
        } else if let (Some(vmid), Some(("state", state))) = (present, line.trim().split_once(' ')) {
            found.insert(vmid, state.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_those_of_containers() {
        let text = "ct: 101\n\tgroup x\n\tstate stopped\n\nvm: 102\n\tstate started\n\nct: 103\n\tmax_restart 2\nct: bogus\n\tstate stopped\n";
        let found: Vec<String> = states(text).iter().map(|(vmid, state)| format!("{vmid} {state}")).collect();
        assert_eq!(found, ["101 stopped", "103 started"]);
    }
}
