//! The ways to the containers: through a node's own pct and files, or through the HTTPS API.

use std::fmt;

use async_trait::async_trait;
use pvect_api::ApiBackend;
use pvect_core::schema::TimeClass;
use pvect_core::{Call, Error, Inspect, Operate, Result, Verb, Vmid};
use pvect_native::Survey;
use pvect_pct::Captured;

use super::api;
use crate::names::Ids;

/// How a client reaches containers: chosen once, when it connects.
#[async_trait]
pub(super) trait Way: Inspect + Operate + fmt::Debug {
    /// Returns what a call becomes, as text for people: a command line, or a request; secrets masked.
    fn shown(&self, call: &Call) -> Vec<String>;

    /// Checks that the other side can be reached at all.
    async fn probe(&self) -> Result<()>;

    /// Returns what the cluster says about ids.
    async fn ids(&self) -> Result<Ids>;

    /// Runs a program of the node other than pct, with the time limit of a class.
    async fn run_other(&self, program: &str, words: &[&str], class: TimeClass) -> Result<Captured>;

    /// Refuses a session in a container (`exec`, `enter`, `console`) that is not possible this way.
    fn allow_session(&self, call: &Call) -> Result<()>;

    /// Lists the containers, with warnings about them where possible.
    async fn survey(&self) -> Result<Survey>;

    /// Returns what pct warns about in a container's configuration file; if pct does the reading, its warnings so far.
    fn warnings(&self, _: Vmid) -> Vec<String> {
        Vec::new()
    }

    /// Returns whether reads return records instead of the text of a pct.
    fn reads_records(&self) -> bool;

    /// Returns whether what pvect does around a verb can be done this way.
    fn takes_care_of(&self, verb: Verb) -> bool;

    /// Returns whether the node's files can be written by this process.
    fn writes_files(&self) -> bool;

    /// Returns the API, if that is the way.
    fn api(&self) -> Option<&ApiBackend> {
        None
    }
}

#[async_trait]
impl Way for ApiBackend {
    fn shown(&self, call: &Call) -> Vec<String> {
        // What it cannot do is reported when it is tried.
        Self::shown(self, call).unwrap_or_else(|_| call.masked_argv())
    }

    async fn probe(&self) -> Result<()> {
        self.version().await.map(drop)
    }

    async fn ids(&self) -> Result<Ids> {
        api::ids(self).await
    }

    async fn run_other(&self, program: &str, _: &[&str], _: TimeClass) -> Result<Captured> {
        let what = format!("{program} cannot be run: the API cannot run programs on a node");
        Err(Error::Unsupported { what, vmid: None })
    }

    fn allow_session(&self, call: &Call) -> Result<()> {
        Self::shown(self, call).map(drop)
    }

    async fn survey(&self) -> Result<Survey> {
        Inspect::list(self).await.map(Survey::of)
    }

    fn reads_records(&self) -> bool {
        true
    }

    /// The safeguards of these verbs need a pct; and with the API, the token of a migration is not in an argv.
    fn takes_care_of(&self, verb: Verb) -> bool {
        !matches!(verb, Verb::Push | Verb::Pull | Verb::Df | Verb::RemoteMigrate)
    }

    fn writes_files(&self) -> bool {
        false
    }

    fn api(&self) -> Option<&ApiBackend> {
        Some(self)
    }
}
