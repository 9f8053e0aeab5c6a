//! `storage.cfg`: which storages exist.
//!
//! The grammar is Proxmox VE's: `TYPE: NAME` begins a section, indented `key value` lines follow, a bare key means
//! true. Types other than `dir` and `btrfs` are kept and named, but cannot be used.

use std::path::Path;

use pvect_core::NodeName;

use crate::{Failure, Layout, NodeResult};

/// The storage that is always there.
const LOCAL: &str = "local";

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

    /// Returns whether it is disabled.
    pub fn disabled(&self) -> bool {
        self.get("disable").is_some_and(|value| pvect_core::property::boolean(value) != Some(false))
    }

    /// Returns whether a node may use it: `nodes` lists those that may; `local` is every node's own.
    fn is_for(&self, node: &NodeName) -> bool {
        let listed = |list: &str| list.split([',', ';', ' ']).any(|name| name.trim() == node.as_str());
        self.name == LOCAL || self.get("nodes").is_none_or(listed)
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

/// The storages of `storage.cfg`, as one node sees them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Storages {
    all: Vec<Storage>,
    node: NodeName,
}

impl Storages {
    /// Reads `storage.cfg`. Without a section `local` there is one all the same: a directory below the node's root.
    ///
    /// # Errors
    /// When the file exists but cannot be read.
    pub fn load(layout: &Layout) -> NodeResult<Self> {
        let path = layout.storage_cfg();
        let text = match std::fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Failure::io("can't read", &path, &error)),
        };
        let mut storages = Self::parse(&text, layout.node().clone());
        if !storages.all.iter().any(|storage| storage.name == LOCAL) {
            storages.all.insert(0, local(&layout.local_storage()));
        }
        Ok(storages)
    }

    /// Parses the text of a `storage.cfg`. Lines outside a section and lines without a value are ignored, as by the
    /// real node, which warns; if two sections have the same name, the first one counts.
    pub fn parse(text: &str, node: NodeName) -> Self {
        let mut all: Vec<Storage> = Vec::new();
        for line in text.lines() {
            let indented = line.starts_with([' ', '\t']);
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if indented {
                let Some(storage) = all.last_mut() else { continue };
                let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, "1"));
                storage.keys.push((key.to_owned(), value.trim().to_owned()));
            } else if let Some((kind, name)) = line.split_once(':') {
                let (kind, name) = (kind.trim().to_owned(), name.trim().to_owned());
                all.push(Storage { name, kind, keys: Vec::new() });
            }
        }
        Self { all, node }
    }

    /// All of them, also those that this node cannot use.
    pub fn all(&self) -> &[Storage] {
        &self.all
    }

    /// Those that are not only for other nodes.
    pub fn of_this_node(&self) -> impl Iterator<Item = &Storage> {
        self.all.iter().filter(|storage| storage.is_for(&self.node))
    }

    /// Those that this node may use. Their keys may still be invalid, and their directories missing.
    pub fn enabled(&self) -> impl Iterator<Item = &Storage> {
        self.of_this_node().filter(|storage| !storage.disabled())
    }

    /// Finds a storage that can be used.
    ///
    /// # Errors
    /// `storage '<name>' does not exist`, `storage '<name>' is disabled`, `storage '<name>' is not available on node
    /// '<node>'`; or which key is invalid.
    pub fn find(&self, name: &str) -> NodeResult<&Storage> {
        let storage = self.all.iter().find(|storage| storage.name == name);
        let storage = storage.ok_or_else(|| Failure::no_storage(name))?;
        if storage.disabled() {
            return Err(Failure::new(format!("storage '{name}' is disabled")));
        }
        if !storage.is_for(&self.node) {
            let text = format!("storage '{name}' is not available on node '{}'", self.node);
            return Err(Failure::new(text));
        }
        storage.check_keys()?;
        Ok(storage)
    }
}

/// The storage `local` if no section describes it.
fn local(path: &Path) -> Storage {
    let pair = |key: &str, value: String| (key.to_owned(), value);
    Storage {
        name: LOCAL.to_owned(),
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

    fn parse(text: &str) -> Storages {
        Storages::parse(text, "vm".parse().unwrap())
    }

    #[test]
    fn sections_and_keys_are_kept() {
        let storages = parse(TEXT);
        assert_eq!(storages.all().len(), 4);
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
            let _ = parse(text);
        }
        assert_eq!(parse("dir: a\n\tshared\n").all()[0].get("shared"), Some("1"));
    }

    #[test]
    fn without_a_file_there_is_local() {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout::new(dir.path(), "vm".parse().unwrap());
        let storages = Storages::load(&layout).unwrap();
        assert_eq!(storages.find("local").unwrap().path().unwrap(), dir.path().join("vz"));
        std::fs::create_dir_all(dir.path().join("etc/pve")).unwrap();
        std::fs::write(layout.storage_cfg(), "dir: other\n\tpath /x\n").unwrap();
        let storages = Storages::load(&layout).unwrap();
        assert_eq!(storages.find("local").unwrap().path().unwrap(), dir.path().join("vz"));
        assert_eq!(storages.find("other").unwrap().path().unwrap(), Path::new("/x"));
    }

    #[test]
    fn storages_of_other_nodes_are_theirs() {
        let text = "dir: a\n\tpath /a\n\tnodes pve2,pve3\ndir: b\n\tpath /b\n\tnodes pve2 vm\n\
                    dir: local\n\tpath /l\n\tnodes pve2\ndir: c\n\tpath /c\n\tdisable 1\n\tnodes pve2\n";
        let storages = parse(text);
        assert_eq!(storages.find("a").unwrap_err().text, "storage 'a' is not available on node 'vm'");
        assert_eq!(storages.find("c").unwrap_err().text, "storage 'c' is disabled");
        let names: Vec<&str> = storages.enabled().map(|storage| storage.name.as_str()).collect();
        assert_eq!(names, ["b", "local"]);
        assert!(storages.find("b").is_ok() && storages.find("local").is_ok());
    }
}
