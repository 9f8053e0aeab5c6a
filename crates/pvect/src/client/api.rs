//! The HTTPS API as the way to the containers.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pvect_api::{ApiBackend, ApiConfig, Credentials, DEFAULT_PORT, Host, OneTimeCode, Trust};
use pvect_core::{Error, Result};
use pvect_pct::CancelHandle;
use secrecy::SecretString;

use super::Place;
use crate::names::Ids;
use crate::settings::{Api, Backend, Proxmox};

/// An API that the settings name.
#[derive(Debug)]
pub(super) struct Named<'a> {
    /// The key path, for errors.
    key: String,
    api: &'a Api,
}

/// Returns the API to use; `None` when the API is not to be used. `has_pct` says that there is a pct on this machine.
///
/// # Errors
/// [`Error::Settings`] when the API is asked for and the settings do not say where it is.
pub(super) fn asked(proxmox: &Proxmox, has_pct: bool) -> Result<Option<Named<'_>>> {
    let wrong = |what: String| Err(Error::Settings { what });
    if let Some(context) =
        proxmox.context.as_deref().filter(|_| matches!(proxmox.backend, Backend::Auto | Backend::Api))
    {
        return match proxmox.contexts.get(context) {
            Some(api) => Ok(Some(Named { key: format!("proxmox.contexts.{context}"), api })),
            None => {
                let known: Vec<&str> = proxmox.contexts.keys().map(String::as_str).collect();
                let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
                wrong(format!("proxmox.context: there is no context '{context}'; there are: {known}"))
            }
        };
    }
    let legacy = proxmox.legacy_api.as_ref().filter(|api| !api.hosts.is_empty());
    let standalone = proxmox.standalone || proxmox.root.is_some() || proxmox.pct_path.is_some();
    match (proxmox.backend, legacy) {
        (Backend::Api, None) => wrong(
            "proxmox.backend: 'api' needs hosts: proxmox.legacy_api.hosts, or --context NAME".to_owned(),
        ),
        (Backend::Auto, Some(_)) if has_pct || standalone => Ok(None),
        (Backend::Api | Backend::Auto, Some(api)) => {
            Ok(Some(Named { key: "proxmox.legacy_api".to_owned(), api }))
        }
        (Backend::Auto, None) | (Backend::Pct | Backend::Native, _) => Ok(None),
    }
}

/// Makes the backend. Nothing is sent yet.
///
/// # Errors
/// [`Error::Settings`] for hosts, credentials and certificates that cannot be used.
pub(super) fn connect(
    proxmox: &Proxmox,
    named: &Named<'_>,
    timeout: Option<Duration>,
    code: Option<OneTimeCode>,
    cancel: &CancelHandle,
) -> Result<(ApiBackend, Place)> {
    let Named { key, api } = named;
    let wrong = |name: &str, what: String| Error::Settings { what: format!("{key}.{name}: {what}") };
    if api.verify_ssl == Some(false) {
        let what = "certificates are always verified: pin the server's with fingerprint, or name the ca_file";
        return Err(wrong("verify_ssl", what.to_owned()));
    }
    let port = api.port.unwrap_or(DEFAULT_PORT);
    let hosts = api.hosts.iter().map(|text| Host::parse(text, port)).collect::<Result<Vec<_>, _>>();
    let mut config =
        ApiConfig::new(hosts.map_err(|what| wrong("hosts", what))?, credentials(key, api, code)?);
    config.trust = match (&api.fingerprint, &api.ca_file) {
        (Some(_), Some(_)) => return Err(wrong("fingerprint", "excludes ca_file".to_owned())),
        (Some(text), None) => Trust::Fingerprint(text.parse().map_err(|what| wrong("fingerprint", what))?),
        (None, Some(path)) => Trust::CaFile(path.clone()),
        (None, None) => Trust::System,
    };
    config.timeout = timeout.or_else(|| api.timeout.filter(|seconds| *seconds > 0).map(Duration::from_secs));
    config.interrupted = Some(cancel.subscribe());
    if let Some(seconds) = api.node_cache_duration {
        config.node_cache = Duration::from_secs(seconds);
    }
    let place = Place::Api {
        hosts: config.hosts.iter().map(ToString::to_string).collect(),
        user: config.credentials.name(),
        node: proxmox.node.clone(),
    };
    let backend = ApiBackend::new(pvect_api::Api::new(config)?, proxmox.node.clone());
    Ok((backend, place))
}

fn credentials(key: &str, api: &Api, code: Option<OneTimeCode>) -> Result<Credentials> {
    let wrong = |what: &str| Error::Settings { what: format!("{key}: {what}") };
    let tokens = [api.token.is_some(), api.token_file.is_some(), api.token_command.is_some()];
    let passwords = [api.password_file.is_some(), api.password_command.is_some()];
    let count = |list: &[bool]| list.iter().filter(|given| **given).count();
    match (count(&tokens), &api.user, count(&passwords)) {
        (1, None, 0) => {
            let token = match (&api.token, &api.token_file, &api.token_command) {
                (Some(token), ..) => token.clone(),
                (None, Some(file), _) => of_file(&format!("{key}.token_file"), file)?,
                (None, None, command) => of_command(&format!("{key}.token_command"), command.as_deref())?,
            };
            Ok(Credentials::Token(token))
        }
        (0, Some(user), 1) => {
            if !user.contains('@') {
                return Err(wrong("user: the realm is missing: USER@pam, USER@pve"));
            }
            let password = match &api.password_file {
                Some(file) => of_file(&format!("{key}.password_file"), file)?,
                None => of_command(&format!("{key}.password_command"), api.password_command.as_deref())?,
            };
            Ok(Credentials::Password { user: user.clone(), password, code })
        }
        (0, None, 0) => {
            Err(wrong("no credentials: set token_file, token_command or token, or user with password_file"))
        }
        (0, Some(_), 0) => Err(wrong("the password of user is missing: password_file or password_command")),
        (0, None, _) => Err(wrong("a password needs a user: set user")),
        _ => Err(wrong(
            "there is more than one of token, token_file, token_command, password_file, password_command",
        )),
    }
}

pub(super) fn of_file(key: &str, file: &Path) -> Result<SecretString> {
    let text = std::fs::read_to_string(file)
        .map_err(|source| Error::Io { what: format!("{key}: cannot read {}", file.display()), source })?;
    first_line(key, &text)
}

fn of_command(key: &str, argv: Option<&[String]>) -> Result<SecretString> {
    let wrong = |what: String| Error::Settings { what: format!("{key}: {what}") };
    let [program, words @ ..] = argv.unwrap_or_default() else {
        return Err(wrong("is empty".to_owned()));
    };
    let output = Command::new(program)
        .args(words)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|source| Error::Io { what: format!("{key}: cannot run '{program}'"), source })?;
    if !output.status.success() {
        return Err(wrong(format!("'{program}' failed: {}", output.status)));
    }
    first_line(key, &String::from_utf8_lossy(&output.stdout))
}

fn first_line(key: &str, text: &str) -> Result<SecretString> {
    match text.lines().next().map(str::trim).filter(|line| !line.is_empty()) {
        Some(line) => Ok(SecretString::from(line.to_owned())),
        None => Err(Error::Settings { what: format!("{key}: the first line is empty") }),
    }
}

/// What the cluster says about ids.
///
/// # Errors
/// As [`pvect_api::Api::send`].
pub(super) async fn ids(backend: &ApiBackend) -> Result<Ids> {
    let (containers, machines) = backend.taken().await?;
    let taken: BTreeSet<_> = containers.union(&machines).copied().collect();
    Ok(Ids { taken, machines, range: (100, 1_000_000) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxmox(text: &str) -> Proxmox {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_api_is_asked_for_in_three_ways() {
        let key = |text: &str, has_pct: bool| {
            let proxmox = proxmox(text);
            asked(&proxmox, has_pct)
                .map(|named| named.map(|named| named.key))
                .map_err(|error| error.to_string())
        };
        let legacy = Ok(Some("proxmox.legacy_api".to_owned()));
        let with = |rest: &str| format!(r#"{{"legacy_api": {{"hosts": ["a"]}}{rest}}}"#);
        assert_eq!(key("{}", false), Ok(None));
        assert_eq!(key(&with(""), true), Ok(None));
        assert_eq!(key(&with(""), false), legacy);
        assert_eq!(key(&with(r#", "standalone": true"#), false), Ok(None));
        assert_eq!(key(&with(r#", "backend": "api""#), true), legacy);
        assert_eq!(key(&with(r#", "backend": "pct""#), false), Ok(None));
        let contexts = r#"{"contexts": {"lab": {}}, "context": "lab"}"#;
        assert_eq!(key(contexts, true), Ok(Some("proxmox.contexts.lab".to_owned())));
        assert_eq!(
            key(r#"{"contexts": {"lab": {}}, "context": "x"}"#, true),
            Err("proxmox.context: there is no context 'x'; there are: lab".to_owned())
        );
        assert_eq!(
            key(r#"{"backend": "api"}"#, false),
            Err("proxmox.backend: 'api' needs hosts: proxmox.legacy_api.hosts, or --context NAME".to_owned())
        );
    }

    #[test]
    fn what_cannot_be_used_is_told() {
        let error = |text: &str| {
            let proxmox =
                proxmox(&format!(r#"{{"backend": "api", "legacy_api": {{"hosts": ["a"], {text}}}}}"#));
            let named = asked(&proxmox, false).unwrap().unwrap();
            connect(&proxmox, &named, None, None, &CancelHandle::new())
                .map(|(_, place)| format!("{place:?}"))
                .map_err(|error| error.to_string())
        };
        for (text, expected) in [
            (
                r#""port": 1"#,
                "proxmox.legacy_api: no credentials: set token_file, token_command or token, or user with password_file",
            ),
            (
                r#""token": "a@b!c=d", "token_file": "/x""#,
                "proxmox.legacy_api: there is more than one of token, token_file, token_command, password_file, password_command",
            ),
            (
                r#""user": "root@pam""#,
                "proxmox.legacy_api: the password of user is missing: password_file or password_command",
            ),
            (
                r#""user": "root", "password_file": "/x""#,
                "proxmox.legacy_api: user: the realm is missing: USER@pam, USER@pve",
            ),
            (r#""token_file": "/none""#, "proxmox.legacy_api.token_file: cannot read /none"),
            (
                r#""token_command": ["/bin/false"]"#,
                "proxmox.legacy_api.token_command: '/bin/false' failed: exit status: 1",
            ),
            (
                r#""token_command": ["/bin/true"]"#,
                "proxmox.legacy_api.token_command: the first line is empty",
            ),
            (
                r#""token": "a@b!c=d", "verify_ssl": false"#,
                "proxmox.legacy_api.verify_ssl: certificates are always verified: pin the server's with fingerprint, or name the ca_file",
            ),
            (
                r#""token": "a@b!c=d", "fingerprint": "AA""#,
                "proxmox.legacy_api.fingerprint: 'AA' is not a SHA-256 fingerprint: 64 hex digits, with or without colons",
            ),
            (
                r#""token": "a@b!c=d", "ca_file": "/none""#,
                "ca_file: /none: I/O error: No such file or directory (os error 2)",
            ),
        ] {
            assert_eq!(error(text), Err(expected.to_owned()), "{text}");
        }
        let place = error(&format!(
            r#""token_command": ["/bin/echo", "a@b!c=d"], "fingerprint": "{}""#,
            "ab".repeat(32)
        ));
        assert_eq!(place.unwrap(), r#"Api { hosts: ["a:8006"], user: "a@b!c", node: None }"#);
    }
}
