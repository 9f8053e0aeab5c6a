//! Trap ha-async: start, stop, shutdown and migrate of an HA resource return when the request is filed.

use std::time::{Duration, Instant};

use pvect_core::error::Run;
use pvect_core::{Call, CheckedCall, Error, ErrorKind, Events, Outcome, Result, RunState, Verb, Vmid};

use super::Manner;
use crate::Client;

/// How often the container is checked. The local resource manager works in rounds of about five seconds.
const INTERVAL: Duration = Duration::from_secs(1);
/// How long the HA manager may take if no time-out is set.
const LIMIT: Duration = Duration::from_secs(180);

/// Carries out the call; when pct only filed a request with the HA manager, waits until it has been met.
pub(super) async fn run(
    client: &Client,
    call: &CheckedCall,
    manner: &Manner,
    events: &mut dyn Events,
) -> Result<Outcome> {
    let outcome = client.plain(call, events).await?;
    match call.vmid() {
        Some(vmid) if manner.wait && is_request(&outcome.stdout) => {
            events.log("waiting for the HA manager");
            wait(client, call, vmid).await?;
            Ok(outcome)
        }
        _ => Ok(outcome),
    }
}

/// Waits until a container that was made and asked to start runs.
pub(super) async fn settle_start(
    client: &Client,
    vmid: Vmid,
    manner: &Manner,
    outcome: &Outcome,
) -> Result<()> {
    if manner.wait && is_request(&outcome.stdout) {
        wait(client, &Call::on(Verb::Start, vmid), vmid).await?;
    }
    Ok(())
}

/// Whether the output begins with what the workers `hastart`, `hastop` and `hamigrate` of pve-container write first.
fn is_request(stdout: &[u8]) -> bool {
    String::from_utf8_lossy(stdout).lines().any(|line| line.starts_with("Requesting HA "))
}

async fn wait(client: &Client, call: &Call, vmid: Vmid) -> Result<()> {
    let started = Instant::now();
    let own = call.get("timeout").and_then(|text| text.parse().ok()).map(Duration::from_secs);
    let limit = client.node.config.timeout.unwrap_or_else(|| own.unwrap_or_default() + LIMIT);
    loop {
        let status = match client.status(vmid).await {
            Ok(status) => status.status,
            Err(error) if error.kind() == ErrorKind::NotFound && call.verb() == Verb::Migrate => {
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let done = match call.verb() {
            Verb::Start => status == RunState::Running,
            Verb::Stop | Verb::Shutdown => status == RunState::Stopped,
            _ => false,
        };
        if done {
            return Ok(());
        }
        if client.node.cancel.is_cancelled() || started.elapsed() >= limit {
            let message = format!(
                "the HA manager took the request, and after {:.0} s the container is still {status}",
                started.elapsed().as_secs_f64()
            );
            let run = Box::new(Run { argv: client.command_line(call), ..Run::default() });
            return Err(Error::Failed { kind: ErrorKind::PctTimeout, message, vmid: Some(vmid), run });
        }
        tokio::time::sleep(INTERVAL.min(limit)).await;
    }
}
