//! The directory of the sockets, which is for this user alone.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::Path;

use pvect_core::{Error, Result};

/// Makes the directory and checks that nobody else can reach what is in it.
pub(super) fn private_dir(dir: &Path) -> Result<()> {
    let failed = |source: io::Error| Error::Io { what: format!("cannot make '{}'", dir.display()), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let us = rustix::process::geteuid().as_raw();
    let data = fs::symlink_metadata(dir).map_err(failed)?;
    if !data.is_dir() || data.uid() != us || data.mode() & 0o077 != 0 {
        let what = format!("'{}' must be a directory of this user alone (mode 0700)", dir.display());
        return Err(Error::PermissionDenied { what });
    }
    // A user who may rename entries in a directory above could put another directory in this one's place.
    let real = fs::canonicalize(dir).map_err(failed)?;
    for above in dir.ancestors().chain(real.ancestors()).skip(1).filter(|path| path.is_absolute()) {
        let data = fs::symlink_metadata(above).map_err(failed)?;
        let is_shared = !data.is_symlink() && data.mode() & 0o1002 == 0o0002;
        if ![us, 0].contains(&data.uid()) || is_shared {
            let why = match is_shared {
                true => {
                    format!("anyone can write to '{}' (mode {:04o})", above.display(), data.mode() & 0o7777)
                }
                false => {
                    format!("'{}' belongs to uid {}, which could replace it", above.display(), data.uid())
                }
            };
            let what = format!("'{}' is not safe for connections: {why}", dir.display());
            return Err(Error::PermissionDenied { what });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_directory_of_others_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b");
        private_dir(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o750)).unwrap();
        assert_eq!(
            private_dir(&path).unwrap_err().to_string(),
            format!("'{}' must be a directory of this user alone (mode 0700)", path.display())
        );
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(private_dir(&link).is_err());
    }
}
