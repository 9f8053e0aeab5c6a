//! How a request is refused: status, reason and body are pvedaemon's.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use hyper::ext::ReasonPhrase;
use pvect_core::schema::Violation;
use pvect_node::{Failure, FailureKind};
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
    /// Refused before any endpoint was reached: such an answer has no body.
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

    /// An unknown user (401), without a body.
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
        Self { errors: Violation::by_option(violations), ..Self::new(400, VERIFICATION) }
    }

    /// The refusal for a verb's failure.
    pub fn of_failure(failure: &Failure) -> Self {
        match &failure.kind {
            FailureKind::BadParameters { errors } => {
                Self { errors: errors.clone(), ..Self::new(400, VERIFICATION) }
            }
            FailureKind::BadRequest { message } => Self::new(400, message),
            FailureKind::Denied { message } => Self::new(403, message),
            _ => Self::failed(&failure.text),
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

/// Makes the answer of a successful request.
pub fn data(value: &Value) -> Response<Body> {
    response(200, "OK", json!({ "data": value }).to_string().into())
}

/// Makes the answer of a successful request with more than its data (`total`).
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
    // Characters that a status line cannot contain are left out of it; the body has the whole text.
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
    fn failures_become_answers_by_their_kind() {
        let wrong = vec![("net0".to_owned(), "invalid format - format error\nnet0.ip: bad".to_owned())];
        let text = "net0: invalid format - format error\nnet0.ip: bad\n\n\npct set <vmid>";
        for (failure, status, message, errors) in [
            (Failure::new("CT 101 already running"), 500, "CT 101 already running\n", &[][..]),
            (Failure::bad_request("not enough arguments"), 400, "not enough arguments\n", &[]),
            (Failure::denied("Permission check failed (/)"), 403, "Permission check failed (/)\n", &[]),
            (Failure::bad_parameters(wrong.clone(), text), 400, VERIFICATION, &wrong[..]),
            // The text must not decide, because it may come from a guest.
            (Failure::new("403 not mine"), 500, "403 not mine\n", &[]),
        ] {
            let refusal = Refusal::of_failure(&failure);
            assert_eq!(
                (refusal.status, refusal.message.as_str(), refusal.errors.as_slice()),
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
