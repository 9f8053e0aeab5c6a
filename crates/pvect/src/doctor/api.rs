//! What can be seen through the HTTPS API.

use pvect_core::{Error, ErrorKind};

use super::Check;
use crate::{Client, Place};

/// Every check of a cluster behind its API. If it does not answer, that is the only one.
pub(super) async fn all(client: &Client) -> Vec<Check> {
    const NAME: &str = "api";
    let (Some(api), Place::Api { hosts, user, node }) = (client.api(), client.place()) else {
        return Vec::new();
    };
    let mut checks = match api.version().await {
        Ok(version) => vec![Check::ok(NAME, format!("{}: version {version}, as {user}", hosts.join(", ")))],
        Err(error) => return vec![Check::fail(NAME, error.to_string(), fix(&error))],
    };
    if !api.api().config().credentials.is_root() {
        let detail =
            "only root@pam may set bind mounts, devices, hook scripts and features other than nesting";
        checks.push(Check::ok("permissions", detail));
    }
    match api.guests().await {
        Ok(guests) => {
            let mut nodes: Vec<&str> = guests.iter().map(|guest| guest.node.as_str()).collect();
            nodes.sort_unstable();
            nodes.dedup();
            checks.push(Check::ok("containers", format!("{} on {}", guests.len(), nodes.join(", "))));
            let locked: Vec<_> = guests
                .iter()
                .filter_map(|guest| Some((guest.listing.vmid, guest.listing.lock.clone().map(String::from)?)))
                .collect();
            checks.push(super::cluster::locked("locks", &locked));
        }
        Err(error) => checks.push(Check::fail("containers", error.to_string(), fix(&error))),
    }
    if let Some(node) = node {
        checks.push(match client.list().await {
            Ok(_) => Check::ok("node", node.to_string()),
            Err(error) => Check::fail("node", error.to_string(), fix(&error)),
        });
    }
    checks
}

/// The node's own API daemon, if changes go through it. If it does not answer, pct carries them out.
pub(super) async fn fast_path(client: &Client) -> Option<Check> {
    const NAME: &str = "fast path";
    let api = client.node_api()?;
    let user = api.api().config().credentials.name();
    Some(match api.version().await {
        Ok(version) => Check::ok(NAME, format!("the node's API, version {version}, as {user}")),
        Err(error) => Check::warn(NAME, format!("{error}; pct does everything"), fix(&error)),
    })
}

fn fix(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::ApiUnreachable => "is pveproxy running there? are hosts and port right?",
        ErrorKind::ApiUntrusted => {
            "compare it with `pvenode cert info` (or `pvect node fingerprint`) there, then set fingerprint or ca_file"
        }
        ErrorKind::ApiUnauthenticated => "make a token: `pveum user token add USER@REALM ID` there",
        ErrorKind::PctPermissionDenied => {
            "`pveum acl modify /vms --tokens USER@REALM!ID --roles PVEVMAdmin` there"
        }
        ErrorKind::NodeUnreachable => "is the node up? `pvecm status` there",
        _ => "the logs of pveproxy and pvedaemon there may say more",
    }
}
