//! Trap exit-zero: template ends with 0 although its task failed.

use pvect_core::backend::ConfigView;
use pvect_core::{CheckedCall, Events, Inspect, Outcome, Result};

use super::{Manner, not_done};
use crate::Client;

/// Makes the template and checks that the configuration says that it is one.
pub(super) async fn run(
    client: &Client,
    call: &CheckedCall,
    manner: &Manner,
    events: &mut dyn Events,
) -> Result<Outcome> {
    let outcome = client.plain(call, events).await?;
    let Some(vmid) = call.vmid().filter(|_| manner.verify) else { return Ok(outcome) };
    let config = client.config(vmid, &ConfigView::Current).await?;
    if config.is_set("template") {
        return Ok(outcome);
    }
    let message =
        format!("pct reports success, but {vmid} is not a template: its configuration does not say so");
    Err(not_done(client, call, &outcome, message))
}
