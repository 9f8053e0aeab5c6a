//! Another node, reached through ssh.

use std::path::PathBuf;

use pvect_core::schema::TimeClass;
use pvect_core::{Error, NodeName, Result};
use pvect_pct::{Captured, Connection, DEFAULT_PATIENCE, PctConfig, SshTarget, Transport};

use super::{Client, Place};
use crate::names::Ids;
use crate::settings::{Node, Proxmox, Seconds, Transport as Way};

/// A path for files that are on another node. Debian guarantees that it does not exist.
pub(super) const NOWHERE: &str = "/nonexistent";

impl Proxmox {
    /// Returns where ssh leads for a node, as [`Proxmox::node_through_ssh`] gives it.
    pub(crate) fn ssh_target(&self, node: &Node) -> SshTarget {
        let mut target = SshTarget::new(node.host.clone().unwrap_or_default());
        if let Some(user) = &node.user {
            target.user.clone_from(user);
        }
        target.sudo = node.sudo.unwrap_or(self.sudo || target.user != "root");
        target.port = node.port;
        target.identity_file.clone_from(&node.identity_file);
        target.options.clone_from(&node.options);
        target.patience = self.ssh.connect_timeout.map_or(DEFAULT_PATIENCE, Seconds::duration);
        if let Some(dir) = &self.ssh.control_dir {
            target.control_dir.clone_from(dir);
        }
        if let Some(program) = &self.ssh.program {
            target.program.clone_from(program);
        }
        target
    }
}

/// Returns whether the node is to be reached through ssh. `asked` says that the node was named for this one command.
///
/// # Errors
/// [`Error::Settings`] when it is, and no node is named.
pub(super) fn is_asked_for(proxmox: &Proxmox, asked: bool, host: Option<&NodeName>) -> Result<bool> {
    let named = proxmox.node.as_ref();
    let another = named.is_some() && named != host;
    let listed = named.is_some_and(|name| proxmox.nodes.contains_key(name));
    let standalone = proxmox.standalone || proxmox.root.is_some();
    match proxmox.transport {
        Way::Local => Ok(false),
        Way::Ssh if named.is_none() && proxmox.ssh.host.is_none() => Err(Error::Settings {
            what: "proxmox.transport: 'ssh' needs a node: --node NAME, or proxmox.node".to_owned(),
        }),
        Way::Ssh => Ok(true),
        // A standalone node may have any name, so the name does not mean another host unless the settings say where it
        // is.
        Way::Auto => Ok(another && (listed || (asked && !standalone))),
    }
}

/// Makes what a client needs to work on another node.
pub(super) fn reach(
    proxmox: &Proxmox,
    asked: bool,
    ask: bool,
    env: Vec<(String, String)>,
) -> (PctConfig, Place, PathBuf) {
    let node = proxmox.node_through_ssh(proxmox.node.as_ref(), !asked);
    let standalone = node.root.is_some() || proxmox.standalone;
    let mut target = proxmox.ssh_target(&node);
    (target.ask, target.env) = (ask, env);
    let program = node.pct_path.clone();
    let mut config = match (&program, standalone) {
        (Some(program), _) => PctConfig::new(program),
        (None, true) => PctConfig { prefix_args: vec!["pct".to_owned()], ..PctConfig::new("pvect") },
        (None, false) => PctConfig::new("pct"),
    };
    config.json_list = standalone;
    config.require_root = false;
    let variables = [
        ("PVECT_ROOT", node.root.as_ref().map(|root| root.display().to_string())),
        ("PVECT_NODE", proxmox.node.as_ref().filter(|_| standalone).map(ToString::to_string)),
    ];
    let set = variables.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    config.env = set.collect();
    let place = Place::Far {
        node: proxmox.node.clone(),
        destination: target.destination(),
        root: node.root.or_else(|| standalone.then(|| PathBuf::from(super::DEFAULT_ROOT))),
    };
    config.transport = Transport::Ssh(Connection::new(target));
    (config, place, NOWHERE.into())
}

impl Client {
    /// Returns what the cluster's files say about ids: those of this machine, or those at the other end.
    ///
    /// # Errors
    /// When the other end cannot be reached.
    pub(crate) async fn ids(&self) -> Result<Ids> {
        self.way.ids().await
    }

    /// Runs another program of the node than pct (`pveam`), as pct is run, with the time limit of a read.
    ///
    /// # Errors
    /// When it cannot be run to its end. A status other than 0 is not an error.
    pub async fn run_other(&self, program: &str, words: &[&str]) -> Result<Captured> {
        self.way.run_other(program, words, TimeClass::Read).await
    }
}

#[cfg(test)]
mod tests {
    use pvect_core::Verb;

    use super::*;

    fn proxmox(text: &str) -> Proxmox {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn another_node_is_asked_for_in_three_ways() {
        let host: NodeName = "pve1".parse().unwrap();
        let asked = |text: &str, asked: bool| is_asked_for(&proxmox(text), asked, Some(&host)).unwrap();
        assert!(!asked("{}", false));
        assert!(!asked(r#"{"node": "pve1"}"#, true));
        assert!(!asked(r#"{"node": "pve2"}"#, false));
        assert!(asked(r#"{"node": "pve2"}"#, true));
        assert!(asked(r#"{"node": "pve2", "nodes": {"pve2": {}}}"#, false));
        assert!(!asked(r#"{"node": "pve1", "nodes": {"pve1": {}}}"#, true));
        assert!(!asked(r#"{"node": "lab", "standalone": true}"#, true));
        assert!(asked(r#"{"node": "lab", "standalone": true, "transport": "ssh"}"#, false));
        assert!(asked(r#"{"node": "pve1", "transport": "ssh"}"#, false));
        assert!(!asked(r#"{"node": "pve2", "transport": "local"}"#, true));
        let error = is_asked_for(&proxmox(r#"{"transport": "ssh"}"#), false, Some(&host)).unwrap_err();
        assert_eq!(error.to_string(), "proxmox.transport: 'ssh' needs a node: --node NAME, or proxmox.node");
    }

    #[test]
    fn the_line_is_made_of_the_settings() {
        let line = |text: &str, words: &[&str]| {
            let (config, place, pve) = reach(&proxmox(text), true, false, Vec::new());
            assert_eq!(pve, PathBuf::from("/nonexistent"));
            let call = words.iter().fold(pvect_core::Call::new(Verb::List), |call, word| call.arg(*word));
            (pvect_pct::PctBackend::new(config).command_line(&call).join(" "), place)
        };
        let (text, place) = line(r#"{"node": "pve2"}"#, &[]);
        assert_eq!(text, "/usr/bin/ssh -- root@pve2 pct list");
        let node = "pve2".parse().ok();
        assert_eq!(place, Place::Far { node, destination: "root@pve2".into(), root: None });
        let (text, _) = line(
            r#"{"node": "pve2", "ssh": {"user": "admin", "identity_file": "/k"}, "nodes": {"pve2": {"port": 23}}}"#,
            &[],
        );
        assert_eq!(text, "/usr/bin/ssh -p 23 -i /k -- admin@pve2 sudo -n -- pct list");
        let (text, place) = line(r#"{"node": "lab", "nodes": {"lab": {"root": "/srv/lab"}}}"#, &[]);
        assert_eq!(text, "/usr/bin/ssh -- root@lab pvect pct list");
        assert!(matches!(place, Place::Far { root: Some(root), .. } if root.as_os_str() == "/srv/lab"));
    }
}
