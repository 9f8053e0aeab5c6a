//! For whom the node acts, and what they may do: users, tokens, roles, access lists, and the one judgement of a change.
//!
//! - [`Asker`]: root at the command line; in a worker of the API the user or token of its job
//! - [`UserConfig`], which is `etc/pve/user.cfg`
//! - [`judge`]: what an asker may change, by the effect of the change

mod asker;
mod config;
pub mod judge;
mod roles;

use std::fs::{DirBuilder, OpenOptions};
use std::io::ErrorKind;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::PathBuf;

use pvect_core::Vmid;
use rustix::fs::{FlockOperation, flock};

pub use asker::{Asker, Denied};
pub use config::{Token, User, UserConfig};

use crate::{Failure, Layout, Node, NodeResult, files};

/// The one user who may do everything, and who always exists.
pub const ROOT: &str = "root@pam";

/// The longest password, bytes. The time to hash one grows with the square of its length (SHA-512 crypt), and anyone
/// can send one.
pub const LONGEST_PASSWORD: usize = 128;

/// Why a change of users failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UserError {
    /// The name is not of the form `USER@REALM`, or `USER@REALM!ID`.
    #[error("'{0}' is not a name of the form {1}")]
    Name(String, &'static str),
    /// It is there already.
    #[error("{0} already exists")]
    Exists(String),
    /// It is not there.
    #[error("there is no {0}")]
    Missing(String),
    /// The password is too short.
    #[error("a password has at least 5 characters")]
    ShortPassword,
    /// The password is too long.
    #[error("a password has at most {LONGEST_PASSWORD} bytes")]
    LongPassword,
    /// A file could not be read or written.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system could not give random bytes, or the hash could not be made.
    #[error("{0}")]
    Secret(String),
}

/// `etc/pve/priv`, for secrets; made with mode 0700 if it is missing.
///
/// # Errors
/// When it cannot be made.
pub fn secret_dir(layout: &Layout) -> Result<PathBuf, UserError> {
    let path = layout.root().join("etc/pve/priv");
    match DirBuilder::new().recursive(true).mode(0o700).create(&path) {
        Err(source) if source.kind() != ErrorKind::AlreadyExists => Err(UserError::File { path, source }),
        _ => Ok(path),
    }
}

/// `etc/pve/user.cfg`.
fn config_file(layout: &Layout) -> PathBuf {
    layout.root().join("etc/pve/user.cfg")
}

impl UserConfig {
    /// Reads `user.cfg`; without the file, `root@pam` is the only user.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn load(layout: &Layout) -> Result<Self, UserError> {
        let path = config_file(layout);
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Self::parse(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Self::parse("")),
            Err(source) => Err(UserError::File { path, source }),
        }
    }
}

/// Changes `user.cfg` under its lock.
///
/// # Errors
/// What `make` returns; when a file cannot be read or written.
pub fn change<T>(
    layout: &Layout,
    make: impl FnOnce(&mut UserConfig) -> Result<T, UserError>,
) -> Result<T, UserError> {
    let path = config_file(layout);
    let failed = |source| UserError::File { path: path.clone(), source };
    let lock = secret_dir(layout)?.join(".lock");
    let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(lock);
    let lock = lock.map_err(failed)?;
    flock(&lock, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
    let mut config = UserConfig::load(layout)?;
    let done = make(&mut config)?;
    files::replace(&path, config.to_text().as_bytes(), 0o640).map_err(failed)?;
    Ok(done)
}

/// Removes all rights on a destroyed container: the next one with its number may belong to somebody else.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn end(node: &Node, vmid: Vmid) -> NodeResult<()> {
    let path = format!("/vms/{vmid}");
    let failed = |error: &UserError| Failure::new(format!("can't end the rights on {path} - {error}"));
    let names = |config: &UserConfig| config.clone().forget_path(&path);
    // Most containers have no entries: then nothing is written.
    if !names(&UserConfig::load(&node.layout).map_err(|error| failed(&error))?) {
        return Ok(());
    }
    change(&node.layout, |config| {
        config.forget_path(&path);
        Ok(())
    })
    .map_err(|error| failed(&error))
}
