//! What every command uses: the settings, the environment, and the way to a client.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

use pvect::client::Builder;
use pvect::settings::{self, Backend, Loaded, Origin, Sources};
use pvect::{Client, Place, Settings, names};
use pvect_core::error::Finding;
use pvect_core::{Error, NodeName, Result};

use crate::args::{Form, Line};
use crate::ui::Ui;
use crate::{interrupt, passwords};

/// The variables that ssh needs to find agents, password prompts and the programs that its configuration names.
const SSH_ENVIRONMENT: [&str; 9] = [
    "HOME",
    "USER",
    "LOGNAME",
    "SSH_AUTH_SOCK",
    "SSH_ASKPASS",
    "SSH_ASKPASS_REQUIRE",
    "DISPLAY",
    "WAYLAND_DISPLAY",
    "KRB5CCNAME",
];

/// What every command uses.
pub struct App {
    /// Where results and messages go.
    pub ui: Ui,
    /// The settings and where they came from.
    pub loaded: Loaded,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// This program.
    pub program: PathBuf,
}

impl App {
    /// Reads the settings. A wrong settings file does not prevent the commands that repair it.
    ///
    /// # Errors
    /// When they are wrong, or this program's file cannot be found.
    pub fn load(ui: Ui, env: BTreeMap<String, String>, line: &Line) -> Result<Self> {
        let program = std::env::current_exe()
            .map_err(|source| Error::Io { what: "cannot find this program's file".to_owned(), source })?;
        let mut app = Self { ui, loaded: Loaded::default(), env, program };
        let repairs = matches!(line, Line::Own("settings" | "completion" | "man" | "help", _));
        match settings::load(&app.sources()) {
            Ok(loaded) => app.loaded = loaded,
            Err(_) if repairs => {}
            Err(error) => return Err(error),
        }
        Ok(app)
    }

    /// Where settings come from.
    pub fn sources(&self) -> Sources {
        Sources {
            file: self.ui.globals.settings.clone(),
            env: self.env.clone(),
            options: self.ui.globals.overrides.clone(),
            system_file: None,
        }
    }

    /// Connects to the node.
    ///
    /// # Errors
    /// When there is no pct to run.
    pub fn client(&self) -> Result<Client> {
        self.connect(|builder| builder)
    }

    /// Connects, after `adjust` has changed the builder.
    ///
    /// # Errors
    /// When there is no pct to run.
    pub fn connect(&self, adjust: impl FnOnce(Builder) -> Builder) -> Result<Client> {
        let client = adjust(self.builder()).connect()?;
        if let (Place::Standalone { root, node }, true) = (client.place(), self.ui.shows_progress()) {
            let asked = self.loaded.settings.wants_standalone();
            let why = if asked { "" } else { "no pct of Proxmox VE here; " };
            self.ui.note(&format!("{why}using the standalone node {node} below {}", root.display()));
        }
        interrupt::watch(&client);
        Ok(client)
    }

    /// Connects to a node by its name, instead of the one that the settings choose.
    ///
    /// # Errors
    /// When the node cannot be reached.
    pub fn connect_to(&self, node: &NodeName) -> Result<Client> {
        let mut settings = self.loaded.settings.clone();
        settings.proxmox.node = Some(node.clone());
        let client = self.builder_of(settings).node_asked(true).connect()?;
        interrupt::watch(&client);
        Ok(client)
    }

    /// Connects through one backend, whatever the settings choose.
    ///
    /// # Errors
    /// When the backend is not available.
    pub fn connect_by(&self, backend: Backend) -> Result<Client> {
        let mut settings = self.loaded.settings.clone();
        settings.proxmox.backend = backend;
        let client = self.builder_of(settings).connect()?;
        interrupt::watch(&client);
        Ok(client)
    }

    /// Starts a client as settings and options say.
    pub fn builder(&self) -> Builder {
        self.builder_of(self.loaded.settings.clone())
    }

    fn builder_of(&self, settings: Settings) -> Builder {
        let builder = Client::builder(settings)
            .standalone_program(&self.program)
            .timeout(self.ui.globals.timeout.map(settings::Seconds::duration))
            .check(!self.ui.globals.no_check);
        let asked =
            matches!(self.loaded.origins.get("proxmox.node"), Some(Origin::Option(_) | Origin::Env(_)));
        let terminal = std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
        let known = SSH_ENVIRONMENT.iter().filter_map(|name| Some((*name, self.env.get(*name)?)));
        let builder = if terminal { builder.one_time_code(passwords::one_time_code()) } else { builder };
        let builder = known
            .fold(builder, |builder, (name, value)| builder.ssh_env(name, value))
            .node_asked(asked)
            .ssh_asks(terminal);
        match self.env.get("TERM") {
            Some(term) => builder.env("TERM", term),
            None => builder,
        }
    }

    /// Which containers may have been meant by a number that no container has.
    pub fn near(&self, error: &Error) -> Vec<String> {
        let Error::Found { finding: Finding::NoContainer { vmid }, .. } = *error else { return Vec::new() };
        let near = self.builder().connect().map(|client| names::near(client.pve(), vmid)).unwrap_or_default();
        let mut hints = Vec::new();
        if let Some(node) = near.elsewhere {
            hints.push(format!("{vmid} is on node {node}: add --node {node}"));
        }
        if !near.like.is_empty() {
            let like: Vec<String> =
                near.like.iter().map(|(id, name)| format!("{id} {name}").trim_end().to_owned()).collect();
            hints.push(format!("similar numbers: {}", like.join(", ")));
        }
        hints
    }

    /// The form of results.
    pub fn form(&self, default: Form) -> Form {
        self.ui.form(default)
    }
}
