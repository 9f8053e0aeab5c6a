//! Snapshots. [`pvect_core::Inspect::snapshots`] lists them.

use pvect_core::{Call, Outcome, Result, SnapshotName, Verb, Vmid};

use crate::Client;

impl Client {
    /// Records the state of a container.
    ///
    /// # Errors
    /// `AlreadyExists`; `Unsupported` where a storage has no snapshots.
    pub async fn snapshot(
        &self,
        vmid: Vmid,
        name: &SnapshotName,
        description: Option<&str>,
    ) -> Result<Outcome> {
        let call = Call::on(Verb::Snapshot, vmid).arg(name.to_string());
        let call = description.into_iter().fold(call, |call, text| call.option("description", text));
        self.ask(&call).await
    }

    /// Goes back to a snapshot; `start` starts the container afterwards.
    ///
    /// # Errors
    /// `NotFound`; `AlreadyRunning` for a running container, which a rollback would kill
    /// ([`crate::Manner::force`] does it then).
    pub async fn rollback(&self, vmid: Vmid, name: &SnapshotName, start: bool) -> Result<Outcome> {
        let call = Call::on(Verb::Rollback, vmid).arg(name.to_string());
        self.ask(&if start { call.flag("start", true) } else { call }).await
    }

    /// Removes a snapshot; `force` takes it out of the configuration even if its volumes cannot be removed.
    ///
    /// # Errors
    /// `NotFound`, `Locked`.
    pub async fn delete_snapshot(&self, vmid: Vmid, name: &SnapshotName, force: bool) -> Result<Outcome> {
        let call = Call::on(Verb::Delsnapshot, vmid).arg(name.to_string());
        self.ask(&if force { call.flag("force", true) } else { call }).await
    }
}
