//! Reads an answer: bounded, and understood whole or not at all.

use pvect_core::Result;
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

use crate::fault::About;

/// The longest answer that is read, in bytes. A list of ten thousand guests takes a third of it.
pub(crate) const LONGEST: usize = 8 * 1024 * 1024;

/// The longest message or end status of a task that is kept, in bytes.
pub(crate) const LONGEST_TEXT: usize = 16 * 1024;

/// An answer as it came.
#[derive(Debug)]
pub(crate) struct Raw {
    /// The status of HTTP.
    pub(crate) status: u16,
    /// The text after the status, if the server wrote its own.
    pub(crate) reason: String,
    /// The body.
    pub(crate) bytes: Vec<u8>,
}

/// The body of every answer.
#[derive(Debug, Default, Deserialize)]
struct Body {
    #[serde(default)]
    data: Value,
    message: Option<String>,
    #[serde(default)]
    errors: BTreeMap<String, Value>,
}

/// Reads the answer and returns its data.
///
/// # Errors
/// By the status and text; `PctInvalidOutput` for what is not JSON, has no `data`, or is too long.
pub(crate) fn read(about: &About<'_>, raw: &Raw) -> Result<Value> {
    let Raw { status, reason, bytes } = raw;
    if (200..300).contains(status) {
        let body: Body = serde_json::from_slice(bytes)
            .map_err(|error| about.invalid(format!("it is not JSON of the API: {error}"), bytes))?;
        return Ok(body.data);
    }
    // Error answers of the API are JSON, too; those of a proxy before it are not.
    let body: Body = serde_json::from_slice(bytes).unwrap_or_default();
    Err(about.refused(*status, &message(&body, reason)))
}

fn message(body: &Body, reason: &str) -> String {
    bounded(whole(body, reason), LONGEST_TEXT)
}

/// Cuts a text that is too long, and says so.
pub(crate) fn bounded(mut text: String, longest: usize) -> String {
    if text.len() > longest {
        let end = (0..=longest).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let left_out = text.len() - end;
        text.truncate(end);
        text.push_str(&format!(" [... {left_out} bytes left out]"));
    }
    text
}

fn whole(body: &Body, reason: &str) -> String {
    if !body.errors.is_empty() {
        let lines = body.errors.iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            format!("{name}: {}", text.trim())
        });
        return lines.collect::<Vec<_>>().join("; ");
    }
    body.message.clone().filter(|text| !text.trim().is_empty()).unwrap_or_else(|| reason.to_owned())
}
