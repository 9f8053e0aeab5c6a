//! How other nodes are reached.

use std::collections::BTreeMap;
use std::path::PathBuf;

use pvect_core::NodeName;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Proxmox, Seconds};

/// How the node is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// Through ssh if another node than this host is asked for, else here.
    #[default]
    Auto,
    /// Here, whatever the node is called.
    Local,
    /// Through ssh, always.
    Ssh,
}

impl Transport {
    /// The word in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Local => "local",
            Self::Ssh => "ssh",
        }
    }
}

/// What applies to every node that is reached through ssh, unless its own entry in `nodes` says otherwise.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Ssh {
    /// The address of the node that `node` names in this file; that name itself when unset.
    pub host: Option<String>,
    /// The user; root when unset. Another one needs `sudo -n` there.
    pub user: Option<String>,
    /// The port; what ssh is configured for when unset.
    pub port: Option<u16>,
    /// The private key to try first.
    pub identity_file: Option<PathBuf>,
    /// Options of ssh_config(5), each `Name=value`.
    pub options: Vec<String>,
    /// Run pct through `sudo -n` there; by default when the user is not root.
    pub sudo: Option<bool>,
    /// The pct there; `pct_path` of `proxmox`, or the first pct of the path there, when unset.
    pub pct_path: Option<PathBuf>,
    /// The root of a standalone node there; a node of Proxmox VE when unset.
    pub root: Option<PathBuf>,
    /// Seconds that connecting may take; 20 when unset.
    pub connect_timeout: Option<Seconds>,
    /// The directory for the sockets of connections that are kept.
    pub control_dir: Option<PathBuf>,
    /// The ssh to run; /usr/bin/ssh when unset.
    pub program: Option<PathBuf>,
}

/// How one node is reached through ssh; what is unset is as in `ssh`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// The address: a name, a number, or a `Host` of ssh's configuration; the node's name when unset.
    pub host: Option<String>,
    /// The user.
    pub user: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The private key to try first.
    pub identity_file: Option<PathBuf>,
    /// Options of ssh_config(5), each `Name=value`, before those of `ssh`.
    pub options: Vec<String>,
    /// Run pct through `sudo -n` there.
    pub sudo: Option<bool>,
    /// The pct there.
    pub pct_path: Option<PathBuf>,
    /// The root of a standalone node there.
    pub root: Option<PathBuf>,
}

/// Nodes by name.
pub type Nodes = BTreeMap<NodeName, Node>;

impl Proxmox {
    /// Returns how a node is reached through ssh: its own entry, completed by what applies to all.
    ///
    /// `of_file` says that the name is the one in the settings file, which is the node that `ssh.host` is the address of.
    pub fn node_through_ssh(&self, name: Option<&NodeName>, of_file: bool) -> Node {
        let own = name.and_then(|name| self.nodes.get(name)).cloned().unwrap_or_default();
        let all = self.ssh.clone();
        let named = name.map(ToString::to_string);
        Node {
            host: own.host.or(all.host.filter(|_| of_file)).or(named),
            user: own.user.or(all.user),
            port: own.port.or(all.port),
            identity_file: own.identity_file.or(all.identity_file),
            options: [own.options, all.options].concat(),
            sudo: own.sudo.or(all.sudo),
            pct_path: own.pct_path.or(all.pct_path).or_else(|| self.pct_path.clone()),
            root: own.root.or(all.root).or_else(|| self.root.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_own_entry_comes_first() {
        let proxmox: Proxmox = serde_json::from_str(
            r#"{"ssh": {"host": "10.0.0.1", "user": "admin", "port": 2222, "options": ["Compression=yes"]},
                "nodes": {"pve2": {"host": "10.0.0.2", "port": 22, "options": ["Compression=no"]}}}"#,
        )
        .unwrap();
        let reached = |name: &str, of_file| proxmox.node_through_ssh(Some(&name.parse().unwrap()), of_file);
        let two = reached("pve2", false);
        assert_eq!(
            (two.host.as_deref(), two.user.as_deref(), two.port),
            (Some("10.0.0.2"), Some("admin"), Some(22))
        );
        assert_eq!(two.options, ["Compression=no", "Compression=yes"]);
        // The address in `ssh` is that of the file's own node, and of no other.
        assert_eq!(reached("pve1", true).host.as_deref(), Some("10.0.0.1"));
        assert_eq!(reached("pve3", false).host.as_deref(), Some("pve3"));
    }
}
