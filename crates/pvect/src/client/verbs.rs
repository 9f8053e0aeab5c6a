//! The usual verbs, typed. Everything else goes through [`Operate::operate`] with a [`Call`].

use pvect_core::{Call, Operate, Outcome, Result, Verb, Vmid};

use super::Client;

impl Client {
    /// Starts a container.
    ///
    /// # Errors
    /// `AlreadyRunning`, `Locked`, or whatever stopped it from starting.
    pub async fn start(&self, vmid: Vmid) -> Result<Outcome> {
        self.operate(&Call::on(Verb::Start, vmid), &mut ()).await
    }

    /// Kills all processes of a container.
    ///
    /// # Errors
    /// `NotRunning`, `Locked`.
    pub async fn stop(&self, vmid: Vmid) -> Result<Outcome> {
        self.operate(&Call::on(Verb::Stop, vmid), &mut ()).await
    }

    /// Asks a container to shut down and waits; `force` kills it when the time has passed.
    ///
    /// # Errors
    /// `NotRunning`, `Locked`, or `PctOperationFailed` when it still runs after the time.
    pub async fn shutdown(&self, vmid: Vmid, seconds: Option<u32>, force: bool) -> Result<Outcome> {
        let mut call = Call::on(Verb::Shutdown, vmid);
        if let Some(seconds) = seconds {
            call = call.option("timeout", seconds.to_string());
        }
        if force {
            call = call.flag("forceStop", true);
        }
        self.operate(&call, &mut ()).await
    }

    /// Shuts a container down and starts it again.
    ///
    /// # Errors
    /// `NotRunning`, `Locked`.
    pub async fn reboot(&self, vmid: Vmid) -> Result<Outcome> {
        self.operate(&Call::on(Verb::Reboot, vmid), &mut ()).await
    }

    /// Removes a container and its volumes; `force` stops it first.
    ///
    /// # Errors
    /// `AlreadyRunning` without `force`, `Protected`, `Locked`.
    pub async fn destroy(&self, vmid: Vmid, force: bool) -> Result<Outcome> {
        let call = Call::on(Verb::Destroy, vmid);
        self.operate(&if force { call.flag("force", true) } else { call }, &mut ()).await
    }

    /// Changes options of a container.
    ///
    /// # Errors
    /// `InvalidArgument` before pct is started, `Conflict`, `Locked`.
    pub async fn set<I, N, V>(&self, vmid: Vmid, options: I) -> Result<Outcome>
    where
        I: IntoIterator<Item = (N, V)>,
        N: Into<String>,
        V: Into<String>,
    {
        let call = options
            .into_iter()
            .fold(Call::on(Verb::Set, vmid), |call, (name, value)| call.option(name, value));
        self.operate(&call, &mut ()).await
    }

    /// Removes the lock of a container's configuration.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn unlock(&self, vmid: Vmid) -> Result<Outcome> {
        self.operate(&Call::on(Verb::Unlock, vmid), &mut ()).await
    }

    /// Copies a file of this machine into a running container.
    ///
    /// # Errors
    /// `NotRunning`; `PctOperationFailed` when the copy failed, although pct exits with 0 then.
    pub async fn push(&self, vmid: Vmid, file: &str, destination: &str) -> Result<Outcome> {
        self.operate(&Call::on(Verb::Push, vmid).arg(file).arg(destination), &mut ()).await
    }

    /// Copies a file of a running container to this machine.
    ///
    /// # Errors
    /// As for push.
    pub async fn pull(&self, vmid: Vmid, path: &str, destination: &str) -> Result<Outcome> {
        self.operate(&Call::on(Verb::Pull, vmid).arg(path).arg(destination), &mut ()).await
    }
}
