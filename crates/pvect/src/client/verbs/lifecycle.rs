//! Starting, stopping, removing, copying and moving containers.

use pvect_core::{Call, NodeName, Outcome, Result, Verb, Vmid};

use super::node::RemoteEndpoint;
use crate::Client;
use crate::client::Manner;
use crate::client::options::{
    CloneOptions, DestroyOptions, MigrateOptions, RebootOptions, RemoteMigrateOptions, ShutdownOptions,
    StartOptions, StopOptions,
};

impl Client {
    /// Starts a container and waits until it runs, even if the HA manager starts it.
    ///
    /// # Errors
    /// `AlreadyRunning`, `Locked`, or whatever stopped it from starting.
    pub async fn start(&self, vmid: Vmid) -> Result<Outcome> {
        self.start_with(vmid, &StartOptions::default()).await
    }

    /// As [`Client::start`], with options.
    ///
    /// # Errors
    /// As [`Client::start`].
    pub async fn start_with(&self, vmid: Vmid, options: &StartOptions) -> Result<Outcome> {
        self.ask(&options.add_to(Call::on(Verb::Start, vmid))).await
    }

    /// Kills all processes of a container.
    ///
    /// # Errors
    /// `NotRunning`, `Locked`.
    pub async fn stop(&self, vmid: Vmid) -> Result<Outcome> {
        self.stop_with(vmid, &StopOptions::default()).await
    }

    /// As [`Client::stop`], with options.
    ///
    /// # Errors
    /// As [`Client::stop`].
    pub async fn stop_with(&self, vmid: Vmid, options: &StopOptions) -> Result<Outcome> {
        self.ask(&options.add_to(Call::on(Verb::Stop, vmid))).await
    }

    /// Asks a container to shut down and waits; `force` kills it when the time has passed.
    ///
    /// # Errors
    /// `NotRunning`, `Locked`, or `PctOperationFailed` when it still runs after the time.
    pub async fn shutdown(&self, vmid: Vmid, seconds: Option<u32>, force: bool) -> Result<Outcome> {
        let options = ShutdownOptions { timeout: seconds, force_stop: force.then_some(true) };
        self.ask(&options.add_to(Call::on(Verb::Shutdown, vmid))).await
    }

    /// Shuts a container down and starts it again, with its pending changes.
    ///
    /// # Errors
    /// `NotRunning`; `Locked` where the lock would keep it from starting again ([`Manner::force`] does it then).
    pub async fn reboot(&self, vmid: Vmid) -> Result<Outcome> {
        self.reboot_with(vmid, &RebootOptions::default()).await
    }

    /// As [`Client::reboot`], with options.
    ///
    /// # Errors
    /// As [`Client::reboot`].
    pub async fn reboot_with(&self, vmid: Vmid, options: &RebootOptions) -> Result<Outcome> {
        self.ask(&options.add_to(Call::on(Verb::Reboot, vmid))).await
    }

    /// Writes a container's memory to disk and stops it (experimental in pct).
    ///
    /// # Errors
    /// `NotRunning`, `Locked`, or what CRIU says.
    pub async fn suspend(&self, vmid: Vmid) -> Result<Outcome> {
        self.ask(&Call::on(Verb::Suspend, vmid)).await
    }

    /// Wakes a suspended container.
    ///
    /// # Errors
    /// `Locked`, or what CRIU says.
    pub async fn resume(&self, vmid: Vmid) -> Result<Outcome> {
        self.ask(&Call::on(Verb::Resume, vmid)).await
    }

    /// Removes a container and its volumes; `force` stops it first.
    ///
    /// # Errors
    /// `AlreadyRunning` without `force`, `Protected`, `Locked`.
    pub async fn destroy(&self, vmid: Vmid, force: bool) -> Result<Outcome> {
        self.destroy_with(vmid, &DestroyOptions { force: force.then_some(true), ..Default::default() }).await
    }

    /// As [`Client::destroy`], with all options.
    ///
    /// # Errors
    /// As [`Client::destroy`].
    pub async fn destroy_with(&self, vmid: Vmid, options: &DestroyOptions) -> Result<Outcome> {
        self.ask(&options.add_to(Call::on(Verb::Destroy, vmid))).await
    }

    /// Makes a copy of a container under another number.
    ///
    /// # Errors
    /// `AlreadyExists`, `AlreadyRunning` for a full copy without a snapshot, `Unsupported` if the storage cannot do it.
    pub async fn clone_container(&self, vmid: Vmid, new: Vmid, options: &CloneOptions) -> Result<Outcome> {
        self.ask(&options.add_to(Call::on(Verb::Clone, vmid).arg(new.to_string()))).await
    }

    /// Turns a stopped container into a template.
    ///
    /// # Errors
    /// `PctOperationFailed` when it is not one afterwards, although pct exits with 0 then.
    pub async fn template(&self, vmid: Vmid) -> Result<Outcome> {
        self.ask(&Call::on(Verb::Template, vmid)).await
    }

    /// Moves a container to another node of the cluster.
    ///
    /// # Errors
    /// `NotFound` for an unknown node, or what stopped the move.
    pub async fn migrate(&self, vmid: Vmid, to: &NodeName, options: &MigrateOptions) -> Result<Outcome> {
        self.ask(&options.add_to(Call::on(Verb::Migrate, vmid).arg(to.to_string()))).await
    }

    /// Moves a container to another cluster (experimental in pct), under the same number unless another is given.
    ///
    /// pct takes the token only in its argv, where every user of the node can read it: by calling this you accept
    /// that.
    ///
    /// # Errors
    /// `InvalidArgument` without target storage or bridge, or what stopped the move.
    pub async fn remote_migrate(
        &self,
        vmid: Vmid,
        target: Option<Vmid>,
        endpoint: &RemoteEndpoint,
        options: &RemoteMigrateOptions,
    ) -> Result<Outcome> {
        // pct calls this argument optional, but requires it.
        let target = target.unwrap_or(vmid).to_string();
        let call = Call::on(Verb::RemoteMigrate, vmid).arg(target).arg(endpoint.to_secret_text());
        let manner = Manner { token_in_argv: true, ..Manner::default() };
        self.carry_out(&options.add_to(call), &manner, &mut ()).await
    }
}
