//! The client: one node's containers, through whichever pct there is.

mod api;
mod backup;
mod connect;
mod create;
mod defaults;
mod native;
mod node;
mod node_api;
pub mod options;
mod remote;
mod safeguards;
mod stored;
mod verbs;
mod way;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use pvect_api::ApiBackend;
use pvect_core::backend::ConfigView;
use pvect_core::config::{PendingItem, SnapshotEntry};
use pvect_core::error::{Finding, Subject};
use pvect_core::{
    Call, CheckedCall, ContainerConfig, Error, Events, Inspect, Listing, NodeName, Operate, Outcome, Result,
    Status, Verb, Vmid,
};
use pvect_pct::{CancelHandle, Captured, Streams};

pub use pvect_api::OneTimeCode;

pub use backup::{BackedUp, Backup};
pub use connect::Builder;
pub use create::Create;
pub use defaults::{DEFAULT_PROGRAMS, DEFAULT_ROOT, host_name};
pub use safeguards::{Manner, bytes_in_doubt};
pub use stored::{StoredBackup, StoredTemplate};
pub use verbs::{GuestCommand, RemoteEndpoint};

use crate::{Settings, names};
use node::OnNode;
use way::Way;

/// Which node a client works on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A node of Proxmox VE, through its own pct.
    Proxmox,
    /// The standalone node below this root.
    Standalone {
        /// The root.
        root: PathBuf,
        /// The node's name.
        node: NodeName,
    },
    /// Another node, through ssh.
    Far {
        /// Its name, if the settings or an option give it.
        node: Option<NodeName>,
        /// Where ssh leads: `user@host`.
        destination: String,
        /// The root, when it is a standalone node.
        root: Option<PathBuf>,
    },
    /// A cluster, through its HTTPS API.
    Api {
        /// The hosts, with ports.
        hosts: Vec<String>,
        /// Who asks: the user, or the user with the token's id.
        user: String,
        /// The node to use; without one, containers are found on any node.
        node: Option<NodeName>,
    },
}

/// One node's containers.
///
/// Nothing runs until a method is called. All methods may be called at the same time from many tasks. Dropping a future
/// ends the pct that it started.
#[derive(Debug, Clone)]
pub struct Client {
    /// The node. Through the API without a node, its pct and its files do not exist.
    node: Arc<OnNode>,
    way: Arc<dyn Way>,
    locks: PathBuf,
    check: bool,
}

impl Client {
    /// Connects as the settings say; see [`Builder::connect`].
    ///
    /// # Errors
    /// `PctNotAvailable` when there is no pct to run.
    pub fn connect(settings: Settings) -> Result<Self> {
        Self::builder(settings).connect()
    }

    /// Starts a client with more choices.
    pub fn builder(settings: Settings) -> Builder {
        Builder::new(settings)
    }

    /// Returns which node this is.
    pub fn place(&self) -> &Place {
        &self.node.place
    }

    /// Returns the pct that runs, without its arguments.
    pub fn program(&self) -> &Path {
        &self.node.config.program
    }

    /// Returns where the cluster's files are: `/etc/pve` on a node. For another node it is a path that does not exist.
    pub fn pve(&self) -> &Path {
        &self.node.pve
    }

    /// Returns the API, if containers are reached through it.
    pub(crate) fn api(&self) -> Option<&ApiBackend> {
        self.way.api()
    }

    /// Returns the node's own API daemon, if changes go through it.
    pub(crate) fn node_api(&self) -> Option<&ApiBackend> {
        self.node.node_api.as_ref()
    }

    /// Returns the handle that stops what runs: SIGTERM and a grace period first, SIGKILL the second time.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.node.cancel.clone()
    }

    /// Returns the command line of a call, program first, secrets masked. If there are several environment variables,
    /// it shows only the first, as pct gets only that.
    pub fn command_line(&self, call: &Call) -> Vec<String> {
        self.way.shown(call)
    }

    /// Checks that pct can be run at all, or that the API can be reached.
    ///
    /// # Errors
    /// `PctNotAvailable` or `PctPermissionDenied`; those of the API.
    pub async fn probe(&self) -> Result<()> {
        self.way.probe().await
    }

    /// Lists the node's containers by ascending number.
    ///
    /// # Errors
    /// When pct cannot be run, fails, or prints something that cannot be understood.
    pub async fn list(&self) -> Result<Vec<Listing>> {
        self.way.list().await
    }

    /// Reads a container's whole status record.
    ///
    /// # Errors
    /// `NotFound`; `Unsupported` for a virtual machine's id.
    pub async fn status(&self, vmid: Vmid) -> Result<Status> {
        Self::plainly(self.way.status(vmid).await)
    }

    /// Finds the container that a word names: its number or its host name.
    ///
    /// A number is not looked up; the verb that follows does that.
    ///
    /// # Errors
    /// `NotFound` with the candidates, when no container or more than one has the name.
    pub async fn resolve(&self, word: &str) -> Result<Vmid> {
        match word.parse() {
            Ok(vmid) => Ok(vmid),
            Err(_) => names::resolve(word, &self.list().await?),
        }
    }

    /// Runs `exec`, `enter` or `console` on the caller's terminal; returns the command's status.
    ///
    /// # Errors
    /// `InvalidArgument` for values that break the schema; when pct does not start, or the id is a virtual machine's.
    pub async fn interactive(&self, call: &CheckedCall) -> Result<i32> {
        let call = &*self.checked_again(call)?;
        self.way.allow_session(call)?;
        self.node.backend(call.verb()).interactive(call).await
    }

    /// Runs a command in a container and keeps what it writes.
    ///
    /// # Errors
    /// When the container does not run, the time-out passes, or it writes more than 16 MiB.
    pub async fn exec<I, S>(&self, vmid: Vmid, command: I, stdin: Option<Vec<u8>>) -> Result<Captured>
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let call = self.checked(Call::on(Verb::Exec, vmid).flag("keep-env", false).command(command))?;
        self.way.allow_session(&call)?;
        self.node.backend(Verb::Exec).exec_captured(&call, stdin).await
    }

    /// Runs a command in a container between streams of the caller's own, of any length.
    ///
    /// # Errors
    /// When the container does not run or the time-out passes.
    pub async fn exec_piped<I, S>(&self, vmid: Vmid, command: I, streams: Streams) -> Result<Captured>
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        let call = self.checked(Call::on(Verb::Exec, vmid).flag("keep-env", false).command(command))?;
        self.way.allow_session(&call)?;
        self.node.backend(Verb::Exec).exec_piped(&call, streams).await
    }

    /// Checks a call, unless the client was built with `check(false)`.
    ///
    /// # Errors
    /// `InvalidArgument` with every value that breaks the schema.
    pub fn checked(&self, call: Call) -> Result<CheckedCall> {
        CheckedCall::with_strictness(call, self.check)
    }

    /// Checks a call that the caller did not check, unless the client was built with `check(false)`.
    fn checked_again<'a>(&self, call: &'a CheckedCall) -> Result<Cow<'a, CheckedCall>> {
        if call.is_strict() || !self.check {
            return Ok(Cow::Borrowed(call));
        }
        self.checked(Call::clone(call)).map(Cow::Owned)
    }

    /// Carries out a call as pct does, traps included.
    async fn plain(&self, call: &CheckedCall, events: &mut dyn Events) -> Result<Outcome> {
        Self::plainly(self.way.operate(call, events).await)
    }

    /// Replaces pct's text about a missing container, which names a file, by a plain one, and recognises what the
    /// standalone node cannot do.
    fn plainly<T>(done: Result<T>) -> Result<T> {
        done.map_err(|error| match (error.subject(), error) {
            (Some(Subject::Container), Error::Failed { vmid: Some(vmid), run, .. }) => {
                Error::Found { finding: Finding::NoContainer { vmid }, vmid: Some(vmid), run: Some(run) }
            }
            (Some(Subject::Proxmox), Error::Failed { message, vmid, .. }) => {
                Error::Unsupported { what: message, vmid }
            }
            (_, other) => other,
        })
    }
}

#[async_trait]
impl Inspect for Client {
    async fn list(&self) -> Result<Vec<Listing>> {
        Self::list(self).await
    }

    async fn status(&self, vmid: Vmid) -> Result<Status> {
        Self::status(self, vmid).await
    }

    async fn config(&self, vmid: Vmid, view: &ConfigView) -> Result<ContainerConfig> {
        Self::plainly(self.way.config(vmid, view).await)
    }

    async fn pending(&self, vmid: Vmid) -> Result<Vec<PendingItem>> {
        Self::plainly(self.way.pending(vmid).await)
    }

    async fn snapshots(&self, vmid: Vmid) -> Result<Vec<SnapshotEntry>> {
        Self::plainly(self.way.snapshots(vmid).await)
    }
}

#[async_trait]
impl Operate for Client {
    async fn operate(&self, call: &CheckedCall, events: &mut dyn Events) -> Result<Outcome> {
        self.carry_out_checked(call, &Manner::default(), events).await
    }
}
