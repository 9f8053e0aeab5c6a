//! What the keys of a `dir` or `btrfs` storage say besides its path. Source: pve-storage, `Plugin`, `DirPlugin` and
//! `BTRFSPlugin`.
//!
//! Each of them is in force here, or says nothing about containers: `shared`, `format` and `snapshot-as-volume-chain`.
//! A value that cannot be understood is refused: the real one warns of it and goes on without the key.

use std::path::{Path, PathBuf};

use pvect_core::property::boolean;

use super::cfg::{Storage, StorageKind};
use super::dir::Directories;
use crate::image::Preallocation;
use crate::{Failure, NodeResult};

/// The operations that `bwlimit` knows.
const OPERATIONS: [&str; 5] = ["clone", "default", "migration", "move", "restore"];
/// The contents that have directories.
const CONTENTS: [&str; 6] = ["images", "rootdir", "vztmpl", "iso", "backup", "snippets"];
/// The longest path of a content's directory.
const LONGEST: usize = 1022;

impl Storage {
    /// Refuses values that cannot be understood.
    pub(super) fn check_keys(&self) -> NodeResult<()> {
        let Ok(kind) = self.usable_kind() else { return Ok(()) };
        for (key, value) in &self.keys {
            check(kind, key, value).map_err(|why| {
                let name = &self.name;
                Failure::new(format!("storage '{name}' - unable to parse value of '{key}': {why}"))
            })?;
        }
        Ok(())
    }

    fn is_off(&self, key: &str) -> bool {
        self.get(key).and_then(boolean) == Some(false)
    }

    /// Whether other nodes have the same contents there.
    pub fn is_shared(&self) -> bool {
        self.get("shared").and_then(boolean) == Some(true)
    }

    /// The directory that must be a mount point for the storage to be available.
    pub(super) fn mount_point(&self) -> Option<PathBuf> {
        let value = self.get("is_mountpoint")?;
        match boolean(value) {
            Some(true) => self.get("path").map(PathBuf::from),
            Some(false) => None,
            None => Some(PathBuf::from(value)),
        }
    }

    /// Whether its directory is made when it is missing.
    pub(super) fn makes_base(&self) -> bool {
        let key = if self.get("create-base-path").is_some() { "create-base-path" } else { "mkdir" };
        !self.is_off(key)
    }

    /// Whether the directories of its contents are made when they are missing.
    pub fn makes_subdirectories(&self) -> bool {
        !self.is_off("create-subdirs") && !self.is_off("mkdir")
    }

    /// Returns the directories of its contents.
    ///
    /// # Errors
    /// As [`Storage::path`].
    pub fn directories(&self) -> NodeResult<Directories> {
        let kind = self.usable_kind()?;
        let given = self.get("content-dirs").filter(|_| kind == StorageKind::Dir).unwrap_or_default();
        let others = words(given).filter_map(|word| word.split_once('='));
        Ok(Directories::new(
            self.path()?,
            others.map(|(content, path)| (content.to_owned(), path.to_owned())),
        ))
    }

    /// The contents that it has.
    pub(super) fn contents(&self) -> impl Iterator<Item = &'static str> {
        CONTENTS.into_iter().filter(|content| self.holds(content))
    }

    /// Returns how the space of a new image is reserved.
    pub(super) fn preallocation(&self) -> Preallocation {
        match self.get("preallocation") {
            Some("falloc") => Preallocation::Allocated,
            Some("full") => Preallocation::Full,
            _ => Preallocation::Off,
        }
    }

    /// Whether new images are not copied on write.
    pub(super) fn is_nocow(&self) -> bool {
        self.kind == "btrfs" && self.get("nocow").and_then(boolean) == Some(true)
    }

    /// Returns how many protected backups a container may have; `None` if that is not set.
    pub fn most_protected(&self) -> Option<i64> {
        self.get("max-protected-backups")?.parse().ok()
    }

    /// Returns the limit of an operation (`clone`, `move`, `restore`), KiB a second; 0 means no limit, `None` that it
    /// is not set.
    pub fn bandwidth(&self, operation: &str) -> Option<u64> {
        let text = self.get("bwlimit").filter(|_| self.kind == "dir")?;
        let of = |wanted: &str| {
            let mut parts = text.split(',').filter_map(|part| part.split_once('='));
            parts.find(|(name, _)| *name == wanted).and_then(|(_, value)| limit(value))
        };
        of(operation).or_else(|| of("default"))
    }
}

fn words(list: &str) -> impl Iterator<Item = &str> {
    list.split([',', ';', ' ', '\t']).filter(|word| !word.is_empty())
}

fn limit(text: &str) -> Option<u64> {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is finite and not negative"
    )]
    text.parse::<f64>().ok().filter(|limit| limit.is_finite() && *limit >= 0.0).map(|limit| limit as u64)
}

/// Says what is wrong with a value. A key that the type does not know has no meaning, whatever its value is.
fn check(kind: StorageKind, key: &str, value: &str) -> Result<(), String> {
    let is_dir = kind == StorageKind::Dir;
    let is_one_of = |allowed: &[&str]| match allowed.contains(&value) {
        true => Ok(()),
        false => {
            Err(format!("value '{value}' does not have a value in the enumeration '{}'", allowed.join(", ")))
        }
    };
    match key {
        "disable" | "shared" | "mkdir" | "create-base-path" | "create-subdirs" => is_boolean(value),
        "nocow" if !is_dir => is_boolean(value),
        "snapshot-as-volume-chain" if is_dir => is_boolean(value),
        "is_mountpoint" if boolean(value).is_none() && !value.starts_with('/') => {
            Err("it is neither a boolean nor an absolute path".to_owned())
        }
        "preallocation" => is_one_of(&["off", "metadata", "falloc", "full"]),
        "format" if is_dir => is_one_of(&["raw", "qcow2", "vmdk", "subvol"]),
        "format" => is_one_of(&["raw", "subvol"]),
        "max-protected-backups" if value.parse::<i64>().ok().is_none_or(|most| most < -1) => {
            Err(format!("'{value}' is not a number from -1 on"))
        }
        "content-dirs" if is_dir => words(value).try_for_each(is_override),
        "bwlimit" if is_dir => value.split(',').try_for_each(|part| match part.split_once('=') {
            Some((name, text)) if OPERATIONS.contains(&name) && limit(text).is_some() => Ok(()),
            _ => Err(format!("'{part}' is not a limit")),
        }),
        _ => Ok(()),
    }
}

fn is_boolean(value: &str) -> Result<(), String> {
    boolean(value).map(|_| ()).ok_or_else(|| format!("type check ('boolean') failed - got '{value}'"))
}

/// `backup=custom/dump`; the path must be below the storage's.
fn is_override(word: &str) -> Result<(), String> {
    let inside = |path: &str| {
        let plain = |part: &std::path::Component<'_>| {
            matches!(part, std::path::Component::Normal(_) | std::path::Component::RootDir)
        };
        !path.is_empty() && path.len() <= LONGEST && Path::new(path).components().all(|part| plain(&part))
    };
    match word.split_once('=') {
        Some((content, path)) if (CONTENTS.contains(&content) || content == "import") && inside(path) => {
            Ok(())
        }
        _ => Err(format!("invalid override '{word}'")),
    }
}

#[cfg(test)]
mod tests {
    use super::super::cfg::Storages;
    use super::*;

    fn found(kind: &str, keys: &str) -> Result<Storage, String> {
        let text = format!("{kind}: s\n\tpath /s\n\t{keys}\n");
        let storages = Storages::parse(&text, "vm".parse().unwrap());
        storages.find("s").cloned().map_err(|failure| failure.text)
    }

    #[test]
    fn what_cannot_be_understood_is_refused() {
        for (kind, key, why) in [
            ("dir", "mkdir maybe", "type check ('boolean') failed - got 'maybe'"),
            ("dir", "is_mountpoint disk", "it is neither a boolean nor an absolute path"),
            (
                "dir",
                "preallocation some",
                "value 'some' does not have a value in the enumeration 'off, metadata, falloc, full'",
            ),
            ("btrfs", "format qcow2", "value 'qcow2' does not have a value in the enumeration 'raw, subvol'"),
            ("dir", "max-protected-backups -2", "'-2' is not a number from -1 on"),
            ("dir", "bwlimit clone=-1", "'clone=-1' is not a limit"),
            ("dir", "bwlimit clone", "'clone' is not a limit"),
            ("dir", "content-dirs backup=../x", "invalid override 'backup=../x'"),
            ("dir", "content-dirs films=x", "invalid override 'films=x'"),
            ("btrfs", "nocow x", "type check ('boolean') failed - got 'x'"),
        ] {
            let name = key.split(' ').next().unwrap();
            let text = format!("storage 's' - unable to parse value of '{name}': {why}");
            assert_eq!(found(kind, key).unwrap_err(), text);
        }
        assert!(found("btrfs", "bwlimit what").is_ok(), "that type has no such key");
    }

    #[test]
    fn keys_say_what_they_say_in_proxmox_ve() {
        let dir = |keys: &str| found("dir", keys).unwrap();
        assert_eq!(dir("is_mountpoint yes").mount_point(), Some(PathBuf::from("/s")));
        assert_eq!(dir("is_mountpoint /mnt").mount_point(), Some(PathBuf::from("/mnt")));
        assert_eq!(dir("is_mountpoint 0").mount_point(), None);
        for (keys, base, subdirectories) in [
            ("shared", true, true),
            ("mkdir 0", false, false),
            ("mkdir 0\n\tcreate-base-path 1", true, false),
            ("create-base-path no", false, true),
            ("create-subdirs no", true, false),
        ] {
            let storage = dir(keys);
            assert_eq!(
                (storage.makes_base(), storage.makes_subdirectories()),
                (base, subdirectories),
                "{keys}"
            );
        }
        let limited = dir("bwlimit default=100,clone=5.5");
        assert_eq!(["clone", "move"].map(|operation| limited.bandwidth(operation)), [Some(5), Some(100)]);
        assert_eq!(dir("max-protected-backups 3").most_protected(), Some(3));
        let moved = dir("content-dirs backup=my/dump,iso=isos").directories().unwrap();
        for (content, path) in [
            ("backup", "/s/my/dump"),
            ("iso", "/s/isos"),
            ("images", "/s/images"),
            ("vztmpl", "/s/template/cache"),
        ] {
            assert_eq!(moved.of(content), Path::new(path));
        }
        let ignored = found("btrfs", "content-dirs backup=my").unwrap().directories().unwrap();
        assert_eq!(ignored.of("backup"), Path::new("/s/dump"));
    }
}
