//! The addresses of one container, and waiting for the first.

use std::io;
use std::time::{Duration, Instant};

use pvect_core::error::Run;
use pvect_core::{Call, ContainerConfig, Error, ErrorKind, Result, Verb, Vmid};
use pvect_native::Addresses;

use super::Client;

/// How often the addresses are looked at. A look costs less than a millisecond.
const INTERVAL: Duration = Duration::from_millis(100);

impl Client {
    /// Reads the addresses of a running container's own interfaces, `net0` first: those under which others can reach it.
    /// They are read from outside; bridges and tunnels inside the container have no part in them. Which they are is the
    /// guest's choice.
    ///
    /// # Errors
    /// `Unsupported` where the node's own files are not read; `NotFound`; `NotRunning`; `Io` when the kernel cannot be
    /// asked.
    pub fn addresses(&self, vmid: Vmid) -> Result<Addresses> {
        let native = self.native("addresses")?;
        self.node.refuse_machines(&Call::on(Verb::Status, vmid))?;
        self.addresses_of(vmid, &native.load(vmid)?)
    }

    fn addresses_of(&self, vmid: Vmid, config: &ContainerConfig) -> Result<Addresses> {
        let native = self.native("addresses")?;
        let found = native.addresses([(vmid, config)])?.pop().unwrap_or_else(|| Ok(Addresses::default()));
        found.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => failed(
                ErrorKind::NotRunning,
                vmid,
                format!("container {vmid} is not running: only a running one has addresses"),
            ),
            _ => match native.refuse_foreign(vmid) {
                Err(foreign) => foreign,
                Ok(()) => {
                    let what = format!("cannot read the addresses of container {vmid}");
                    Error::Io { what, source: error }
                }
            },
        })
    }

    /// Waits until a running container has an address, of either family, for `limit` at most.
    ///
    /// # Errors
    /// `PctTimeout` when it has none by then; it goes on running. As [`Client::addresses`]; `PctOperationFailed` for a
    /// container without interfaces, and when waiting was cancelled.
    pub async fn wait_for_address(&self, vmid: Vmid, limit: Duration) -> Result<Addresses> {
        let began = Instant::now();
        let config = self.native("addresses")?.load(vmid)?;
        if !config.main.keys().iter().any(|key| pvect_native::net_index(key).is_some()) {
            let message = format!("container {vmid} has no network interface, so it gets no address");
            return Err(failed(ErrorKind::PctOperationFailed, vmid, message));
        }
        loop {
            let found = self.addresses_of(vmid, &config)?;
            if !found.list.is_empty() {
                return Ok(found);
            }
            let left = limit.saturating_sub(began.elapsed());
            if left.is_zero() {
                let message =
                    format!("container {vmid} runs, but has no address after {} s", limit.as_secs());
                return Err(failed(ErrorKind::PctTimeout, vmid, message));
            }
            if self.node.cancel.is_cancelled() {
                let message = format!("container {vmid} runs; waiting for its address was interrupted");
                return Err(failed(ErrorKind::PctOperationFailed, vmid, message));
            }
            tokio::time::sleep(INTERVAL.min(left)).await;
        }
    }
}

fn failed(kind: ErrorKind, vmid: Vmid, message: String) -> Error {
    Error::Failed { kind, message, vmid: Some(vmid), run: Box::new(Run::default()) }
}
