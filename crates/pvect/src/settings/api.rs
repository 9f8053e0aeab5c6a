//! How the HTTPS API is reached, and which backend is used.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

/// What reads and what operates.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Backend {
    /// Operations by the pct of the node where there is one; else by the API where `legacy_api` has hosts; else by the
    /// standalone node. Reads from the node's own files where they are here and can be read.
    #[default]
    Auto,
    /// pct, for reads too.
    Pct,
    /// The node's own files and sockets: reads only.
    Native,
    /// The HTTPS API.
    Api,
}

impl Backend {
    /// The word in the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Pct => "pct",
            Self::Native => "native",
            Self::Api => "api",
        }
    }
}

/// The node's own API daemon, for changes on the node itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FastPath {
    /// A file that holds the token, `user@realm!id=secret`, and that nobody else can read.
    pub token_file: Option<PathBuf>,
    /// The port of the daemon on 127.0.0.1; 8006 when unset.
    pub port: Option<u16>,
}

/// Clusters by name, for `--context`.
pub type Contexts = BTreeMap<String, Api>;

/// How the HTTPS API is reached.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Api {
    /// Host names or addresses, tried in order; `NAME`, `NAME:PORT` or `[IPV6]:PORT`.
    pub hosts: Vec<String>,
    /// The port of hosts without one; 8006 when unset.
    pub port: Option<u16>,
    /// `user@realm!id=secret`. Better: `token_file` or `token_command`.
    #[schemars(with = "Option<String>")]
    pub token: Option<SecretString>,
    /// A file that holds the token.
    pub token_file: Option<PathBuf>,
    /// A command (argv, no shell) that prints the token.
    pub token_command: Option<Vec<String>>,
    /// `user@realm`, to log in with a password instead of a token.
    pub user: Option<String>,
    /// A file that holds the user's password.
    pub password_file: Option<PathBuf>,
    /// A command (argv, no shell) that prints the user's password.
    pub password_command: Option<Vec<String>>,
    /// The SHA-256 fingerprint of the server's certificate, which is then the only one that is trusted.
    pub fingerprint: Option<String>,
    /// A PEM file of the authorities that are trusted, instead of the system's.
    pub ca_file: Option<PathBuf>,
    /// Seconds that it is remembered which container is on which node; 60 when unset.
    pub node_cache_duration: Option<u64>,
    /// Certificates are always verified: `false` is refused when the API is used.
    pub verify_ssl: Option<bool>,
    /// Seconds that a request may take.
    pub timeout: Option<u64>,
}

impl PartialEq for Api {
    fn eq(&self, other: &Self) -> bool {
        let token = |api: &Self| api.token.as_ref().map(|token| token.expose_secret().to_owned());
        let rest = |api: &Self| Self { token: None, ..api.clone() }.parts();
        token(self) == token(other) && rest(self) == rest(other)
    }
}

impl Api {
    /// Everything but the token, to compare.
    fn parts(self) -> impl PartialEq {
        (
            (self.hosts, self.port, self.token_file, self.token_command, self.user, self.password_file),
            (
                self.password_command,
                self.fingerprint,
                self.ca_file,
                self.node_cache_duration,
                self.verify_ssl,
            ),
            self.timeout,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_not_in_debug() {
        let api: Api = serde_json::from_str(r#"{"token": "root@pam!x=hunter22"}"#).unwrap();
        assert!(!format!("{api:?}").contains("hunter22"));
    }

    #[test]
    fn everything_counts_when_compared() {
        let api = |text: &str| serde_json::from_str::<Api>(text).unwrap();
        assert_eq!(api(r#"{"token": "a", "port": 1}"#), api(r#"{"port": 1, "token": "a"}"#));
        for other in [
            r#"{"token": "b", "port": 1}"#,
            r#"{"token": "a"}"#,
            r#"{"token": "a", "port": 1, "timeout": 3}"#,
        ] {
            assert_ne!(api(r#"{"token": "a", "port": 1}"#), api(other), "{other}");
        }
    }
}
