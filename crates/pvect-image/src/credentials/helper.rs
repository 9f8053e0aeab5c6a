//! Credential helpers: `docker-credential-NAME`.
//!
//! Only what root owns and nobody else can change is run, with an environment of a few words. Source: the README of
//! docker-credential-helpers.

use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use crate::digest::shortened;
use crate::registry::Credentials;
use crate::{ImageError, ImageResult};

const OUTPUT_LIMIT: u64 = 64 << 10;
const PATIENCE: Duration = Duration::from_secs(30);
/// What stands for the name when the secret is a token.
const TOKEN_NAME: &str = "<token>";

#[derive(Deserialize)]
struct Answer {
    #[serde(rename = "Username")]
    username: String,
    #[serde(rename = "Secret")]
    secret: SecretString,
}

/// Asks a helper; one that has nothing ends with a failure, and `warn` gets that.
///
/// # Errors
/// When there is no such helper, it is not safe to run, or what it writes cannot be understood.
pub(super) fn ask(
    directories: &[PathBuf],
    environment: &[(String, String)],
    name: &str,
    key: &str,
    warn: &dyn Fn(&str),
) -> ImageResult<Option<Credentials>> {
    let program = find(directories, name)?;
    let failed = |error| ImageError::io("run", &program, error);
    let mut child = Command::new(&program)
        .arg("get")
        .env_clear()
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .envs(environment.iter().map(|(name, value)| (name, value)))
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that does not want to know ends with its own status.
        let _ = stdin.write_all(key.as_bytes());
    }
    let stdout = child.stdout.take();
    let reader = std::thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.map(|stdout| stdout.take(OUTPUT_LIMIT).read_to_end(&mut bytes)).transpose().map(|_| bytes)
    });
    let Some(status) = wait(&mut child).map_err(failed)? else {
        return Err(ImageError::TimedOut(format!("'{}' did not end in time", program.display())));
    };
    if !status.success() {
        warn(&format!("'{}' has no credentials for {key} ({status})", program.display()));
        return Ok(None);
    }
    let bytes = reader.join().map_err(|_| failed(std::io::Error::other("its output is lost")))?;
    let answer: Answer = serde_json::from_slice(&bytes.map_err(failed)?).map_err(|_| {
        ImageError::Settings(format!("what '{}' writes cannot be understood", program.display()))
    })?;
    if answer.secret.expose_secret().is_empty() {
        return Ok(None);
    }
    Ok(Some(if answer.username == TOKEN_NAME {
        Credentials::Identity(answer.secret)
    } else {
        Credentials::Password { username: answer.username, password: answer.secret }
    }))
}

fn find(directories: &[PathBuf], name: &str) -> ImageResult<PathBuf> {
    let plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    if name.is_empty() || !plain {
        let text = format!("'{}' is not the name of a credential helper", shortened(name));
        return Err(ImageError::Settings(text));
    }
    let file = format!("docker-credential-{name}");
    let found = directories.iter().map(|directory| directory.join(&file)).find(|path| path.exists());
    let path = found
        .ok_or_else(|| ImageError::Settings(format!("the credential helper '{file}' is not installed")))?;
    let real = path.canonicalize().map_err(|error| ImageError::io("find", &path, error))?;
    if let Some(open) = real.ancestors().find(|part| !is_roots(part)) {
        let text = format!(
            "the credential helper '{}' is not run: others than root can change '{}'",
            path.display(),
            open.display()
        );
        return Err(ImageError::Settings(text));
    }
    Ok(real)
}

/// Whether nobody but root can change it. In a directory with the sticky bit others cannot replace what is root's.
fn is_roots(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|meta| {
        let mode = meta.permissions().mode();
        let closed = mode & 0o022 == 0 || (meta.is_dir() && mode & 0o1000 != 0);
        meta.uid() == 0 && closed
    })
}

/// Waits for the end; `None` when it had to be killed.
fn wait(child: &mut Child) -> std::io::Result<Option<ExitStatus>> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
