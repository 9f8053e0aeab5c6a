//! Checks values that are not property strings.

use super::format::split_list;
use super::{Format, Kind, Reason, Violation};
use crate::shape;

/// Parses a boolean of Proxmox VE: 1/on/yes/true or 0/off/no/false, in any case.
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// Checks a value and returns it in canonical form, as [`super::check::value`] does.
///
/// # Errors
/// The violation, with the given name.
pub(super) fn value(name: &str, kind: Kind, text: &str) -> Result<String, Vec<Violation>> {
    scalar(kind, text).map_err(|reason| vec![Violation::option(name, reason)])
}

fn scalar(kind: Kind, text: &str) -> Result<String, Reason> {
    let unchanged = |_| text.to_owned();
    match kind {
        Kind::Boolean => switch(text),
        Kind::Integer { min, max } => {
            if !shape::is_integer(text) {
                return Err(Reason::Type { expected: "integer", value: text.to_owned() });
            }
            // pct accepts an integer of any length; beyond 2^53 only its rough size matters here.
            bounds(text, min.map(|min| min as f64), max.map(|max| max as f64)).map(unchanged)
        }
        Kind::Number { min, max } => {
            if !shape::is_number(text) {
                return Err(Reason::Type { expected: "number", value: text.to_owned() });
            }
            bounds(text, min, max).map(unchanged)
        }
        Kind::Enum(words) => {
            if words.contains(&text) {
                return Ok(text.to_owned());
            }
            let allowed = words.iter().map(|word| (*word).to_owned()).collect();
            Err(Reason::NotInEnum { allowed, value: text.to_owned() })
        }
        Kind::VolumeKey { unused } => {
            let allowed = volume_keys(unused);
            if allowed.iter().any(|key| key == text) {
                Ok(text.to_owned())
            } else {
                Err(Reason::NotInEnum { allowed, value: text.to_owned() })
            }
        }
        // The only format of pct whose type is not string.
        Kind::Text(Format::Vmid) if !shape::is_integer(text) => {
            Err(Reason::Type { expected: "integer", value: text.to_owned() })
        }
        Kind::Text(format) => formatted(format, text).map(unchanged),
        Kind::List(format) => {
            split_list(text).into_iter().try_for_each(|entry| formatted(format, entry)).map(unchanged)
        }
        // These are for the parser of pairs; a property does not contain another one.
        Kind::Properties(_) => Ok(text.to_owned()),
    }
}

fn switch(text: &str) -> Result<String, Reason> {
    match boolean(text) {
        Some(false) => Ok("0".to_owned()),
        Some(true) => Ok("1".to_owned()),
        None if text.is_empty() => Ok("1".to_owned()),
        None => Err(Reason::Type { expected: "boolean", value: text.to_owned() }),
    }
}

fn formatted(format: Format, text: &str) -> Result<(), Reason> {
    format.check(text)?;
    match format.max_length() {
        Some(max) if text.chars().count() > max => Err(Reason::TooLong { max }),
        _ => Ok(()),
    }
}

fn bounds(text: &str, min: Option<f64>, max: Option<f64>) -> Result<(), Reason> {
    let Ok(number) = text.parse::<f64>() else { return Ok(()) };
    let value = text.to_owned();
    match (min, max) {
        (_, Some(max)) if number > max => Err(Reason::TooLarge { max: max.to_string(), value }),
        (Some(min), _) if number < min => Err(Reason::TooSmall { min: min.to_string(), value }),
        _ => Ok(()),
    }
}

/// Returns `rootfs`, `mp0` to `mp255` and, if asked for, `unused0` to `unused255`, in pct's order.
pub fn volume_keys(unused: bool) -> Vec<String> {
    let mut keys = vec!["rootfs".to_owned()];
    keys.extend((0..=255).map(|index| format!("mp{index}")));
    if unused {
        keys.extend((0..=255).map(|index| format!("unused{index}")));
    }
    keys
}
