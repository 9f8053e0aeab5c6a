//! What a request is refused with: status, reason and body as pvedaemon's.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use hyper::ext::ReasonPhrase;
use pvect_core::schema::{Reason, Violation};
use pvect_node::Failure;
use serde_json::{Map, Value, json};

/// The type of every answer. Source: `PVE::APIServer::Formatter::Standard`.
const JSON: &str = "application/json;charset=UTF-8";
const VERIFICATION: &str = "Parameter verification failed.\n";

/// A refused or failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: u16,
    /// The message; its first line is the reason phrase.
    pub message: String,
    /// What is wrong with which parameter.
    pub errors: Vec<(String, String)>,
    /// Refused before anything of the API was reached: such an answer has no body.
    bare: bool,
}

impl Refusal {
    /// Any status with a message.
    pub fn new(status: u16, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if !message.ends_with('\n') {
            message.push('\n');
        }
        Self { status, message, errors: Vec::new(), bare: false }
    }

    /// A failure of the work (500).
    pub fn failed(message: impl Into<String>) -> Self {
        Self::new(500, message)
    }

    /// Nobody who is known (401), without a body.
    pub fn unauthorized(message: impl Into<String>) -> Self {
        Self { bare: true, ..Self::new(401, message) }
    }

    /// `Permission check failed (<what>)` (403).
    pub fn forbidden(what: &str) -> Self {
        match what {
            "" => Self::new(403, "Permission check failed"),
            _ => Self::new(403, format!("Permission check failed ({what})")),
        }
    }

    /// `Method 'GET /x' not implemented` (501).
    pub fn not_implemented(method: &str, path: &str) -> Self {
        Self { message: format!("Method '{method} {path}' not implemented"), ..Self::new(501, "") }
    }

    /// A wrong parameter (400).
    pub fn parameter(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { errors: vec![(name.into(), text.into())], ..Self::new(400, VERIFICATION) }
    }

    /// Wrong parameters (400), by what the schema found.
    ///
    /// What is wrong inside a property string belongs to its option, line by line.
    pub fn parameters(violations: &[Violation]) -> Self {
        let mut errors: Vec<(String, String)> = Vec::new();
        for violation in violations {
            let (option, inner) = match violation.name.split_once('.') {
                Some((option, _)) => (option, errors.iter_mut().find(|(name, _)| name == option)),
                None => (violation.name.as_str(), None),
            };
            let end = if matches!(violation.reason, Reason::Format { .. }) { "\n" } else { "" };
            match inner {
                Some((_, text)) => *text += &format!("{}\n{end}", violation.pct_text()),
                None => errors.push((option.to_owned(), text_of(violation) + end)),
            }
        }
        Self { errors, ..Self::new(400, VERIFICATION) }
    }

    /// What a verb failed with: pct's text on stderr.
    pub fn of_failure(failure: &Failure) -> Self {
        Self::of_text(&failure.text)
    }

    /// As [`Refusal::of_failure`], by the text alone.
    pub fn of_text(text: &str) -> Self {
        if let Some(lines) = text.strip_prefix("400 Parameter verification failed.\n") {
            return Self { errors: errors_of(lines), ..Self::new(400, VERIFICATION) };
        }
        match text.split_once(' ') {
            Some((code, rest)) if code.len() == 3 => match code.parse::<u16>() {
                Ok(status @ 400..600) => Self::new(status, rest),
                _ => Self::failed(text),
            },
            _ => Self::failed(text),
        }
    }

    /// Makes the answer.
    pub fn answer(&self) -> Response<Body> {
        let reason = self.message.lines().next().unwrap_or_default();
        if self.bare {
            return response(self.status, reason, Body::empty());
        }
        let mut body = Map::new();
        body.insert("data".to_owned(), Value::Null);
        body.insert("message".to_owned(), self.message.clone().into());
        if !self.errors.is_empty() {
            let errors: Map<String, Value> =
                self.errors.iter().map(|(name, text)| (name.clone(), text.clone().into())).collect();
            body.insert("errors".to_owned(), errors.into());
        }
        response(self.status, reason, Value::Object(body).to_string().into())
    }
}

/// The lines below the heading of pct's parameter errors, without the usage line.
fn errors_of(lines: &str) -> Vec<(String, String)> {
    let mut errors: Vec<(String, String)> = Vec::new();
    for line in lines.lines() {
        let named = line.split_once(": ").filter(|(name, _)| {
            !name.is_empty()
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.'))
        });
        match (named, errors.last_mut()) {
            (Some((name, text)), last) => {
                let inner = last.filter(|(option, _)| name.starts_with(&format!("{option}.")));
                match inner {
                    Some((_, whole)) => *whole += &format!("\n{line}"),
                    None => errors.push((name.to_owned(), text.to_owned())),
                }
            }
            (None, Some((_, text))) if !line.is_empty() && !line.starts_with("pct ") => {
                *text += &format!("\n{line}");
            }
            _ => {}
        }
    }
    errors
}

/// The text of one violation without its name.
fn text_of(violation: &Violation) -> String {
    if let Reason::UnknownOption { .. } = violation.reason {
        return "property is not defined in schema and the schema does not allow additional properties"
            .to_owned();
    }
    let text = violation.pct_text();
    let bare = text.strip_prefix(&violation.name).and_then(|rest| rest.strip_prefix(": "));
    bare.map_or_else(|| text.clone(), str::to_owned)
}

/// Makes a good answer.
pub fn data(value: &Value) -> Response<Body> {
    response(200, "OK", json!({ "data": value }).to_string().into())
}

/// Makes a good answer with more than its data (`total`).
pub fn data_and(value: &Value, name: &str, more: Value) -> Response<Body> {
    let mut body = Map::new();
    body.insert("data".to_owned(), value.clone());
    body.insert(name.to_owned(), more);
    response(200, "OK", Value::Object(body).to_string().into())
}

fn response(status: u16, reason: &str, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(JSON));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
    headers.insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(header::SERVER, HeaderValue::from_static("pve-api-daemon/3.0"));
    // What cannot stand in a status line is left out of it; the body has it all.
    let phrase: Vec<u8> =
        reason.bytes().filter(|byte| matches!(byte, b'\t' | b' '..=b'~' | 0x80..)).collect();
    if let Ok(phrase) = ReasonPhrase::try_from(phrase) {
        response.extensions_mut().insert(phrase);
    }
    response
}

#[cfg(test)]
mod tests {
    use pvect_core::{Call, Verb};

    use super::*;

    #[test]
    fn texts_of_pct_become_answers() {
        for (text, status, message, errors) in [
            ("CT 101 already running", 500, "CT 101 already running\n", &[][..]),
            ("404 not here", 404, "not here\n", &[]),
            (
                "400 Parameter verification failed.\nstorage: storage 'x' does not support container directories\npct create <vmid>",
                400,
                VERIFICATION,
                &[("storage", "storage 'x' does not support container directories")],
            ),
            (
                "400 Parameter verification failed.\nnet0: invalid format - format error\nnet0.ip: bad\n\n\npct set <vmid>",
                400,
                VERIFICATION,
                &[("net0", "invalid format - format error\nnet0.ip: bad")],
            ),
        ] {
            let refusal = Refusal::of_text(text);
            let found: Vec<(&str, &str)> =
                refusal.errors.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
            assert_eq!(
                (refusal.status, refusal.message.as_str(), found.as_slice()),
                (status, message, errors)
            );
        }
    }

    #[test]
    fn violations_become_errors_of_their_parameters() {
        let vmid = "101".parse().unwrap();
        let found = Call::on(Verb::Set, vmid)
            .option("memory", "8")
            .option("bogus", "1")
            .option("net0", "bridge=vmbr0")
            .option("hostname", "a_b")
            .option("onboot", "maybe")
            .verified()
            .unwrap_err();
        let mut errors = Refusal::parameters(&found).errors;
        errors.sort();
        let expected = [
            (
                "bogus",
                "property is not defined in schema and the schema does not allow additional properties",
            ),
            ("hostname", "invalid format - value does not look like a valid DNS name\n"),
            ("memory", "value must have a minimum value of 16"),
            (
                "net0",
                "invalid format - format error\nnet0.name: property is missing and it is not optional\n",
            ),
            ("onboot", "type check ('boolean') failed - got 'maybe'"),
        ];
        let expected = expected.map(|(name, text)| (name.to_owned(), text.to_owned()));
        assert_eq!(errors, expected);
    }
}
