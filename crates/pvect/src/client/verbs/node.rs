//! What is not about one container.

use std::collections::BTreeMap;
use std::fmt;

use pvect_core::error::{Exit, Run};
use pvect_core::{Call, Error, Outcome, Result, Verb, Vmid};
use pvect_pct::parse::ParseError;
use secrecy::{ExposeSecret, SecretString};

use crate::Client;

/// Another cluster, for `remote-migrate`.
#[derive(Debug, Clone)]
pub struct RemoteEndpoint {
    /// Its address.
    pub host: String,
    /// The port of its API; 8006 when unset.
    pub port: Option<u16>,
    /// An API token: `user@realm!name=SECRET`.
    pub token: SecretString,
    /// SHA-256 fingerprint of its certificate.
    pub fingerprint: Option<String>,
}

impl RemoteEndpoint {
    /// The property string that pct takes, the secret in it.
    pub(super) fn to_secret_text(&self) -> String {
        let token = self.token.expose_secret();
        let token = token.strip_prefix("PVEAPIToken=").unwrap_or(token);
        let mut text = format!("apitoken=PVEAPIToken={token},host={}", self.host);
        if let Some(fingerprint) = &self.fingerprint {
            text += &format!(",fingerprint={fingerprint}");
        }
        if let Some(port) = self.port {
            text += &format!(",port={port}");
        }
        text
    }
}

/// Shows the address; the token is never shown.
impl fmt::Display for RemoteEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port.unwrap_or(8006))
    }
}

impl Client {
    /// Reads which CPUs the running containers may use.
    ///
    /// # Errors
    /// When pct cannot be run, or its table cannot be understood.
    pub async fn cpusets(&self) -> Result<BTreeMap<Vmid, Vec<u32>>> {
        let call = Call::new(Verb::Cpusets);
        let outcome = self.ask(&call).await?;
        self.understood(&call, &outcome, pvect_pct::parse::cpusets(&outcome.stdout))
    }

    /// Returns pct's own help for a verb, with all of its options.
    ///
    /// # Errors
    /// When pct cannot be run.
    pub async fn help(&self, verb: Verb) -> Result<String> {
        let call = Call::new(Verb::Help).arg(verb.name()).flag("verbose", true);
        let outcome = self.ask(&call).await?;
        Ok(String::from_utf8_lossy(&outcome.stdout).into_owned())
    }

    /// Keeps the run of an output that could not be understood.
    pub(super) fn understood<T>(
        &self,
        call: &Call,
        outcome: &Outcome,
        parsed: std::result::Result<T, ParseError>,
    ) -> Result<T> {
        parsed.map_err(|error| Error::InvalidOutput {
            what: error.to_string(),
            run: Box::new(Run {
                argv: self.command_line(call),
                exit: Some(Exit::Status(outcome.status)),
                stdout: String::from_utf8_lossy(&outcome.stdout).into_owned(),
                stderr: String::new(),
            }),
        })
    }
}
