//! The traits of the vocabulary, through the API.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use pvect_core::backend::ConfigView;
use pvect_core::config::{PendingItem, SnapshotEntry};
use pvect_core::error::Run;
use pvect_core::upid::Upid;
use pvect_core::{
    Call, CheckedCall, ContainerConfig, Error, ErrorKind, Events, Inspect, Listing, NodeName, Operate,
    Outcome, Result, Status, Verb, Vmid,
};
use serde_json::Value;

use crate::api::Api;
use crate::cluster::{Guest, Known};
use crate::records;
use crate::records::Volume;
use crate::request::{Request, encode};
use crate::root_only::root_only;
use crate::task::{Task, parse};

/// Containers of a cluster through its API.
#[derive(Debug, Clone)]
pub struct ApiBackend {
    api: Api,
    /// The node to use; without one, a container is found on any node.
    node: Option<NodeName>,
    known: Arc<Known>,
}

impl ApiBackend {
    /// Makes a backend; with a node, every request goes to that node.
    pub fn new(api: Api, node: Option<NodeName>) -> Self {
        Self { api, node, known: Arc::default() }
    }

    /// Returns the client.
    pub fn api(&self) -> &Api {
        &self.api
    }

    /// Lists the containers of all nodes, by number.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn guests(&self) -> Result<Vec<Guest>> {
        self.known.read(&self.api).await
    }

    /// Returns the numbers of all containers and of all virtual machines of the cluster.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn taken(&self) -> Result<(BTreeSet<Vmid>, BTreeSet<Vmid>)> {
        self.known.read(&self.api).await?;
        Ok(self.known.taken())
    }

    /// Returns what would be sent for a call: method, URL and parameters, secrets masked.
    ///
    /// # Errors
    /// `Unsupported` for verbs that the API does not have.
    pub fn shown(&self, call: &Call) -> Result<Vec<String>> {
        let node = self.node.as_ref().map_or("{node}", NodeName::as_str);
        let request = Request::at(call, node)?;
        let host = self.api.config().hosts.first().map(ToString::to_string).unwrap_or_default();
        let mut words = vec![
            request.method.as_str().to_owned(),
            format!("https://{host}/api2/json{}", request.path.replace("%7Bnode%7D", "{node}")),
        ];
        words.extend(request.pairs().into_iter().map(|(name, value)| {
            let secret = call.get_secret(name).is_some();
            format!("{name}={}", if secret { pvect_core::call::MASK } else { value })
        }));
        Ok(words)
    }

    /// Asks for the version of the API: shows whether it can be reached, and whether it accepts the credentials.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn version(&self) -> Result<String> {
        #[derive(serde::Deserialize)]
        struct Version {
            version: String,
        }
        Ok(parse::<Version>(self.api.send(&Request::get("/version")).await?)?.version)
    }

    /// Lists the contents of one kind on a storage of the node: `vztmpl`, `backup`, `rootdir`.
    ///
    /// # Errors
    /// As [`Api::send`]; [`Error::Settings`] when there are several nodes and none is named.
    pub async fn content(&self, storage: &str, kind: &str) -> Result<Vec<Volume>> {
        let node = self.node(None).await?;
        let path = format!("/nodes/{}/storage/{}/content", encode(node.as_str()), encode(storage));
        let mut volumes: Vec<Volume> =
            parse(self.api.send(&Request::get(path).param("content", kind)).await?)?;
        volumes.sort_by(|a, b| a.volid.cmp(&b.volid));
        Ok(volumes)
    }

    /// Returns the lowest number that is free in the cluster.
    ///
    /// # Errors
    /// As [`Api::send`].
    pub async fn next_free(&self) -> Result<Vmid> {
        let data = self.api.send(&Request::get("/cluster/nextid")).await?;
        let text = match &data {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        text.parse().map_err(|error: pvect_core::id::InvalidId| Error::InvalidOutput {
            what: error.to_string(),
            run: Box::default(),
        })
    }

    /// Returns the node that a call is for.
    async fn node(&self, vmid: Option<Vmid>) -> Result<NodeName> {
        match (&self.node, vmid) {
            (Some(node), _) => Ok(node.clone()),
            (None, Some(vmid)) => self.known.node(&self.api, vmid, self.api.config().node_cache).await,
            (None, None) => {
                // If there is only one node, it need not be named.
                #[derive(serde::Deserialize)]
                struct Node {
                    node: NodeName,
                }
                let mut nodes: Vec<Node> = parse(self.api.send(&Request::get("/nodes")).await?)?;
                let names: Vec<&str> = nodes.iter().map(|one| one.node.as_str()).collect();
                match names.len() {
                    1 => Ok(nodes.remove(0).node),
                    _ => Err(Error::Settings {
                        what: format!("which node is meant? --node NAME, one of: {}", names.join(", ")),
                    }),
                }
            }
        }
    }

    /// Reads something about a container; if it has moved meanwhile, from its new node.
    async fn read(
        &self,
        verb: Verb,
        vmid: Vmid,
        adjust: impl Fn(Request) -> Request + Send + Sync,
    ) -> Result<Value> {
        let call = Call::on(verb, vmid);
        let done = self.read_at(&call, self.node(Some(vmid)).await?, &adjust).await;
        match done {
            Err(error) if self.node.is_none() && error.kind() == ErrorKind::NotFound => {
                self.known.forget();
                self.read_at(&call, self.node(Some(vmid)).await?, &adjust).await
            }
            done => done,
        }
    }

    async fn read_at(
        &self,
        call: &Call,
        node: NodeName,
        adjust: &(impl Fn(Request) -> Request + Send + Sync),
    ) -> Result<Value> {
        let request = adjust(Request::of(call, &node)?);
        self.api.send_for(&request, self.api.purpose(call)).await
    }

    fn refuse_root_only(&self, call: &Call) -> Result<()> {
        let found = root_only(call);
        if found.is_empty() || self.api.config().credentials.is_root() {
            return Ok(());
        }
        let what = format!(
            "through the API only root@pam, logged in with a password, may set {}; {} may not: use pct on the node, \
             or --node NAME through ssh",
            found.join(", "),
            self.api.config().credentials.name()
        );
        Err(Error::Failed {
            kind: ErrorKind::PctPermissionDenied,
            message: what,
            vmid: call.vmid(),
            run: Box::default(),
        })
    }
}

#[async_trait]
impl Inspect for ApiBackend {
    async fn list(&self) -> Result<Vec<Listing>> {
        if self.node.is_none() {
            return Ok(self.guests().await?.into_iter().map(|guest| guest.listing).collect());
        }
        let call = Call::new(Verb::List);
        let data = self.read_at(&call, self.node(None).await?, &|request| request).await?;
        records::listings(data)
    }

    async fn status(&self, vmid: Vmid) -> Result<Status> {
        records::status(self.read(Verb::Status, vmid, |request| request).await?, vmid)
    }

    async fn config(&self, vmid: Vmid, view: &ConfigView) -> Result<ContainerConfig> {
        let data = self
            .read(Verb::Config, vmid, |request| match view {
                ConfigView::Pending => request,
                ConfigView::Current => request.param("current", "1"),
                ConfigView::Snapshot(name) => request.param("snapshot", name.as_str()),
            })
            .await?;
        records::config(data)
    }

    async fn pending(&self, vmid: Vmid) -> Result<Vec<PendingItem>> {
        records::pending(self.read(Verb::Pending, vmid, |request| request).await?)
    }

    async fn snapshots(&self, vmid: Vmid) -> Result<Vec<SnapshotEntry>> {
        records::snapshots(self.read(Verb::Listsnapshot, vmid, |request| request).await?)
    }
}

#[async_trait]
impl Operate for ApiBackend {
    async fn operate(&self, call: &CheckedCall, events: &mut dyn Events) -> Result<Outcome> {
        self.refuse_root_only(call)?;
        // If the API does not have the verb, there is no need to look for the container.
        let makes = matches!(call.verb(), Verb::Create | Verb::Restore);
        if call.verb().spec().api.is_none() {
            Request::at(call, "localhost")?;
        }
        let purpose = self.api.purpose(call);
        let node = self.node(call.vmid().filter(|_| !makes)).await?;
        let data = self.api.send_for(&Request::of(call, &node)?, purpose).await?;
        // It may be on another node now.
        if matches!(
            call.verb(),
            Verb::Migrate | Verb::RemoteMigrate | Verb::Create | Verb::Restore | Verb::Clone
        ) {
            self.known.forget();
        }
        match data.as_str().map(|text| (text, text.parse::<Upid>())) {
            Some((_, Ok(upid))) => Task::new(upid).follow(&self.api, purpose, events).await,
            Some((text, Err(_))) if text.starts_with("UPID:") => Err(Error::InvalidOutput {
                what: "the name of its task cannot be read; the task may have begun".to_owned(),
                run: Box::new(Run { stdout: text.chars().take(4096).collect(), ..Run::default() }),
            }),
            _ => Ok(Outcome { stdout: Vec::new(), ..Outcome::default() }),
        }
    }
}
