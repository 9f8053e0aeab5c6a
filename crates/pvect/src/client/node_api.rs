//! Changes on the node itself through its own API daemon, which runs already: no pct has to be started for them.
//!
//! Off unless the settings name a token. Why a token, and not a ticket that root could sign with the cluster's private
//! key: see docs/api.md.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use pvect_api::{ApiBackend, ApiConfig, Credentials, DEFAULT_PORT, Fingerprint, Host, Trust, root_only};
use pvect_core::{Call, CheckedCall, Error, ErrorKind, Events, NodeName, Operate, Outcome, Result};
use pvect_pct::CancelHandle;

use super::api::of_file;
use crate::settings::FastPath;

/// The certificates of a node's API daemon, the first that is there. Source: pveproxy(8).
const CERTIFICATES: [&str; 2] = ["pveproxy-ssl.pem", "pve-ssl.pem"];

/// Makes the backend. Nothing is sent yet.
///
/// # Errors
/// [`Error::Settings`] when the token's file can be read by others; [`Error::Io`] when it, or the certificate, cannot be
/// read.
pub(super) fn connect(
    settings: &FastPath,
    pve: &Path,
    node: &NodeName,
    timeout: Option<Duration>,
    cancel: &CancelHandle,
) -> Result<ApiBackend> {
    const KEY: &str = "proxmox.fast_path.token_file";
    let Some(file) = &settings.token_file else {
        return Err(Error::Settings { what: format!("{KEY}: is missing") });
    };
    check_private(KEY, file)?;
    let token = of_file(KEY, file)?;
    let port = settings.port.unwrap_or(DEFAULT_PORT);
    let mut config =
        ApiConfig::new(vec![Host { name: "127.0.0.1".to_owned(), port }], Credentials::Token(token));
    config.trust = Trust::Fingerprint(certificate(&pve.join("nodes").join(node.as_str()))?);
    config.timeout = timeout;
    config.interrupted = Some(cancel.subscribe());
    Ok(ApiBackend::new(pvect_api::Api::new(config)?, Some(node.clone())))
}

/// A token of root is as good as root's password: nobody else may read the file, or have written it.
fn check_private(key: &str, file: &Path) -> Result<()> {
    let read = |source| Error::Io { what: format!("{key}: cannot read {}", file.display()), source };
    let meta = std::fs::metadata(file).map_err(read)?;
    let own = rustix::process::geteuid().as_raw();
    if meta.uid() == own && meta.mode() & 0o077 == 0 {
        return Ok(());
    }
    let file = file.display();
    Err(Error::Settings { what: format!("{key}: '{file}' must belong to you alone: chmod 600 {file}") })
}

fn certificate(directory: &Path) -> Result<Fingerprint> {
    let paths: Vec<PathBuf> = CERTIFICATES.iter().map(|name| directory.join(name)).collect();
    let path = paths.iter().find(|path| path.exists()).unwrap_or(&paths[1]);
    let bytes = std::fs::read(path)
        .map_err(|source| Error::Io { what: format!("cannot read {}", path.display()), source })?;
    Fingerprint::of_pem(&bytes)
        .ok_or_else(|| Error::Settings { what: format!("there is no certificate in {}", path.display()) })
}

/// Whether a call may go this way: it is a change that the API has, and does nothing that tokens may not do.
pub(super) fn takes(api: &ApiBackend, call: &Call) -> bool {
    call.verb().spec().mutates
        && call.passthrough_words().is_empty()
        && root_only(call).is_empty()
        && api.shown(call).is_ok()
}

/// Carries out a call; `None` when nothing was done and pct can still do it.
pub(super) async fn operate(
    api: &ApiBackend,
    call: &CheckedCall,
    events: &mut dyn Events,
) -> Option<Result<Outcome>> {
    match api.operate(call, events).await {
        Err(error) if is_undone(&error) => {
            tracing::warn!(verb = call.verb().name(), "the node's API cannot do it, so pct does: {error}");
            None
        }
        done => {
            tracing::info!(verb = call.verb().name(), by = "the node's API", "done");
            Some(done)
        }
    }
}

/// Whether an error means that nothing was started.
fn is_undone(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ApiUnreachable
            | ErrorKind::ApiUntrusted
            | ErrorKind::ApiUnauthenticated
            | ErrorKind::PctPermissionDenied
            | ErrorKind::Unsupported
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_token_that_others_can_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("token");
        std::fs::write(&file, "root@pam!x=y\n").unwrap();
        for (mode, is_private) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            assert_eq!(check_private("key", &file).is_ok(), is_private, "{mode:o}");
        }
        let error = check_private("key", &file).unwrap_err().to_string();
        assert!(error.contains("must belong to you alone: chmod 600"), "{error}");
    }

    #[test]
    fn only_what_was_never_begun_is_left_to_pct() {
        let error = |kind| Error::Failed { kind, message: String::new(), vmid: None, run: Box::default() };
        for (kind, left) in [
            (ErrorKind::ApiUnreachable, true),
            (ErrorKind::PctPermissionDenied, true),
            (ErrorKind::ConnectionLost, false),
            (ErrorKind::PctTimeout, false),
            (ErrorKind::PctOperationFailed, false),
            (ErrorKind::NotFound, false),
        ] {
            assert_eq!(is_undone(&error(kind)), left, "{kind:?}");
        }
    }
}
