//! What can be seen of another node.

use pvect_core::{Error, NodeName};

use super::Check;
use crate::Client;

/// Every check of a node that is reached through ssh. Without a connection, that is the only one.
pub(super) async fn all(client: &Client, node: Option<&NodeName>, destination: &str) -> Vec<Check> {
    const NAME: &str = "pct";
    let ssh = ssh(client, destination).await;
    if ssh.verdict != super::Verdict::Ok {
        return vec![ssh];
    }
    let mut checks = vec![ssh];
    match client.list().await {
        Ok(list) => {
            checks
                .push(Check::ok(NAME, format!("{}, {} containers", client.program().display(), list.len())));
            let locked: Vec<_> = list
                .iter()
                .filter_map(|entry| Some((entry.vmid, entry.lock.clone().map(String::from)?)))
                .collect();
            checks.push(super::cluster::locked("locks", &locked));
        }
        Err(error) => checks.push(Check::fail(NAME, error.to_string(), fix(&error))),
    }
    checks.extend(name(client, node).await);
    checks
}

async fn ssh(client: &Client, destination: &str) -> Check {
    const NAME: &str = "ssh";
    match client.ids().await {
        Ok(_) => Check::ok(NAME, destination),
        Err(error) => {
            let fix = fix(&error);
            Check::fail(NAME, error.to_string(), fix)
        }
    }
}

/// How to repair the connection to a node that cannot be reached, by ssh's own message.
fn fix(error: &Error) -> &'static str {
    let text = error.to_string();
    let known = [
        ("Host key verification failed", "compare the host's key, then `ssh` there once by hand"),
        ("Permission denied", "ssh-copy-id, or set ssh.identity_file; keys with a passphrase need ssh-agent"),
        ("Could not resolve hostname", "set nodes.NAME.host to an address"),
        ("Connection refused", "start sshd there, or set ssh.port"),
        ("there is no pct", "set ssh.pct_path to where it is on that node"),
        ("sudo", "allow it in sudoers, with NOPASSWD"),
        ("must be a directory of this user", "chmod 700, or set ssh.control_dir"),
    ];
    let fits = known.iter().find(|(words, _)| text.contains(words));
    fits.map_or("`ssh -v` there shows where it stops", |(_, fix)| fix)
}

/// Checks that the other end is the node that was asked for. One that does not give its name is not asked twice.
async fn name(client: &Client, node: Option<&NodeName>) -> Option<Check> {
    const NAME: &str = "node";
    let told = client.run_other("/usr/bin/uname", &["-n"]).await.ok().filter(|told| told.status == 0)?;
    let host = String::from_utf8_lossy(&told.stdout);
    let host = host.trim().split('.').next().unwrap_or_default().to_owned();
    Some(match node {
        Some(node) if node.as_str() != host => {
            let detail = format!("the host there is called '{host}', not '{node}'");
            Check::warn(NAME, detail, format!("set nodes.{node}.host to the address of {node}"))
        }
        _ => Check::ok(NAME, host),
    })
}
