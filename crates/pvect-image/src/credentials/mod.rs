//! Credentials that are kept in files: docker's `config.json` and containers' `auth.json`.
//!
//! Source: docker's reference of `docker login`, containers-auth.json(5).

mod helper;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::SecretString;
use serde::Deserialize;

use crate::reference::DOCKER_HUB;
use crate::registry::Credentials;
use crate::{ImageError, ImageResult, Reference};

/// Where docker keeps the credentials for Docker Hub.
const HUB_KEY: &str = "https://index.docker.io/v1/";
const FILE_LIMIT: u64 = 4 << 20;

/// The files and programs that may have credentials.
#[derive(Debug, Clone)]
pub struct CredentialFiles {
    files: Vec<PathBuf>,
    helper_directories: Vec<PathBuf>,
    environment: Vec<(String, String)>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
    #[serde(default)]
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize)]
struct Entry {
    auth: Option<SecretString>,
    identitytoken: Option<SecretString>,
}

impl CredentialFiles {
    /// Takes the files in the order in which they are looked into, and the environment for credential helpers (`HOME`
    /// and the like).
    pub fn new(files: Vec<PathBuf>, environment: Vec<(String, String)>) -> Self {
        let directories = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        Self { files, helper_directories: directories.map(PathBuf::from).to_vec(), environment }
    }

    /// Looks for helpers in other directories.
    #[must_use]
    pub fn helpers_in(self, directories: Vec<PathBuf>) -> Self {
        Self { helper_directories: directories, ..self }
    }

    /// Finds the credentials for a place. `warn` gets what the user should know.
    ///
    /// # Errors
    /// When a file cannot be read or understood, or a helper is missing or is not safe to run.
    pub fn find(&self, place: &Reference, warn: &dyn Fn(&str)) -> ImageResult<Option<Credentials>> {
        for path in &self.files {
            let Some(raw) = read(path, warn)? else { continue };
            let helper =
                host_keys(place).into_iter().find_map(|key| Some((raw.cred_helpers.get(&key)?, key)));
            if let Some((name, key)) = helper {
                return self.ask(name, &key, warn);
            }
            let entries = keys(place).into_iter().filter_map(|key| raw.auths.get(&key));
            for entry in entries {
                if let Some(found) = entry.credentials(path)? {
                    return Ok(Some(found));
                }
            }
            if let Some(name) = &raw.creds_store {
                let key = if place.registry() == DOCKER_HUB { HUB_KEY } else { place.registry() };
                if let Some(found) = self.ask(name, key, warn)? {
                    return Ok(Some(found));
                }
            }
        }
        Ok(None)
    }

    fn ask(&self, name: &str, key: &str, warn: &dyn Fn(&str)) -> ImageResult<Option<Credentials>> {
        helper::ask(&self.helper_directories, &self.environment, name, key, warn)
    }
}

impl Entry {
    fn credentials(&self, path: &Path) -> ImageResult<Option<Credentials>> {
        use secrecy::ExposeSecret;
        if let Some(token) = self.identitytoken.as_ref().filter(|token| !token.expose_secret().is_empty()) {
            return Ok(Some(Credentials::Identity(token.clone())));
        }
        let Some(auth) = self.auth.as_ref().filter(|auth| !auth.expose_secret().is_empty()) else {
            return Ok(None);
        };
        let bytes = STANDARD.decode(auth.expose_secret().trim()).ok();
        let text = bytes.and_then(|bytes| String::from_utf8(bytes).ok());
        let pair = text.as_deref().and_then(|text| text.split_once(':'));
        let (username, password) = pair.ok_or_else(|| {
            ImageError::Settings(format!(
                "'{}' has an entry that is not NAME:PASSWORD in base64",
                path.display()
            ))
        })?;
        // Docker pads what it wrote with zeros.
        let password = password.trim_end_matches('\0').to_owned().into();
        Ok(Some(Credentials::Password { username: username.to_owned(), password }))
    }
}

/// The keys for a place, the most special first: `HOST/a/b`, `HOST/a`, `HOST`, and those that docker writes.
fn keys(place: &Reference) -> Vec<String> {
    let mut keys = Vec::new();
    let mut path = place.name();
    while path.len() > place.registry().len() {
        keys.push(path.clone());
        path.truncate(path.rfind('/').unwrap_or_default());
    }
    keys.extend(host_keys(place));
    keys
}

fn host_keys(place: &Reference) -> Vec<String> {
    let host = place.registry();
    let mut keys = vec![host.to_owned(), format!("https://{host}"), format!("https://{host}/v1/")];
    if host == DOCKER_HUB {
        keys.extend([HUB_KEY.to_owned(), "index.docker.io".to_owned()]);
    }
    keys
}

fn read(path: &Path, warn: &dyn Fn(&str)) -> ImageResult<Option<Raw>> {
    let failed = |error| ImageError::io("read", path, error);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(failed(error)),
    };
    let meta = file.metadata().map_err(failed)?;
    let ours = [0, rustix::process::geteuid().as_raw()].contains(&meta.uid());
    if !meta.is_file() || !ours || meta.permissions().mode() & 0o022 != 0 {
        let text =
            format!("'{}' is not a file that only its owner can change, and is not used", path.display());
        return Err(ImageError::Settings(text));
    }
    if meta.permissions().mode() & 0o044 != 0 {
        let path = path.display();
        warn(&format!("'{path}' may hold passwords and can be read by others; fix that with chmod 600"));
    }
    let mut text = Vec::new();
    file.take(FILE_LIMIT).read_to_end(&mut text).map_err(failed)?;
    if text.trim_ascii().is_empty() {
        return Ok(None);
    }
    // Where it breaks is said, not what is there: it may be a secret.
    serde_json::from_slice(&text).map(Some).map_err(|error| {
        let (path, line) = (path.display(), error.line());
        ImageError::Settings(format!("'{path}' cannot be understood, at line {line}"))
    })
}

#[cfg(test)]
mod tests;
