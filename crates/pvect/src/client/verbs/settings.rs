//! The configuration. [`pvect_core::Inspect::config`] and [`pvect_core::Inspect::pending`] read it.

use pvect_core::{Call, Outcome, Result, Verb, Vmid};

use crate::Client;
use crate::client::options::{ContainerOptions, SetOptions};

impl Client {
    /// Changes options of a container, given as pct takes them: `[("memory", "512")]`.
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
        self.ask(&call).await
    }

    /// Changes, removes and takes back options of a container.
    ///
    /// # Errors
    /// As [`Client::set`].
    pub async fn set_with(
        &self,
        vmid: Vmid,
        container: &ContainerOptions,
        options: &SetOptions,
    ) -> Result<Outcome> {
        self.ask(&options.add_to(container.add_to(Call::on(Verb::Set, vmid)))).await
    }

    /// Removes the lock of a container's configuration.
    ///
    /// # Errors
    /// `NotFound`.
    pub async fn unlock(&self, vmid: Vmid) -> Result<Outcome> {
        self.ask(&Call::on(Verb::Unlock, vmid)).await
    }
}
