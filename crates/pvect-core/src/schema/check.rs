//! Checks values against the schema.

use super::{ArgSpec, Kind, OptionSpec, Violation};

/// Checks a value against a kind; returns it in canonical form (booleans as 1 or 0, everything else as it was).
///
/// `name` is what the violations are called; those inside a property string are called `name.key`, after one of
/// `name` itself (`invalid format - format error`), in pct's order.
///
/// # Errors
/// Every violation found.
pub fn value(_name: &str, _kind: Kind, _text: &str) -> Result<String, Vec<Violation>> {
    Err(Vec::new())
}

/// Checks the value of an option: type, bounds, length.
///
/// # Errors
/// Every violation found; the value of a secret option is in none of them.
pub fn option(_spec: &OptionSpec, _name: &str, _text: &str) -> Result<String, Vec<Violation>> {
    Err(Vec::new())
}

/// Checks a positional argument.
///
/// # Errors
/// Every violation found.
pub fn argument(_spec: &ArgSpec, _text: &str) -> Result<String, Vec<Violation>> {
    Err(Vec::new())
}
