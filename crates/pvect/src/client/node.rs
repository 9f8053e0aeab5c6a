//! A node of its own, reached through its pct, its files and its API daemon.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use async_trait::async_trait;
use pvect_api::ApiBackend;
use pvect_core::backend::ConfigView;
use pvect_core::config::{PendingItem, SnapshotEntry};
use pvect_core::schema::TimeClass;
use pvect_core::{
    Call, CheckedCall, ContainerConfig, Error, ErrorKind, Events, Inspect, Listing, Operate, Outcome, Result,
    Status, Verb, Vmid,
};
use pvect_native::{NativeBackend, Survey};
use pvect_pct::{CancelHandle, Captured, PctBackend, PctConfig, Transport, Warned};

use super::way::Way;
use super::{Place, node_api, safeguards};
use crate::Settings;
use crate::names::{self, Ids};
use crate::settings::Backend;

/// One node: its pct, and the other ways to read and change it.
#[derive(Debug)]
pub(super) struct OnNode {
    pub(super) settings: Settings,
    pub(super) config: PctConfig,
    pub(super) place: Place,
    pub(super) pve: PathBuf,
    pub(super) cancel: CancelHandle,
    pub(super) node_api: Option<ApiBackend>,
    pub(super) native: Option<NativeBackend>,
    /// Warnings that pct printed when it read.
    pub(super) warned: Warned,
}

impl OnNode {
    /// Returns the backend for a verb: with the time limit that the settings give its class.
    pub(super) fn backend(&self, verb: Verb) -> PctBackend {
        self.backend_for(verb.spec().time)
    }

    /// Returns the backend with the time limit that the settings give a class.
    fn backend_for(&self, class: TimeClass) -> PctBackend {
        PctBackend::new(self.config_for(class))
            .with_cancel(self.cancel.clone())
            .with_warned(self.warned.clone())
    }

    fn config_for(&self, class: TimeClass) -> PctConfig {
        let mut config = self.config.clone();
        if config.timeout.is_none() {
            config.timeout = self.limit_of_settings(class);
        }
        config
    }

    /// Returns the backend for the helper verbs of the standalone node, whose program is its pct.
    pub(super) fn helper(&self, class: TimeClass) -> PctBackend {
        let mut config = self.config_for(class);
        config.prefix_args = vec!["__node".to_owned()];
        // A user who may read a storage may list it.
        config.require_root = false;
        PctBackend::new(config).with_cancel(self.cancel.clone())
    }

    /// The limit from the settings, if they have one. The backend knows the defaults, and that a call with a time-out
    /// of its own (`shutdown`) may take longer.
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

    /// Refuses the id of a virtual machine before pct is started, except for calls that create a container.
    pub(super) fn refuse_machines(&self, call: &Call) -> Result<()> {
        let creates = matches!(call.verb(), Verb::Create | Verb::Restore);
        call.vmid().filter(|_| !creates).map_or(Ok(()), |vmid| self.refuse_machine(vmid))
    }

    fn refuse_machine(&self, vmid: Vmid) -> Result<()> {
        if names::is_virtual_machine(&self.pve, vmid) { Err(names::virtual_machine(vmid)) } else { Ok(()) }
    }

    /// Returns the reader of the node's own files, if reads go that way; `what` is for the log.
    fn native(&self, what: &str) -> Option<&NativeBackend> {
        let by = if self.native.is_some() { "the node's own files" } else { "pct" };
        tracing::info!(what, by, "read");
        self.native.as_ref()
    }

    /// Refuses calls that act on a container whose command socket somebody else holds: LXC's programs, which pct runs,
    /// would trust whoever it is.
    fn refuse_foreign(&self, call: &Call) -> Result<()> {
        // Verbs that only show the configuration do not ask the monitor.
        let asks_none = matches!(call.verb(), Verb::Config | Verb::Pending | Verb::Listsnapshot);
        match (&self.native, call.vmid()) {
            (Some(native), Some(vmid)) if !asks_none => native.refuse_foreign(vmid),
            _ => Ok(()),
        }
    }

    /// Refuses changes if only reading is allowed.
    fn refuse_changes(&self, call: &Call) -> Result<()> {
        if self.settings.proxmox.backend != Backend::Native || !call.verb().spec().mutates {
            return Ok(());
        }
        let what = format!(
            "the backend 'native' only reads: '{}' needs --backend auto, pct or api",
            call.verb().name()
        );
        Err(Error::Unsupported { what, vmid: call.vmid() })
    }

    /// A number that another node's pct does not find may be a virtual machine there; only then are that node's files
    /// checked.
    async fn or_machine<T>(&self, vmid: Option<Vmid>, done: Result<T>) -> Result<T> {
        let Err(error) = &done else { return done };
        let far = matches!(self.place, Place::Far { .. }) && error.kind() == ErrorKind::NotFound;
        let Some(vmid) = vmid.filter(|_| far) else { return done };
        match self.ids().await {
            Ok(ids) if ids.machines.contains(&vmid) => Err(names::virtual_machine(vmid)),
            _ => done,
        }
    }
}

#[async_trait]
impl Way for OnNode {
    fn shown(&self, call: &Call) -> Vec<String> {
        match self.node_api.as_ref().filter(|api| node_api::takes(api, call)) {
            Some(api) => api.shown(call).unwrap_or_else(|_| call.masked_argv()),
            None => self.backend(call.verb()).command_line(&safeguards::as_run(call)),
        }
    }

    async fn probe(&self) -> Result<()> {
        self.backend(Verb::List).probe().await
    }

    async fn ids(&self) -> Result<Ids> {
        match &self.place {
            Place::Far { root, .. } => {
                let pve = root.as_ref().map_or_else(|| "/etc/pve".into(), |root| root.join("etc/pve"));
                let text = self.backend(Verb::List).cluster_files(&pve.to_string_lossy()).await?;
                Ok(Ids::parse(&text))
            }
            _ => Ok(Ids {
                machines: BTreeSet::new(),
                taken: names::taken(&self.pve),
                range: names::id_range(&self.pve),
            }),
        }
    }

    async fn run_other(&self, program: &str, words: &[&str], class: TimeClass) -> Result<Captured> {
        self.backend_for(class).run_other(program, words, class).await
    }

    fn allow_session(&self, call: &Call) -> Result<()> {
        self.refuse_machines(call)?;
        self.refuse_foreign(call)
    }

    async fn survey(&self) -> Result<Survey> {
        match self.native("list") {
            Some(native) => native.survey(),
            None => {
                let list = self.backend(Verb::List).list().await?;
                let mut survey = Survey::of(list);
                survey.warnings = self.warned.take(None);
                Ok(survey)
            }
        }
    }

    fn warnings(&self, vmid: Vmid) -> Vec<String> {
        match &self.native {
            // If the file cannot be read, the read itself reports that.
            Some(native) => native.warnings(vmid).unwrap_or_default(),
            None => self.warned.take(Some(vmid)),
        }
    }

    fn reads_records(&self) -> bool {
        self.native.is_some()
    }

    fn takes_care_of(&self, _: Verb) -> bool {
        true
    }

    fn writes_files(&self) -> bool {
        rustix::process::geteuid().is_root() && matches!(self.config.transport, Transport::Local)
    }
}

#[async_trait]
impl Inspect for OnNode {
    async fn list(&self) -> Result<Vec<Listing>> {
        match self.native("list") {
            Some(native) => native.list(),
            None => self.backend(Verb::List).list().await,
        }
    }

    async fn status(&self, vmid: Vmid) -> Result<Status> {
        self.refuse_machine(vmid)?;
        match self.native("status") {
            Some(native) => native.status(vmid),
            None => self.or_machine(Some(vmid), self.backend(Verb::Status).status(vmid).await).await,
        }
    }

    async fn config(&self, vmid: Vmid, view: &ConfigView) -> Result<ContainerConfig> {
        self.refuse_machine(vmid)?;
        match self.native("config") {
            Some(native) => native.config(vmid, view),
            None => self.or_machine(Some(vmid), self.backend(Verb::Config).config(vmid, view).await).await,
        }
    }

    async fn pending(&self, vmid: Vmid) -> Result<Vec<PendingItem>> {
        self.refuse_machine(vmid)?;
        match self.native("pending") {
            Some(native) => native.pending(vmid),
            None => self.or_machine(Some(vmid), self.backend(Verb::Pending).pending(vmid).await).await,
        }
    }

    async fn snapshots(&self, vmid: Vmid) -> Result<Vec<SnapshotEntry>> {
        self.refuse_machine(vmid)?;
        match self.native("listsnapshot") {
            Some(native) => native.snapshots(vmid),
            None => self.or_machine(Some(vmid), self.backend(Verb::Listsnapshot).snapshots(vmid).await).await,
        }
    }
}

#[async_trait]
impl Operate for OnNode {
    /// Carries out a call as pct does, traps included.
    async fn operate(&self, call: &CheckedCall, events: &mut dyn Events) -> Result<Outcome> {
        self.refuse_changes(call)?;
        self.refuse_foreign(call)?;
        if let Some(api) = self.node_api.as_ref().filter(|api| node_api::takes(api, call)) {
            if let Some(done) = node_api::operate(api, call, events).await {
                return done;
            }
        }
        let done = self.backend(call.verb()).operate(call, events).await;
        self.or_machine(call.vmid(), done).await
    }
}
