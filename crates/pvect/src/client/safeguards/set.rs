//! set. Traps env-one-var, net10-unplug, tags-normalised, desc-newline.

use pvect_core::backend::ConfigView;
use pvect_core::equivalence::is_at;
use pvect_core::schema::split_list;
use pvect_core::{Call, CheckedCall, Events, Inspect, Outcome, Result, Vmid};

use super::Manner;
use super::environment::{Several, first_only};
use crate::Client;

/// Changes options; with [`Manner::if_changed`] only those that differ.
pub(super) async fn run(
    client: &Client,
    call: &CheckedCall,
    manner: &Manner,
    events: &mut dyn Events,
) -> Result<Outcome> {
    let Some(vmid) = call.vmid() else { return client.plain(call, events).await };
    let mut call = call.clone();
    if manner.if_changed {
        let differing = client.differing(&call, vmid).await?;
        if differing.options().iter().all(|(name, _)| name == "digest") {
            return Ok(Outcome::default());
        }
        call = call.adjusted(|_| differing)?;
    }
    let several = Several::of(client, &call, vmid)?;
    let one = if several.is_some() { call.adjusted(|call| first_only(&call))? } else { call.clone() };
    let mut outcome = client.plain(&one, events).await?;
    if let Some(several) = several {
        several.write(client, vmid).await?;
    }
    let unplugged = split_list(call.get("delete").unwrap_or_default());
    if unplugged.iter().any(|name| stays_plugged(name)) {
        outcome.warnings.extend(still_plugged(client, vmid, &unplugged).await?);
    }
    Ok(outcome)
}

/// pct can unplug net0 to net9 of a running container only: it looks for one digit.
fn stays_plugged(name: &str) -> bool {
    name.strip_prefix("net").is_some_and(|index| index.len() == 2)
}

/// Says which interfaces are still there.
async fn still_plugged(client: &Client, vmid: Vmid, names: &[&str]) -> Result<Vec<String>> {
    let pending = client.pending(vmid).await?;
    let waits = |name: &&str| pending.iter().any(|item| item.key == **name && item.delete);
    let warn = |name: &&str| {
        format!("{name} stays plugged in until the next stop and start: pct unplugs net0 to net9 only")
    };
    Ok(names.iter().filter(|name| stays_plugged(name)).filter(|name| waits(name)).map(warn).collect())
}

impl Client {
    /// Returns a `set` call without the options that the container has already.
    ///
    /// Values are compared by their meaning ([`pvect_core::equivalence::normalised_eq`]): tags in any order and case, a
    /// description with or without the line break that Proxmox VE adds, absent keys as what they stand for.
    ///
    /// # Errors
    /// When the configuration cannot be read.
    pub async fn differing(&self, call: &Call, vmid: Vmid) -> Result<Call> {
        let config = self.config(vmid, &ConfigView::Pending).await?;
        let mut call = call.clone();
        for (name, _) in call.options().to_vec() {
            let Some(value) = call.get(&name).map(str::to_owned) else { continue };
            match name.as_str() {
                "digest" | "revert" => {}
                "delete" => {
                    let there: Vec<&str> =
                        split_list(&value).into_iter().filter(|key| config.main.get(key).is_some()).collect();
                    call = match there.is_empty() {
                        true => call.without("delete"),
                        false => call.option("delete", there.join(",")),
                    };
                }
                _ if is_at(&config, &name, &value) => call = call.without(&name),
                _ => {}
            }
        }
        Ok(call)
    }
}
