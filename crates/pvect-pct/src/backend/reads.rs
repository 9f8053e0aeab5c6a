//! What is read: each verb that prints, and the parser of what it prints.

use async_trait::async_trait;
use pvect_core::backend::ConfigView;
use pvect_core::config::{PendingItem, SnapshotEntry};
use pvect_core::{Call, ContainerConfig, Error, Inspect, Listing, Result, Status, Verb, Vmid};

use super::PctBackend;
use crate::config::Transport;
use crate::parse::{self, Clock, ParseError};

impl PctBackend {
    /// Runs a read and parses what it printed. The call is made of typed values, so it needs no check.
    async fn read<T>(&self, call: &Call, parse: impl Fn(&[u8]) -> Result<T, ParseError>) -> Result<T> {
        self.read_words(call, call.argv(), parse).await
    }

    async fn read_words<T>(
        &self,
        call: &Call,
        words: Vec<String>,
        parse: impl Fn(&[u8]) -> Result<T, ParseError>,
    ) -> Result<T> {
        let finished = self.run(call, words, None, &mut ()).await?;
        let (warnings, _) = self.verdict(call, &finished)?;
        self.warned.keep(call.vmid(), warnings);
        parse(&finished.stdout).map_err(|error| Error::InvalidOutput {
            what: error.to_string(),
            run: Box::new(finished.to_run()),
        })
    }

    /// Reads the one word of `pct status`.
    ///
    /// # Errors
    /// As [`Inspect::status`].
    pub async fn state(&self, vmid: Vmid) -> Result<pvect_core::RunState> {
        self.read(&Call::on(Verb::Status, vmid), parse::state).await
    }
}

#[async_trait]
impl Inspect for PctBackend {
    async fn list(&self) -> Result<Vec<Listing>> {
        let call = Call::new(Verb::List);
        if self.pct_config().json_list {
            let words = vec!["list".to_owned(), "--output-format".to_owned(), "json".to_owned()];
            return self.read_words(&call, words, parse::list_json).await;
        }
        self.read(&call, parse::list).await
    }

    async fn status(&self, vmid: Vmid) -> Result<Status> {
        self.read(&Call::on(Verb::Status, vmid).flag("verbose", true), parse::status).await
    }

    async fn config(&self, vmid: Vmid, view: &ConfigView) -> Result<ContainerConfig> {
        let call = Call::on(Verb::Config, vmid);
        let call = match view {
            ConfigView::Pending => call,
            ConfigView::Current => call.flag("current", true),
            ConfigView::Snapshot(name) => call.option("snapshot", name.as_str()),
        };
        self.read(&call, parse::config).await
    }

    async fn pending(&self, vmid: Vmid) -> Result<Vec<PendingItem>> {
        self.read(&Call::on(Verb::Pending, vmid), parse::pending).await
    }

    /// Through sudo, the time of a snapshot is left out, because sudo may drop the time zone that was set.
    async fn snapshots(&self, vmid: Vmid) -> Result<Vec<SnapshotEntry>> {
        let clock = match self.pct_config().transport {
            // Through ssh the time zone is set after sudo.
            Transport::Local | Transport::Ssh(_) => Clock::Utc,
            Transport::Sudo { .. } => Clock::Unknown,
        };
        self.read(&Call::on(Verb::Listsnapshot, vmid), |output| parse::snapshots(output, clock)).await
    }
}
