//! Whether a storage is there, and what is made of it when it is used. Source: pve-storage, `activate_storage`.

use std::collections::BTreeSet;
use std::path::Path;

use super::cfg::{Storage, StorageKind};
use super::{btrfs, mounts};
use crate::{Failure, NodeResult, files};

/// The mode of a storage's directories: set-user-id files in a volume would work on the host, too.
const MODE: u32 = 0o700;

impl Storage {
    /// Checks that the storage is available, without making anything. Returns its path.
    ///
    /// # Errors
    /// `unable to activate storage '<name>' - directory is expected to be a mount point but is not mounted: '<path>'`,
    /// `unable to activate storage '<name>' - directory '<path>' does not exist or is unreachable`; those of
    /// [`Storage::path`].
    pub fn present(&self) -> NodeResult<&Path> {
        let (path, name) = (self.path()?, &self.name);
        let missing = match self.mount_point() {
            Some(place) if !mounts::table::is_mounted(&place)? => Some(place),
            _ => None,
        };
        if let Some(place) = missing {
            return Err(Failure::new(format!(
                "unable to activate storage '{name}' - directory is expected to be a mount point but is not mounted: \
                 '{}'",
                place.display()
            )));
        }
        if !self.makes_base() && !path.is_dir() {
            return Err(Failure::new(format!(
                "unable to activate storage '{name}' - directory '{}' does not exist or is unreachable",
                path.display()
            )));
        }
        Ok(path)
    }

    /// Makes the storage ready: makes its directory, and those of its contents, unless its keys forbid that.
    ///
    /// # Errors
    /// As [`Storage::present`]; when a directory cannot be made, or two contents have the same one.
    pub fn activate(&self) -> NodeResult<()> {
        let path = self.present()?;
        if self.makes_base() {
            files::make_directories(path, MODE)?;
        }
        if self.usable_kind()? == StorageKind::Btrfs {
            btrfs::check(path)?;
        }
        let directories = self.directories()?;
        let mut seen = BTreeSet::new();
        // The content `rootdir` is stored with the images; the real node makes an empty directory for it.
        for content in self.contents().filter(|content| *content != "rootdir") {
            let directory = directories.of(content);
            if self.makes_subdirectories() {
                files::make_directories(&directory, MODE)?;
            }
            let Ok(real) = directory.canonicalize() else { continue };
            if !seen.insert(real.clone()) {
                return Err(Failure::new(format!(
                    "storage '{}' uses directory {} for multiple content types",
                    self.name,
                    real.display()
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::cfg::Storages;
    use super::*;

    fn storage(path: &Path, keys: &str) -> Storage {
        let text = format!("dir: s\n\tpath {}\n\t{keys}\n", path.display());
        Storages::parse(&text, "vm".parse().unwrap()).find("s").unwrap().clone()
    }

    #[test]
    fn what_is_to_be_mounted_is_not_made() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        let text = |keys: &str| storage(&path, keys).activate().unwrap_err().text;
        let place = path.display();
        assert_eq!(
            text("is_mountpoint yes"),
            format!(
                "unable to activate storage 's' - directory is expected to be a mount point but is not mounted: \
                 '{place}'"
            )
        );
        for keys in ["create-base-path 0", "mkdir 0"] {
            assert_eq!(
                text(keys),
                format!(
                    "unable to activate storage 's' - directory '{place}' does not exist or is unreachable"
                )
            );
        }
        assert!(!path.exists());
        // `/` is always mounted.
        storage(&path, "is_mountpoint /").activate().unwrap();
        assert!(path.join("images").is_dir());
    }

    #[test]
    fn directories_are_made_unless_the_keys_say_otherwise() {
        let dir = tempfile::tempdir().unwrap();
        for (name, keys, made) in [
            ("a", "content vztmpl,backup,rootdir", &["dump", "template"][..]),
            ("b", "content vztmpl\n\tcontent-dirs vztmpl=my/own", &["my"]),
            ("c", "content vztmpl\n\tcreate-subdirs no", &[]),
        ] {
            let path = dir.path().join(name);
            storage(&path, keys).activate().unwrap();
            let mut names: Vec<String> = std::fs::read_dir(&path)
                .unwrap()
                .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            assert_eq!(names, made, "{keys}");
        }
        let same = storage(&dir.path().join("d"), "content iso,backup\n\tcontent-dirs iso=x,backup=x");
        let real = dir.path().canonicalize().unwrap().join("d/x");
        let text = format!("storage 's' uses directory {} for multiple content types", real.display());
        assert_eq!(same.activate().unwrap_err().text, text);
    }
}
