//! The client: one node's containers, through whichever pct there is.

mod api;
mod backup;
mod care;
mod connect;
mod create;
mod far;
mod fast;
mod native;
pub mod options;
mod verbs;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use pvect_api::{ApiBackend, Volume};
use pvect_core::backend::ConfigView;
use pvect_core::config::{PendingItem, SnapshotEntry};
use pvect_core::schema::TimeClass;
use pvect_core::{
    Call, ContainerConfig, Error, ErrorKind, Events, Inspect, Listing, NodeName, Operate, Outcome, Result,
    Status, Verb, Vmid,
};
use pvect_native::NativeBackend;
use pvect_pct::{CancelHandle, Captured, PctBackend, PctConfig, Streams};

pub use pvect_api::OneTimeCode;

pub use backup::{BackedUp, Backup, StoredBackup};
pub use care::{Manner, bytes_in_doubt};
pub use connect::{Builder, DEFAULT_PROGRAMS, DEFAULT_ROOT, host_name};
pub use create::Create;
pub use verbs::{GuestCommand, RemoteEndpoint};

use crate::{Settings, names};

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
        /// Its name, where the settings or an option say it.
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
        /// The node that is meant; without one, containers are found wherever they are.
        node: Option<NodeName>,
    },
}

/// One node's containers.
///
/// Nothing runs until a method is called. All methods may be called at the same time from many tasks. A dropped
/// future ends the pct that it started.
#[derive(Debug, Clone)]
pub struct Client {
    settings: Settings,
    config: PctConfig,
    place: Place,
    pve: PathBuf,
    locks: PathBuf,
    cancel: CancelHandle,
    api: Option<ApiBackend>,
    fast: Option<ApiBackend>,
    native: Option<NativeBackend>,
}

impl Client {
    /// Connects as the settings say; see [`Builder::connect`].
    ///
    /// # Errors
    /// `PctNotAvailable` when there is no pct to run.
    pub fn connect(settings: Settings) -> Result<Self> {
        Self::builder(settings).connect()
    }

    /// Starts a client with more to choose.
    pub fn builder(settings: Settings) -> Builder {
        Builder::new(settings)
    }

    /// Returns which node this is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the pct that runs, without its arguments.
    pub fn program(&self) -> &Path {
        &self.config.program
    }

    /// Returns where the cluster's files are: `/etc/pve` on a node. Those of another node are not here: a path that
    /// does not exist.
    pub fn pve(&self) -> &Path {
        &self.pve
    }

    /// Returns the API, where that is the way to the containers.
    pub(crate) fn api(&self) -> Option<&ApiBackend> {
        self.api.as_ref()
    }

    /// Returns the node's own API daemon, where changes go through it.
    pub(crate) fn fast_path(&self) -> Option<&ApiBackend> {
        self.fast.as_ref()
    }

    /// Returns the handle that stops what runs: SIGTERM and a grace at first, SIGKILL the second time.
    pub fn cancel_handle(&self) -> CancelHandle {
        self.cancel.clone()
    }

    /// Returns the command line of a call, program first, secrets masked. Of several environment variables it shows
    /// the first, which is what pct gets.
    pub fn command_line(&self, call: &Call) -> Vec<String> {
        match &self.api {
            // What it cannot do is told when it is done.
            Some(api) => api.shown(call).unwrap_or_else(|_| call.masked_argv()),
            None => match self.fast.as_ref().filter(|fast| fast::takes(fast, call)) {
                Some(fast) => fast.shown(call).unwrap_or_else(|_| call.masked_argv()),
                None => self.backend(call.verb()).command_line(&care::as_run(call)),
            },
        }
    }

    /// Lists what a storage of the node keeps, of one kind: `vztmpl`, `backup`, `rootdir`.
    ///
    /// # Errors
    /// `Unsupported` where the API is not the way to the containers; `Settings` when there are several nodes and none is
    /// named.
    pub async fn content(&self, storage: &str, kind: &str) -> Result<Vec<Volume>> {
        match &self.api {
            Some(api) => api.content(storage, kind).await,
            None => Err(Error::Unsupported {
                what: "the content of a storage is listed through the API only".to_owned(),
                vmid: None,
            }),
        }
    }

    /// Checks that pct can be run at all, or that the API can be reached.
    ///
    /// # Errors
    /// `PctNotAvailable` or `PctPermissionDenied`; those of the API.
    pub async fn probe(&self) -> Result<()> {
        if let Some(api) = &self.api {
            return api.version().await.map(drop);
        }
        self.backend(Verb::List).probe().await
    }

    /// Lists the node's containers by ascending number.
    ///
    /// # Errors
    /// When pct cannot be run, fails, or prints what cannot be understood.
    pub async fn list(&self) -> Result<Vec<Listing>> {
        if let Some(api) = &self.api {
            return api.list().await;
        }
        if let Some(native) = self.native("list") {
            return native.list();
        }
        self.backend(Verb::List).list().await
    }

    /// Reads a container's whole status record.
    ///
    /// # Errors
    /// `NotFound`; `Unsupported` for a virtual machine's id.
    pub async fn status(&self, vmid: Vmid) -> Result<Status> {
        if let Some(api) = &self.api {
            return Self::plainly(api.status(vmid).await);
        }
        self.refuse_machine(vmid)?;
        if let Some(native) = self.native("status") {
            return native.status(vmid);
        }
        let done = Self::plainly(self.backend(Verb::Status).status(vmid).await);
        self.or_machine(Some(vmid), done).await
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
    /// When pct does not start, or the id is a virtual machine's.
    pub async fn interactive(&self, call: &Call) -> Result<i32> {
        self.refuse_without_pct(call)?;
        self.refuse_machines(call)?;
        self.refuse_foreign(call)?;
        self.backend(call.verb()).interactive(call).await
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
        let call = Call::on(Verb::Exec, vmid).flag("keep-env", false).command(command);
        self.refuse_without_pct(&call)?;
        self.refuse_machines(&call)?;
        self.refuse_foreign(&call)?;
        self.backend(Verb::Exec).exec_captured(&call, stdin).await
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
        let call = Call::on(Verb::Exec, vmid).flag("keep-env", false).command(command);
        self.refuse_without_pct(&call)?;
        self.refuse_machines(&call)?;
        self.refuse_foreign(&call)?;
        self.backend(Verb::Exec).exec_piped(&call, streams).await
    }

    /// Carries out a call as pct does, traps included.
    async fn plain(&self, call: &Call, events: &mut dyn Events) -> Result<Outcome> {
        if let Some(api) = &self.api {
            return Self::plainly(api.operate(call, events).await);
        }
        self.refuse_changes(call)?;
        self.refuse_foreign(call)?;
        if let Some(fast) = self.fast.as_ref().filter(|fast| fast::takes(fast, call))
            && let Some(done) = fast::operate(fast, call, events).await
        {
            return Self::plainly(done);
        }
        let done = Self::plainly(self.backend(call.verb()).operate(call, events).await);
        self.or_machine(call.vmid(), done).await
    }

    /// Refuses what needs a pct, which the API is not.
    fn refuse_without_pct(&self, call: &Call) -> Result<()> {
        match &self.api {
            Some(api) => api.shown(call).map(drop),
            None => Ok(()),
        }
    }

    /// The backend for a verb: with the time limit that the settings give its class.
    fn backend(&self, verb: Verb) -> PctBackend {
        let mut config = self.config.clone();
        if config.timeout.is_none() {
            config.timeout = self.limit_of_settings(verb.spec().time);
        }
        PctBackend::new(config).with_cancel(self.cancel.clone())
    }

    /// The limit where the settings change it; the backend knows the defaults, and that a call with a time-out of
    /// its own (`shutdown`) may take longer.
    fn limit_of_settings(&self, class: TimeClass) -> Option<Duration> {
        let proxmox = &self.settings.proxmox;
        let changed = match class {
            TimeClass::Read => proxmox.timeouts.read.or(proxmox.timeout).is_some(),
            TimeClass::Quick => proxmox.timeouts.quick.or(proxmox.timeout).is_some(),
            TimeClass::Long => proxmox.timeouts.long.is_some(),
            TimeClass::Unbounded => false,
        };
        if changed { self.settings.time_limit(class) } else { None }
    }

    /// Refuses the id of a virtual machine before pct is started; what creates an id is let through.
    fn refuse_machines(&self, call: &Call) -> Result<()> {
        let creates = matches!(call.verb(), Verb::Create | Verb::Restore);
        match call.vmid().filter(|_| !creates) {
            Some(vmid) if names::is_virtual_machine(&self.pve, vmid) => Err(names::virtual_machine(vmid)),
            _ => Ok(()),
        }
    }

    /// Puts pct's words for a missing container, which name a file, into everybody's, and knows what the standalone
    /// node cannot do.
    fn plainly<T>(done: Result<T>) -> Result<T> {
        done.map_err(|error| match error {
            Error::Failed { kind: ErrorKind::NotFound, message, vmid: Some(vmid), run }
                if message.starts_with("Configuration file ") && message.ends_with(" does not exist") =>
            {
                let message = format!("there is no container {vmid}");
                Error::Failed { kind: ErrorKind::NotFound, message, vmid: Some(vmid), run }
            }
            Error::Failed { message, vmid, .. } if message.contains(": the standalone node '") => {
                Error::Unsupported { what: message, vmid }
            }
            other => other,
        })
    }

    fn refuse_machine(&self, vmid: Vmid) -> Result<()> {
        self.refuse_machines(&Call::on(Verb::Status, vmid))
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
        if let Some(api) = &self.api {
            return Self::plainly(api.config(vmid, view).await);
        }
        self.refuse_machine(vmid)?;
        if let Some(native) = self.native("config") {
            return native.config(vmid, view);
        }
        let done = Self::plainly(Inspect::config(&self.backend(Verb::Config), vmid, view).await);
        self.or_machine(Some(vmid), done).await
    }

    async fn pending(&self, vmid: Vmid) -> Result<Vec<PendingItem>> {
        if let Some(api) = &self.api {
            return Self::plainly(api.pending(vmid).await);
        }
        self.refuse_machine(vmid)?;
        if let Some(native) = self.native("pending") {
            return native.pending(vmid);
        }
        let done = Self::plainly(self.backend(Verb::Pending).pending(vmid).await);
        self.or_machine(Some(vmid), done).await
    }

    async fn snapshots(&self, vmid: Vmid) -> Result<Vec<SnapshotEntry>> {
        if let Some(api) = &self.api {
            return Self::plainly(api.snapshots(vmid).await);
        }
        self.refuse_machine(vmid)?;
        if let Some(native) = self.native("listsnapshot") {
            return native.snapshots(vmid);
        }
        let done = Self::plainly(self.backend(Verb::Listsnapshot).snapshots(vmid).await);
        self.or_machine(Some(vmid), done).await
    }
}

#[async_trait]
impl Operate for Client {
    async fn operate(&self, call: &Call, events: &mut dyn Events) -> Result<Outcome> {
        self.carry_out(call, &Manner::default(), events).await
    }
}
