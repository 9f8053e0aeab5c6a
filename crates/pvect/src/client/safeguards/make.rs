//! create and restore. Traps env-one-var, unpriv-default, oci-overrides, oci-arch.

use pvect_core::backend::ConfigView;
use pvect_core::equivalence::is_at;
use pvect_core::{Call, CheckedCall, Events, Inspect, Outcome, Result, Verb, Vmid, property};

use super::environment::{Several, first_only};
use super::{Manner, ha};
use crate::Client;
use crate::client::Place;

/// An OCI image overrides the options of create.
const OVERRIDDEN: [&str; 3] = ["cmode", "entrypoint", "env"];

/// Returns the call for pct, with defaults that differ between pct's versions made explicit.
pub(crate) fn as_run(call: &Call) -> Call {
    let call = first_only(call);
    // Before pve-container 6.0.6 the default was a privileged container.
    let explicit = call.verb() == Verb::Create && !restores(&call) && !call.has("unprivileged");
    if explicit { call.flag("unprivileged", true) } else { call }
}

/// Makes the container. What has to be set again or added afterwards is done before its first start.
pub(super) async fn run(
    client: &Client,
    call: &CheckedCall,
    manner: &Manner,
    events: &mut dyn Events,
) -> Result<Outcome> {
    let Some(vmid) = call.vmid() else { return client.plain(call, events).await };
    let several = Several::of(client, call, vmid)?;
    let image = may_be_oci(call);
    let again: Vec<(String, String)> =
        if image { call_options(&first_only(call), &OVERRIDDEN) } else { Vec::new() };
    let later = is_yes(call, "start") && (several.is_some() || !again.is_empty());
    let call = call.adjusted(|call| as_run(&call))?;
    let first = if later { call.clone().without("start") } else { call.clone() };
    let mut outcome = client.plain(&first, events).await?;
    let is_ours = matches!(client.place(), Place::Standalone { .. } | Place::Far { root: Some(_), .. });
    if image && !is_ours && call.has("arch") {
        let text = "from an OCI image for several architectures pct takes the first, whatever --arch says";
        outcome.warnings.push(text.to_owned());
    }
    if !again.is_empty() {
        let set = set_again(client, vmid, again, events).await?;
        outcome.warnings.extend(set);
    }
    if let Some(several) = several {
        several.write(client, vmid).await?;
    }
    if later {
        let start = client.checked(Call::on(Verb::Start, vmid))?;
        let started = ha::run(client, &start, manner, events).await?;
        outcome.stdout.extend(started.stdout);
        outcome.warnings.extend(started.warnings);
    } else if is_yes(&call, "start") {
        ha::settle_start(client, vmid, manner, &outcome).await?;
    }
    Ok(outcome)
}

/// Sets the options that the image replaced, and says which.
async fn set_again(
    client: &Client,
    vmid: Vmid,
    wanted: Vec<(String, String)>,
    events: &mut dyn Events,
) -> Result<Option<String>> {
    let config = client.config(vmid, &ConfigView::Current).await?;
    let lost: Vec<_> = wanted.into_iter().filter(|(key, value)| !is_at(&config, key, value)).collect();
    if lost.is_empty() {
        return Ok(None);
    }
    let names: Vec<String> = lost.iter().map(|(key, _)| format!("--{key}")).collect();
    let set = lost.into_iter().fold(Call::on(Verb::Set, vmid), |call, (key, value)| call.option(key, value));
    client.plain(&client.checked(set)?, events).await?;
    Ok(Some(format!("the image had its own values; set again after it: {}", names.join(", "))))
}

fn call_options(call: &Call, names: &[&str]) -> Vec<(String, String)> {
    let given = names.iter().filter_map(|name| Some(((*name).to_owned(), call.get(name)?.to_owned())));
    given.collect()
}

fn restores(call: &Call) -> bool {
    call.verb() == Verb::Restore || is_yes(call, "restore")
}

fn is_yes(call: &Call, name: &str) -> bool {
    call.get(name).is_some_and(|text| text.is_empty() || property::boolean(text) == Some(true))
}

/// pct looks for an OCI image in templates of this name only, and never in a backup.
fn may_be_oci(call: &Call) -> bool {
    !restores(call) && call.args().get(1).is_some_and(|template| template.ends_with(".tar"))
}
