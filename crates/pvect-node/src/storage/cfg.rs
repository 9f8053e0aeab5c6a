//! `storage.cfg`: which storages exist.
//!
//! The grammar is Proxmox VE's: `TYPE: NAME` begins a section, indented `key value` lines follow, a bare key means
//! true. Types other than `dir` and `btrfs` are kept and named, but cannot be used.

use std::path::Path;

use crate::{Failure, Layout, NodeResult};

/// The types of storages that this node can use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StorageKind {
    /// `dir`: files and directories.
    Dir,
    /// `btrfs`: each volume is a subvolume, which can have snapshots.
    Btrfs,
}

/// One section of `storage.cfg`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storage {
    /// The name.
    pub name: String,
    /// The type (`dir`, `btrfs`, ...).
    pub kind: String,
    /// The other keys, in file order.
    pub keys: Vec<(String, String)>,
}

impl Storage {
    /// Returns the value of a key.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.keys.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
    }

    /// Returns whether the storage may hold this content (`rootdir`, `vztmpl`, `images`, ...).
    ///
    /// Without a `content` key a `dir` storage holds what Proxmox VE lets it hold by default: images and root file
    /// systems, not templates.
    pub fn holds(&self, content: &str) -> bool {
        self.get("content")
            .unwrap_or("images,rootdir")
            .split([',', ';', ' '])
            .any(|word| word.trim() == content)
    }

    /// Returns whether it is switched off.
    pub fn disabled(&self) -> bool {
        self.get("disable").is_some_and(|value| pvect_core::property::boolean(value) != Some(false))
    }

    /// Returns the type.
    ///
    /// # Errors
    /// When this node cannot use it.
    pub fn usable_kind(&self) -> NodeResult<StorageKind> {
        match self.kind.as_str() {
            "dir" => Ok(StorageKind::Dir),
            "btrfs" => Ok(StorageKind::Btrfs),
            other => Err(Failure::new(format!(
                "storage '{}' has the type '{other}', the standalone node can only use 'dir' and 'btrfs'",
                self.name
            ))),
        }
    }

    /// Returns the directory of a `dir` or `btrfs` storage.
    ///
    /// # Errors
    /// When the storage is of another type or has no path.
    pub fn path(&self) -> NodeResult<&Path> {
        self.usable_kind()?;
        match self.get("path") {
            Some(path) if path.starts_with('/') => Ok(Path::new(path)),
            _ => Err(Failure::new(format!("storage '{}' has no absolute path", self.name))),
        }
    }
}

/// All storages of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storages(pub Vec<Storage>);

impl Storages {
    /// Reads `storage.cfg`; without one there is `local`, a directory below the node's root.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn load(layout: &Layout) -> NodeResult<Self> {
        let path = layout.storage_cfg();
        match std::fs::read(&path) {
            Ok(bytes) => Ok(Self::parse(&String::from_utf8_lossy(&bytes))),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Ok(Self(vec![local(&layout.local_storage())]))
            }
            Err(error) => Err(Failure::io("can't read", &path, &error)),
        }
    }

    /// Parses the text of a `storage.cfg`. Lines outside a section and lines that are no pair are left out, as the
    /// real one does with a warning; of two sections with one name the first counts.
    pub fn parse(text: &str) -> Self {
        let mut storages: Vec<Storage> = Vec::new();
        for line in text.lines() {
            let indented = line.starts_with([' ', '\t']);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if !indented && let Some((kind, name)) = line.split_once(':') {
                let (kind, name) = (kind.trim().to_owned(), name.trim().to_owned());
                storages.push(Storage { name, kind, keys: Vec::new() });
            } else if indented && let Some(storage) = storages.last_mut() {
                let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, "1"));
                storage.keys.push((key.to_owned(), value.trim().to_owned()));
            }
        }
        Self(storages)
    }

    /// Finds a storage that can be used.
    ///
    /// # Errors
    /// `storage '<name>' does not exist`, `storage '<name>' is disabled`.
    pub fn find(&self, name: &str) -> NodeResult<&Storage> {
        let storage = self.0.iter().find(|storage| storage.name == name);
        let storage = storage.ok_or_else(|| Failure::no_storage(name))?;
        if storage.disabled() {
            return Err(Failure::new(format!("storage '{name}' is disabled")));
        }
        Ok(storage)
    }
}

/// The storage `local` of a node without `storage.cfg`.
fn local(path: &Path) -> Storage {
    let pair = |key: &str, value: String| (key.to_owned(), value);
    Storage {
        name: "local".to_owned(),
        kind: "dir".to_owned(),
        keys: vec![
            pair("path", path.to_string_lossy().into_owned()),
            pair("content", "rootdir,vztmpl,images,iso,backup,snippets".to_owned()),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# a comment\ndir: local\n\tpath /var/lib/vz\n\tcontent rootdir,vztmpl,images\n\nzfspool: tank\n\
        \tpool tank\n\tcontent rootdir\n\nbtrfs: btr\n\tpath /var/lib/pve-btrfs\n\tcontent rootdir,images\n\ndir: off\n    path /x\n\tdisable\n";

    #[test]
    fn sections_and_keys_are_kept() {
        let storages = Storages::parse(TEXT);
        assert_eq!(storages.0.len(), 4);
        let local = storages.find("local").unwrap();
        assert_eq!(local.path().unwrap(), Path::new("/var/lib/vz"));
        assert!(local.holds("vztmpl") && !local.holds("iso"));
        let btr = storages.find("btr").unwrap();
        assert_eq!(btr.path().unwrap(), Path::new("/var/lib/pve-btrfs"));
        assert_eq!(btr.usable_kind().unwrap(), StorageKind::Btrfs);
        assert_eq!(
            storages.find("tank").unwrap().path().unwrap_err().text,
            "storage 'tank' has the type 'zfspool', the standalone node can only use 'dir' and 'btrfs'"
        );
        assert_eq!(storages.find("off").unwrap_err().text, "storage 'off' is disabled");
        assert_eq!(storages.find("nosuch").unwrap_err().text, "storage 'nosuch' does not exist");
    }

    #[test]
    fn any_text_is_taken() {
        for text in ["", ":", "\t", "dir\n\tpath", "\tkey value\ndir: a", ": \n\t \n x"] {
            let _ = Storages::parse(text);
        }
        assert_eq!(Storages::parse("dir: a\n\tshared\n").0[0].get("shared"), Some("1"));
    }

    #[test]
    fn without_a_file_there_is_local() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), "vm".parse().unwrap());
        let storages = Storages::load(&layout).unwrap();
        assert_eq!(storages.find("local").unwrap().path().unwrap(), dir.path().join("vz"));
    }
}
