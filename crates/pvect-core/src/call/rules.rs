//! Rules between the options of one call, beyond the type of each.
//!
//! pct checks them at three moments, so they come in three functions: with the types ([`together`]), before it
//! reads the container's configuration ([`before_load`]), and after it has read it and looked at its lock
//! ([`after_load`]). A client checks all of them before it starts pct; the standalone node checks each at its time.
//! Source: pve-container's `API2/LXC.pm` and `API2/LXC/Config.pm`.

use super::Call;
use crate::schema::{Reason, Verb, Violation, options, split_list};

/// Options that must be there, alone or because of another one: part of the parameter verification.
pub fn together(call: &Call) -> Vec<Violation> {
    let spec = call.verb().spec();
    let mut found: Vec<Violation> = spec
        .options
        .iter()
        .filter(|option| option.required && !call.has(option.name))
        .map(|option| Violation::option(option.name, Reason::Missing))
        .collect();
    if call.verb() == Verb::Create && call.has("unique") && !call.has("restore") {
        let text = "--unique needs --restore".to_owned();
        let pct = "missing property required by 'unique'".to_owned();
        found.push(Violation::option("restore", Reason::Other { pct, text }));
    }
    found
}

/// What pct refuses before it reads the configuration.
pub fn before_load(call: &Call) -> Vec<Violation> {
    match call.verb() {
        Verb::Config if call.get("current") == Some("1") && call.has("snapshot") => {
            both("snapshot", "current", "cannot use 'snapshot' parameter with 'current'")
        }
        Verb::MoveVolume => move_target(call),
        Verb::Set
            if call.passthrough_words().is_empty()
                && call.options().iter().all(|(name, _)| name == "digest") =>
        {
            let pct = "no options specified".to_owned();
            let text = "nothing to change: name at least one option".to_owned();
            vec![Violation::positional("options", Reason::Alone { pct, text })]
        }
        _ => Vec::new(),
    }
}

/// What pct refuses after it has read the configuration: for `set`, options that are changed and deleted or
/// reverted in one call, unknown ones, and read-only ones. The first is enough for pct; all are returned.
pub fn after_load(call: &Call) -> Vec<Violation> {
    if call.verb() != Verb::Set {
        return Vec::new();
    }
    let delete = split_list(call.get("delete").unwrap_or_default());
    let revert = split_list(call.get("revert").unwrap_or_default());
    let mut found = Vec::new();
    for option in &revert {
        if !is_stored(option) {
            found.push(unknown("revert", option));
        }
        if call.has(option) {
            let pct = format!("you can't use '-{option}' and '-revert {option}' at the same time");
            found.push(conflict("revert", pct, format!("'{option}' is set and reverted in one call")));
        }
    }
    for option in &delete {
        if !is_stored(option) {
            found.push(unknown("delete", option));
        }
        if call.has(option) {
            // The missing quotation mark is pct's.
            let pct = format!("you can't use '-{option}' and -delete {option}' at the same time");
            found.push(conflict("delete", pct, format!("'{option}' is set and deleted in one call")));
        }
        if revert.contains(option) {
            let pct = format!("you can't use '-delete {option}' and '-revert {option}' at the same time");
            found.push(conflict("delete", pct, format!("'{option}' is deleted and reverted in one call")));
        }
    }
    if call.has("unprivileged") {
        let pct = "unable to modify read-only option: 'unprivileged'".to_owned();
        let text = "is fixed when the container is made".to_owned();
        found.push(Violation::option("unprivileged", Reason::Alone { pct, text }));
    }
    found
}

/// Whether an option can be in a configuration file.
fn is_stored(name: &str) -> bool {
    options::config_option(name).is_some() || matches!(name, "parent" | "snaptime")
}

fn move_target(call: &Call) -> Vec<Violation> {
    let given = |index: usize| call.args().get(index).is_some_and(|text| !text.is_empty());
    match (given(2), given(3)) {
        (true, true) => both("target-vmid", "storage", "either set 'storage' or 'target-vmid', but not both"),
        (false, false) => {
            both("target-vmid", "storage", "both 'storage' and 'target-vmid' missing, either needs to be set")
        }
        _ => Vec::new(),
    }
}

fn both(first: &'static str, second: &'static str, words: &'static str) -> Vec<Violation> {
    [first, second].map(|name| conflict(name, words.to_owned(), words.to_owned())).into()
}

fn conflict(name: &str, pct: String, text: String) -> Violation {
    Violation::option(name, Reason::Other { pct, text })
}

fn unknown(list: &str, option: &str) -> Violation {
    conflict(list, format!("unknown option '{option}'"), format!("there is no option '{option}'"))
}
