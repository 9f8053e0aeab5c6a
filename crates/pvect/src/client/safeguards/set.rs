//! set. Traps env-one-var, net10-unplug, tags-normalised, desc-newline; what is pending is reported.

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
    outcome.warnings.extend(waiting(client, vmid, &call).await);
    Ok(outcome)
}

/// Options that a running container takes at once, or refuses.
const AT_ONCE: [&str; 16] = [
    "cores",
    "cpulimit",
    "cpuunits",
    "delete",
    "description",
    "digest",
    "hookscript",
    "hostname",
    "lock",
    "memory",
    "onboot",
    "protection",
    "revert",
    "startup",
    "swap",
    "tags",
];

/// Whether pct leaves a change of this option pending while the container runs, or may do so.
fn may_wait(name: &str, deleted: bool) -> bool {
    let interface = name.strip_prefix("net").is_some_and(|index| index.parse::<u16>().is_ok());
    match interface {
        true => deleted && stays_plugged(name),
        false => !AT_ONCE.contains(&name),
    }
}

/// pct can unplug net0 to net9 of a running container only: it looks for one digit.
fn stays_plugged(name: &str) -> bool {
    name.strip_prefix("net").is_some_and(|index| index.len() == 2)
}

/// Says which of the changes are not in force yet.
async fn waiting(client: &Client, vmid: Vmid, call: &Call) -> Vec<String> {
    let given = call.options().iter().map(|(name, _)| (name.as_str(), false));
    let deleted = split_list(call.get("delete").unwrap_or_default()).into_iter().map(|name| (name, true));
    let names: Vec<&str> = given
        .chain(deleted)
        .filter(|(name, deleted)| may_wait(name, *deleted))
        .map(|(name, _)| name)
        .collect();
    if names.is_empty() {
        return Vec::new();
    }
    let pending = match client.pending(vmid).await {
        Ok(pending) => pending,
        Err(error) => {
            return vec![format!("it is not known whether {} is in force - {error}", names.join(", "))];
        }
    };
    let waits =
        |name: &&str| pending.iter().any(|item| item.key == *name && (item.delete || item.pending.is_some()));
    let warn = |name: &str| match stays_plugged(name) {
        true => {
            format!("{name} stays plugged in until the next stop and start: pct unplugs net0 to net9 only")
        }
        false => format!("{name} is pending: it changes when the container is started or rebooted next"),
    };
    names.into_iter().filter(waits).map(warn).collect()
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
