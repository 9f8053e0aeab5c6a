//! `pct config`: shows the configuration of a container.

use pvect_core::Call;
use pvect_core::call::rules;
use pvect_core::config::Section;
use pvect_core::schema::{Kind, options};
use serde_json::{Map, Value};

use crate::store::Stored;
use crate::usage::report::refused;
use crate::{Failure, Node, NodeResult, Output, store, verified};

/// Shows the configuration of a container. Returns the exit status.
///
/// Pending changes are merged in, unless `--current` asks for what is in force. If a stored value breaks the schema,
/// only that is shown.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let (section, _) = asked(node, call, output)?;
    output.text(section.to_output());
    Ok(0)
}

/// `pct config N --output-format json`, an extension: an object as the API's, numbers and booleans as numbers, raw
/// lines as an array `lxc` of pairs, with the `digest`.
///
/// # Errors
/// As [`run`].
pub fn run_json(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let (section, stored) = asked(node, call, output)?;
    let mut object = Map::new();
    for key in section.keys() {
        let text = section.get(key).unwrap_or_default();
        object.insert(key.to_owned(), typed(key, &text));
    }
    object.insert("digest".to_owned(), stored.digest.into());
    if !section.raw.is_empty() {
        let pairs = section.raw.iter().map(|(key, value)| Value::from(vec![key.as_str(), value.as_str()]));
        object.insert("lxc".to_owned(), pairs.collect());
    }
    output.line(super::json(&object)?);
    Ok(0)
}

/// The section that was asked for.
fn asked(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<(Section, Stored)> {
    let vmid = super::vmid(call)?;
    let violations = rules::before_load(call);
    if !violations.is_empty() {
        return Err(refused(call.verb(), &violations));
    }
    let stored = store::load_telling(node, vmid, output)?;
    let section = match call.get("snapshot") {
        Some(name) => (stored.config.snapshots.get(name).cloned())
            .ok_or_else(|| Failure::new(format!("snapshot '{name}' does not exist")))?,
        None if call.get("current") == Some("1") => stored.config.main.clone(),
        None => stored.config.merged(),
    };
    verified::config(&section)?;
    Ok((section, stored))
}

/// A value as the API types it; text where it does not fit.
pub fn typed(key: &str, text: &str) -> Value {
    let kind = options::config_option(key).map(|(option, _)| option.kind);
    let number = match kind {
        Some(Kind::Boolean | Kind::Integer { .. }) => text.parse::<u64>().ok().map(Value::from),
        Some(Kind::Number { .. }) => text.parse::<f64>().ok().map(Value::from),
        None if key == "snaptime" => text.parse::<u64>().ok().map(Value::from),
        _ => None,
    };
    number.unwrap_or_else(|| text.into())
}
