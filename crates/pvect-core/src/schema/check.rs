//! Checks values against the schema.

pub use super::scalar::volume_keys;
use super::{ArgSpec, Format, Kind, MASK, OptionSpec, Reason, Violation, pairs, scalar};
use crate::shape;

/// Checks a value against a kind; returns it in canonical form (booleans as 1 or 0, everything else as it was).
///
/// Violations are named `name`; those inside a property string are named `name.key`, and follow one for `name` itself
/// (`invalid format - format error`), in pct's order. An empty boolean is true, as an option without a value is on
/// pct's command line.
///
/// # Errors
/// Every violation found.
pub fn value(name: &str, kind: Kind, text: &str) -> Result<String, Vec<Violation>> {
    if let Kind::Properties(schema) = kind {
        return pairs::parse(schema, name, text).map(|_| text.to_owned());
    }
    scalar::value(name, kind, text)
}

/// Checks the value of an option: type, bounds, length.
///
/// # Errors
/// Every violation found; none contains the value of a secret option.
pub fn option(spec: &OptionSpec, name: &str, text: &str) -> Result<String, Vec<Violation>> {
    checked(name, spec.kind, spec.length, text).map_err(|mut found| {
        if spec.secret {
            found.iter_mut().for_each(redact);
        }
        found
    })
}

/// Checks a positional argument.
///
/// # Errors
/// Every violation found; none contains the value of a secret argument.
pub fn argument(spec: &ArgSpec, text: &str) -> Result<String, Vec<Violation>> {
    checked(spec.name, spec.kind, (None, spec.max_length), text).map_err(|mut found| {
        for violation in &mut found {
            violation.positional = true;
            if spec.secret {
                redact(violation);
            }
        }
        found
    })
}

/// Checks a value as Proxmox VE does when it reads a configuration file: type and format, no bounds, patterns,
/// words or lengths. Returns it in the form that Proxmox VE keeps (booleans as 1 or 0, integers without leading
/// zeros).
///
/// # Errors
/// pct's words, perhaps of several lines, without the name of the option.
pub fn stored(key: &str, text: &str) -> Result<String, String> {
    let kind = match super::options::config_option(key) {
        Some((spec, _)) => spec.kind,
        None if key == "parent" => Kind::Text(Format::ConfigId),
        None if key == "snaptime" => Kind::Integer { min: None, max: None },
        None => return Err(format!("unknown setting '{key}'")),
    };
    if text.contains(['\n', '\r']) {
        return Err("property contains a line feed".to_owned());
    }
    match kind {
        Kind::Boolean => scalar::boolean(text)
            .map(|on| if on { "1" } else { "0" }.to_owned())
            .ok_or_else(|| type_words("boolean", text)),
        Kind::Integer { .. } if shape::is_digits(text) => {
            Ok(text.parse::<u64>().map_or_else(|_| text.to_owned(), |number| number.to_string()))
        }
        Kind::Integer { .. } => Err(type_words("integer", text)),
        Kind::Number { .. } if shape::is_decimal(text) => Ok(text.to_owned()),
        Kind::Number { .. } => Err(type_words("number", text)),
        Kind::Enum(_) | Kind::VolumeKey { .. } => Ok(text.to_owned()),
        Kind::Text(_) | Kind::List(_) | Kind::Properties(_) => match value("", kind, text) {
            Ok(canonical) => Ok(canonical),
            Err(found) => stored_words(&found).map_or_else(|| Ok(text.to_owned()), Err),
        },
    }
}

/// Checks a value of a configuration as Proxmox VE does before it shows one: by the whole schema, bounds, patterns,
/// words and lengths too; booleans have become 1 or 0 by then. Options that the schema does not have are skipped.
///
/// Source: the `returns` of the API's configuration, and `PVE::JSONSchema`.
///
/// # Errors
/// Every violation found.
pub fn shown(key: &str, text: &str) -> Result<(), Vec<Violation>> {
    match super::options::config_option(key) {
        Some((spec, _)) if spec.kind == Kind::Boolean && !matches!(text, "0" | "1") => {
            let reason = Reason::Type { expected: "boolean", value: text.to_owned() };
            Err(vec![Violation::option(key, reason)])
        }
        Some((spec, _)) => option(spec, key, text).map(drop),
        None => Ok(()),
    }
}

fn type_words(expected: &str, text: &str) -> String {
    format!("type check ('{expected}') failed - got '{text}'")
}

/// Joins violations into the message about one value; `None` if Proxmox VE does not check these when it reads the file.
fn stored_words(found: &[Violation]) -> Option<String> {
    let mut lines = Vec::new();
    for violation in found {
        match &violation.reason {
            Reason::Format { pct, .. } if violation.name.is_empty() => lines.push(pct.clone()),
            _ if violation.name.is_empty() => {}
            _ => lines.push(violation.pct_text().trim_start_matches('.').to_owned()),
        }
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn checked(
    name: &str,
    kind: Kind,
    length: (Option<usize>, Option<usize>),
    text: &str,
) -> Result<String, Vec<Violation>> {
    let canonical = value(name, kind, text)?;
    let characters = text.chars().count();
    let reason = match length {
        (_, Some(max)) if characters > max => Reason::TooLong { max },
        (Some(min), _) if characters < min => Reason::TooShort { min },
        _ => return Ok(canonical),
    };
    Err(vec![Violation::option(name, reason)])
}

/// Removes the value from a violation.
fn redact(violation: &mut Violation) {
    match &mut violation.reason {
        Reason::Type { value, .. }
        | Reason::TooSmall { value, .. }
        | Reason::TooLarge { value, .. }
        | Reason::NotInEnum { value, .. }
        | Reason::Pattern { value, .. } => MASK.clone_into(value),
        Reason::Format { pct, value, .. } => {
            if !value.is_empty() {
                *pct = pct.replace(value.as_str(), MASK);
            }
            MASK.clone_into(value);
        }
        _ => {}
    }
}
