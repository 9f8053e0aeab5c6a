//! Directories with the modes that they must have, and files that are replaced whole.

use std::fs::{self, File};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use crate::{Failure, NodeResult};

/// Makes a directory and its parents; each one that is new gets the mode. Below a node's root, [`crate::store::ensure_root`]
/// comes first: users of unprivileged containers pass through the root itself.
pub(crate) fn make_directories(path: &Path, mode: u32) -> NodeResult<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_directories(parent, mode)?;
    }
    match fs::create_dir(path) {
        Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(mode)),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
    .map_err(|error| Failure::io("can't create", path, &error))
}

/// Removes other users' access to a directory or file.
///
/// # Errors
/// When the mode cannot be read or changed.
pub(crate) fn close_to_others(path: &Path) -> NodeResult<()> {
    let failed = |error| Failure::io("can't close to others", path, &error);
    let mode = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o007 == 0 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(mode & !0o007)).map_err(failed)
}

/// Replaces a file: temporary file beside it, fsync, rename, fsync of the directory.
///
/// # Errors
/// What the system said; the old file is then untouched and no temporary one is left.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    temporary(path, bytes, mode)?.persist(path).map_err(|error| error.error)?;
    sync_parent(path)
}

/// Like [`replace`], but does not wait for the disk: for files that have no meaning after the machine crashed.
///
/// # Errors
/// As [`replace`].
pub(crate) fn replace_unsynced(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    written(path, bytes, mode)?.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Makes a file that must not exist yet, whole or not at all.
///
/// # Errors
/// `AlreadyExists`, or what the system said.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    temporary(path, bytes, mode)?.persist_noclobber(path).map_err(|error| error.error)?;
    sync_parent(path)
}

fn temporary(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<tempfile::NamedTempFile> {
    let file = written(path, bytes, mode)?;
    file.as_file().sync_all()?;
    Ok(file)
}

fn written(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<tempfile::NamedTempFile> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(parent)?;
    file.write_all(bytes)?;
    file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    Ok(file)
}

/// Syncs the directory of a file.
///
/// # Errors
/// What the system said.
pub(crate) fn sync_parent(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
