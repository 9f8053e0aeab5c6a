//! Chooses which pct runs.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use pvect_api::{ApiBackend, OneTimeCode};
use pvect_core::error::Unavailable;
use pvect_core::{Error, Result};
use pvect_pct::{CancelHandle, PctConfig, Transport, Warned};

use super::defaults::{DEFAULT_PROGRAMS, DEFAULT_ROOT, host_name};
use super::node::OnNode;
use super::{Client, Place, api, native, node_api, remote};
use crate::Settings;
use crate::settings::{Backend, Proxmox};

/// What a client is made from.
#[derive(Debug, Clone)]
pub struct Builder {
    settings: Settings,
    standalone_program: Option<PathBuf>,
    candidates: Vec<PathBuf>,
    pve: Option<PathBuf>,
    locks: PathBuf,
    timeout: Option<Duration>,
    env: Vec<(String, String)>,
    check: bool,
    cancel: CancelHandle,
    node_asked: bool,
    ssh_asks: bool,
    ssh_env: Vec<(String, String)>,
    code: Option<OneTimeCode>,
}

impl Builder {
    /// Starts with settings, and defaults for everything else.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            standalone_program: None,
            candidates: DEFAULT_PROGRAMS.iter().map(PathBuf::from).collect(),
            pve: None,
            locks: PathBuf::from("/run/lock/lxc"),
            timeout: None,
            env: Vec::new(),
            check: true,
            cancel: CancelHandle::new(),
            node_asked: false,
            ssh_asks: false,
            ssh_env: Vec::new(),
            code: None,
        }
    }

    /// Sets the command `pvect`, which is the standalone node's pct (as `pvect pct`).
    #[must_use]
    pub fn standalone_program(mut self, program: impl Into<PathBuf>) -> Self {
        self.standalone_program = Some(program.into());
        self
    }

    /// Sets where pct is looked for when the settings name no path.
    #[must_use]
    pub fn candidates(mut self, paths: impl IntoIterator<Item = PathBuf>) -> Self {
        self.candidates = paths.into_iter().collect();
        self
    }

    /// Sets where the cluster's files are, instead of `/etc/pve`.
    #[must_use]
    pub fn pve(mut self, path: impl Into<PathBuf>) -> Self {
        self.pve = Some(path.into());
        self
    }

    /// Sets where pct's lock files of configurations are, instead of `/run/lock/lxc`.
    #[must_use]
    pub fn locks(mut self, path: impl Into<PathBuf>) -> Self {
        self.locks = path.into();
        self
    }

    /// Sets one time limit for every verb.
    #[must_use]
    pub fn timeout(mut self, limit: Option<Duration>) -> Self {
        self.timeout = limit;
        self
    }

    /// Sets whether the node was named for this one command, by an option or a variable, and not in the settings file:
    /// a name other than this host's then means another host, which is reached through ssh.
    #[must_use]
    pub fn node_asked(mut self, on: bool) -> Self {
        self.node_asked = on;
        self
    }

    /// Sets whether ssh may ask on the terminal for a passphrase, a password or an unknown host key.
    #[must_use]
    pub fn ssh_asks(mut self, on: bool) -> Self {
        self.ssh_asks = on;
        self
    }

    /// Adds a variable to ssh's own environment, such as `SSH_AUTH_SOCK`; it is clean otherwise.
    #[must_use]
    pub fn ssh_env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.ssh_env.push((name.into(), value.into()));
        self
    }

    /// Sets who is asked for a one-time code when the API wants a second factor.
    #[must_use]
    pub fn one_time_code(mut self, ask: OneTimeCode) -> Self {
        self.code = Some(ask);
        self
    }

    /// Adds a variable to pct's environment, which is clean otherwise. Only `TERM` is passed to another node: the rest
    /// would be in argv, where every user can read it.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// Sets whether calls are checked against the schema before pct is started.
    #[must_use]
    pub fn check(mut self, on: bool) -> Self {
        self.check = on;
        self
    }

    /// Sets the handle that stops what runs.
    #[must_use]
    pub fn cancel_handle(mut self, handle: CancelHandle) -> Self {
        self.cancel = handle;
        self
    }

    /// Chooses the node: through the API when the settings ask for it; another one through ssh when they ask for
    /// that; else the standalone one when the settings ask for it; else the pct that they name; else an
    /// installed one; else the standalone one. A `pct` that is a link to pvect itself is the standalone node's.
    ///
    /// # Errors
    /// `PctNotAvailable` when the named pct is missing, or nothing is there to run.
    pub fn connect(self) -> Result<Client> {
        let proxmox = &self.settings.proxmox;
        let has_pct = self.candidates.iter().any(|path| path.exists() && !self.is_ours(path));
        if let Some(named) = api::asked(proxmox, has_pct)? {
            let (backend, place) =
                api::connect(proxmox, &named, self.timeout, self.code.clone(), &self.cancel)?;
            return Ok(self.through_api(backend, place));
        }
        if remote::is_asked_for(proxmox, self.node_asked, host_name().ok().as_ref())? {
            return Ok(self.connect_remote());
        }
        let real = if self.settings.wants_standalone() {
            None
        } else if let Some(path) = &proxmox.pct_path {
            if !path.exists() && !proxmox.sudo {
                return Err(Error::NotAvailable { path: path.clone(), reason: Unavailable::Missing });
            }
            Some(path.clone())
        } else {
            self.candidates.iter().find(|path| path.exists() && !self.is_ours(path)).cloned()
        };
        let transport = if proxmox.sudo { Transport::sudo() } else { Transport::Local };
        let (mut config, place, pve) = match real {
            Some(path) => (PctConfig::new(path), Place::Proxmox, PathBuf::from("/etc/pve")),
            None => self.standalone()?,
        };
        config.transport = transport;
        config.timeout = self.timeout;
        config.env.extend(self.env);
        let pve = self.pve.unwrap_or(pve);
        let native = native::reader(&self.settings.proxmox, &place, &pve)?;
        let node_api = node_api_of(&self.settings.proxmox, &place, &pve, self.timeout, &self.cancel)?;
        let (settings, cancel, warned) = (self.settings, self.cancel, Warned::default());
        let node = OnNode { settings, config, place, pve, cancel, node_api, native, warned };
        Ok(on_node(node, self.locks, self.check))
    }

    fn through_api(self, backend: ApiBackend, place: Place) -> Client {
        let mut config = PctConfig::new(remote::NOWHERE);
        config.timeout = self.timeout;
        let pve = remote::NOWHERE.into();
        let (settings, cancel) = (self.settings, self.cancel);
        let node = OnNode {
            settings,
            config,
            place,
            pve,
            cancel,
            node_api: None,
            native: None,
            warned: Warned::default(),
        };
        // Checks can be left to a pct, but not to the API.
        Client { node: Arc::new(node), way: Arc::new(backend), locks: self.locks, check: true }
    }

    fn connect_remote(self) -> Client {
        let (mut config, place, pve) =
            remote::reach(&self.settings.proxmox, self.node_asked, self.ssh_asks, self.ssh_env);
        config.timeout = self.timeout;
        config.env.extend(self.env.into_iter().filter(|(name, _)| name == "TERM"));
        let (settings, cancel) = (self.settings, self.cancel);
        let node = OnNode {
            settings,
            config,
            place,
            pve,
            cancel,
            node_api: None,
            native: None,
            warned: Warned::default(),
        };
        on_node(node, self.locks, self.check)
    }

    fn is_ours(&self, path: &Path) -> bool {
        let real = |path: &Path| path.canonicalize().ok();
        self.standalone_program.as_deref().is_some_and(|own| real(own).is_some() && real(own) == real(path))
    }

    fn standalone(&self) -> Result<(PctConfig, Place, PathBuf)> {
        let proxmox = &self.settings.proxmox;
        let Some(program) = &self.standalone_program else {
            let path = self.candidates.first().cloned().unwrap_or_default();
            return Err(Error::NotAvailable { path, reason: Unavailable::Missing });
        };
        let root = proxmox.root.clone().unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT));
        if !root.is_absolute() {
            return Err(Error::Settings {
                what: format!("root: '{}' is not an absolute path", root.display()),
            });
        }
        let node = proxmox.node.clone().map_or_else(host_name, Ok)?;
        let mut config = PctConfig::new(program);
        config.prefix_args = vec!["pct".to_owned()];
        config.json_list = true;
        config.env = vec![
            ("PVECT_ROOT".to_owned(), root.display().to_string()),
            ("PVECT_NODE".to_owned(), node.to_string()),
        ];
        let pve = root.join("etc/pve");
        Ok((config, Place::Standalone { root, node }, pve))
    }
}

fn on_node(node: OnNode, locks: PathBuf, check: bool) -> Client {
    let node = Arc::new(node);
    Client { way: node.clone(), node, locks, check }
}

/// The node's own API daemon, if the settings send changes through it; not with `--backend pct`.
fn node_api_of(
    proxmox: &Proxmox,
    place: &Place,
    pve: &Path,
    timeout: Option<Duration>,
    cancel: &CancelHandle,
) -> Result<Option<ApiBackend>> {
    let Some(settings) = proxmox.fast_path.as_ref().filter(|_| proxmox.backend == Backend::Auto) else {
        return Ok(None);
    };
    let node = match place {
        Place::Standalone { node, .. } => node.clone(),
        _ => proxmox.node.clone().map_or_else(host_name, Ok)?,
    };
    node_api::connect(settings, pve, &node, timeout, cancel).map(Some)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_choice_follows_settings_and_files() {
        let dir = tempfile::tempdir().unwrap();
        let (pct, own, link) = (dir.path().join("pct"), dir.path().join("pvect"), dir.path().join("link"));
        fs::write(&pct, "").unwrap();
        fs::write(&own, "").unwrap();
        std::os::unix::fs::symlink(&own, &link).unwrap();
        let connect = |settings: &Settings, candidate: &Path| {
            Builder::new(settings.clone())
                .standalone_program(&own)
                .candidates([candidate.to_owned()])
                .connect()
                .map(|client| client.place().clone())
        };
        let mut settings = Settings::default();
        settings.proxmox.node = Some("pve1".parse().unwrap());
        let default = Place::Standalone { root: DEFAULT_ROOT.into(), node: "pve1".parse().unwrap() };
        assert_eq!(connect(&settings, &pct).unwrap(), Place::Proxmox);
        assert_eq!(connect(&settings, &link).unwrap(), default);
        assert_eq!(connect(&settings, Path::new("/none")).unwrap(), default);
        settings.proxmox.standalone = true;
        assert_eq!(connect(&settings, &pct).unwrap(), default);
        settings.proxmox.standalone = false;
        settings.proxmox.pct_path = Some("/none/pct".into());
        let error = connect(&settings, &pct).unwrap_err();
        assert_eq!(error.to_string(), "there is no pct at '/none/pct'");
        settings.proxmox.root = Some("relative".into());
        let error = connect(&settings, &pct).unwrap_err();
        assert_eq!(error.to_string(), "root: 'relative' is not an absolute path");
    }
}
