//! Traps exit-zero and silent-copy: push and pull end with 0 when the copy failed, and look at no write error.

use std::path::Path;

use pvect_core::{Call, Events, Outcome, Result, Verb, Vmid};

use super::verify::{of_guest, of_local};
use super::{Manner, not_done};
use crate::Client;

/// Copies one file and compares both sides.
pub(super) async fn run(
    client: &Client,
    call: &Call,
    manner: &Manner,
    events: &mut dyn Events,
) -> Result<Outcome> {
    let mut outcome = client.plain(call, events).await?;
    let (Some(vmid), [_, from, to]) = (call.vmid().filter(|_| manner.verify), call.args()) else {
        return Ok(outcome);
    };
    let (local, guest) = if call.verb() == Verb::Push { (from, to) } else { (to, from) };
    let local = Path::new(local);
    if !local.metadata().is_ok_and(|meta| meta.is_file()) {
        let text = format!("the copy was not verified: '{}' is no regular file here", local.display());
        outcome.warnings.push(text);
        return Ok(outcome);
    }
    let Some(difference) = differ(client, vmid, local, guest).await? else { return Ok(outcome) };
    if call.verb() == Verb::Push {
        return Err(not_done(client, call, &outcome, difference));
    }
    // A file that grows in the container differs from its copy though nothing failed.
    outcome = client.plain(call, events).await?;
    match differ(client, vmid, local, guest).await? {
        None => Ok(outcome),
        Some(difference) => Err(not_done(client, call, &outcome, difference)),
    }
}

/// Says how both sides differ; `None` when they do not.
async fn differ(client: &Client, vmid: Vmid, local: &Path, guest: &str) -> Result<Option<String>> {
    let here = of_local(local).await?;
    let there = of_guest(client, vmid, guest).await?;
    let shown = local.display();
    Ok((!here.fits(&there)).then(|| {
        format!(
            "pct reports success, but the copy differs: '{shown}' has {here}, '{guest}' in {vmid} has {there}"
        )
    }))
}
