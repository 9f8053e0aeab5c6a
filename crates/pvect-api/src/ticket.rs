//! Tickets: what a user gets for a password, for two hours.

use std::time::{Duration, Instant};

use pvect_core::error::Run;
use pvect_core::{Error, ErrorKind, Result};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::Value;

use crate::config::OneTimeCode;
use crate::request::{LOGIN, Method, Request};

/// A ticket with its token against cross-site request forgery.
#[derive(Debug, Clone)]
pub(crate) struct Ticket {
    pub(crate) cookie: SecretString,
    pub(crate) csrf: SecretString,
    got: Instant,
}

impl Ticket {
    /// Returns whether it should be renewed while it is still valid.
    pub(crate) fn is_old(&self, renew_after: Duration) -> bool {
        self.got.elapsed() > renew_after
    }
}

#[derive(Deserialize)]
struct Data {
    ticket: Option<String>,
    #[serde(rename = "CSRFPreventionToken")]
    csrf: Option<String>,
    #[serde(rename = "NeedTFA", default)]
    need_tfa: Value,
}

/// The request for a ticket. To renew one, the old ticket is sent as the password.
pub(crate) fn ask(user: &str, password: &SecretString) -> Request {
    Request::new(Method::Post, LOGIN).param("username", user).secret("password", password.clone())
}

/// What the server answered.
pub(crate) enum Answer {
    /// The ticket.
    Ticket(Ticket),
    /// A second factor is wanted; the challenge goes back with it.
    Challenge(SecretString),
}

/// Reads the answer.
///
/// # Errors
/// `PctInvalidOutput` when it is not a ticket.
pub(crate) fn read(data: &Value) -> Result<Answer> {
    let invalid = || Error::InvalidOutput {
        what: "it has no ticket".to_owned(),
        run: Box::new(Run { argv: vec!["POST".to_owned(), LOGIN.to_owned()], ..Run::default() }),
    };
    let data = Data::deserialize(data).map_err(|_| invalid())?;
    let ticket = SecretString::from(data.ticket.ok_or_else(invalid)?);
    let wants_more = matches!(&data.need_tfa, Value::Bool(true))
        || data.need_tfa.as_i64() == Some(1)
        || data.need_tfa.as_str() == Some("1");
    if wants_more {
        return Ok(Answer::Challenge(ticket));
    }
    let csrf = SecretString::from(data.csrf.ok_or_else(invalid)?);
    Ok(Answer::Ticket(Ticket { cookie: ticket, csrf, got: Instant::now() }))
}

/// The request that answers a challenge with a one-time code.
///
/// # Errors
/// `ApiUnauthenticated` when nobody can be asked for a code.
pub(crate) fn second(user: &str, challenge: SecretString, code: Option<&OneTimeCode>) -> Result<Request> {
    let Some(code) = code else {
        return Err(Error::Failed {
            kind: ErrorKind::ApiUnauthenticated,
            message: format!(
                "{user} needs a one-time code, and nobody can be asked for it here; use a token"
            ),
            vmid: None,
            run: Box::default(),
        });
    };
    let code = code.ask(user)?;
    let answer = match code.expose_secret().trim() {
        // Another kind of second factor, named by the caller: `recovery:...`, `yubico:...`.
        text if text.contains(':') => text.to_owned(),
        text => format!("totp:{text}"),
    };
    Ok(Request::new(Method::Post, LOGIN)
        .param("username", user)
        .secret("tfa-challenge", challenge)
        .secret("password", answer.into()))
}
