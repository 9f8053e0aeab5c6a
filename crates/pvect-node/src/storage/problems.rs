//! What `storage.cfg` says in vain: lines that nothing reads, values that are refused when the storage is used.

use std::collections::BTreeSet;

use pvect_core::StorageId;

use super::cfg::{LOCAL, StorageKind};
use super::keys;
use crate::{Failure, Layout, NodeResult};

/// The types of Proxmox VE. Source: pve-storage.
const TYPES: [&str; 15] = [
    "btrfs",
    "cephfs",
    "cifs",
    "dir",
    "esxi",
    "glusterfs",
    "iscsi",
    "iscsidirect",
    "lvm",
    "lvmthin",
    "nfs",
    "pbs",
    "rbd",
    "zfs",
    "zfspool",
];
/// What `content` may name. Source: pve-storage, `DirPlugin` and `BTRFSPlugin`.
const CONTENTS: [&str; 8] = ["images", "rootdir", "vztmpl", "iso", "backup", "snippets", "import", "none"];

/// A line that is not in force as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong.
    pub what: String,
    /// What repairs it.
    pub fix: String,
}

/// Reads `storage.cfg` and returns what is wrong with it, line by line; nothing when there is no file.
///
/// # Errors
/// When the file is there and cannot be read.
pub fn problems(layout: &Layout) -> NodeResult<Vec<Problem>> {
    let path = layout.storage_cfg();
    match std::fs::read(&path) {
        Ok(bytes) => Ok(found(&String::from_utf8_lossy(&bytes))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(Failure::io("can't read", &path, &error)),
    }
}

/// The section that a key belongs to.
struct Section {
    line: usize,
    name: String,
    /// The type, where this node can use it.
    kind: Option<StorageKind>,
    has_path: bool,
}

fn found(text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut names = BTreeSet::new();
    let mut section: Option<Section> = None;
    let mut is_begun = false;
    for (index, line) in text.lines().enumerate() {
        let (number, is_key, line) = (index + 1, line.starts_with([' ', '\t']), line.trim());
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let problem = if is_key {
            match &mut section {
                Some(section) => key(section, line),
                // What is wrong was said of the line that begins the section.
                None if is_begun => None,
                None => Some(("it belongs to no storage".to_owned(), "begin a section above it: TYPE: NAME")),
            }
        } else {
            problems.extend(section.as_ref().and_then(ended));
            let begun = begin(number, line, &mut names);
            let problem = begun.as_ref().err().cloned();
            section = begun.ok();
            is_begun = true;
            problem
        };
        problems.extend(problem.map(|(what, fix)| Problem { line: number, what, fix: fix.to_owned() }));
    }
    problems.extend(section.as_ref().and_then(ended));
    problems.sort_by_key(|problem| problem.line);
    problems
}

/// What is wrong, and what repairs it.
type Wrong = (String, &'static str);

/// Reads a line that begins a section.
fn begin(line: usize, text: &str, names: &mut BTreeSet<String>) -> Result<Section, Wrong> {
    let Some((kind, name)) = text.split_once(':').map(|(kind, name)| (kind.trim(), name.trim())) else {
        let what = format!("'{text}' is neither a section (TYPE: NAME) nor a key");
        return Err((what, "indent it if it is a key, or remove it"));
    };
    if !TYPES.contains(&kind) {
        return Err((format!("there is no storage type '{kind}'"), "a type is dir, btrfs, zfspool ..."));
    }
    if name.parse::<StorageId>().is_err() {
        let what = format!("'{name}' is not a name of a storage");
        return Err((what, "begin it with a letter; it has two or more letters, digits and -_."));
    }
    if !names.insert(name.to_owned()) {
        let what = format!("the storage '{name}' is there already: this section is not read");
        return Err((what, "give it another name, or remove one of them"));
    }
    let kind = match kind {
        "dir" => Some(StorageKind::Dir),
        "btrfs" => Some(StorageKind::Btrfs),
        _ => None,
    };
    Ok(Section { line, name: name.to_owned(), kind, has_path: false })
}

/// Reads a key of a section.
fn key(section: &mut Section, line: &str) -> Option<Wrong> {
    let (key, value) = line.split_once([' ', '\t']).unwrap_or((line, "1"));
    let value = value.trim();
    let kind = section.kind?;
    let of =
        |why: String| format!("storage '{}': the value of '{key}' is not understood: {why}", section.name);
    if key == "path" {
        section.has_path = true;
        let why = format!("'{value}' is not an absolute path");
        return (!value.starts_with('/')).then(|| (of(why), "begin it with /"));
    }
    let unknown = |word: &&str| !word.is_empty() && !CONTENTS.contains(word);
    if key == "content" {
        let word = value.split([',', ';', ' ']).find(unknown)?;
        let why = format!("there is no content '{word}'");
        return Some((of(why), "a content is rootdir, images, vztmpl, backup, iso, snippets or import"));
    }
    let why = keys::check(kind, key, value).err()?;
    Some((of(why), "correct it, or remove the line"))
}

/// What a whole section lacks. `local` has a path of its own.
fn ended(section: &Section) -> Option<Problem> {
    let lacks = section.kind.is_some() && !section.has_path && section.name != LOCAL;
    lacks.then(|| Problem {
        line: section.line,
        what: format!("storage '{}' has no path", section.name),
        fix: "add a line: path /DIRECTORY".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        found(text).into_iter().map(|problem| format!("{}: {}", problem.line, problem.what)).collect()
    }

    #[test]
    fn each_line_that_says_something_in_vain_is_named() {
        let text = "# a comment\n\tpath /x\ngarbage\ndir: usb\n\tcontent rootdir,nonsense\n\tdisable maybe\n\
                    \tpath srv\ndisc: x\n\tpath /x\ndir: 9x\n\tpath /x\ndir: usb\n\tpath /y\nbtrfs: fast\n\tnocow 1\n\
                    dir: local\n\tcontent vztmpl\nzfspool: tank\n\tpool tank\n\tsparse maybe\n";
        assert_eq!(
            shown(text),
            [
                "2: it belongs to no storage",
                "3: 'garbage' is neither a section (TYPE: NAME) nor a key",
                "5: storage 'usb': the value of 'content' is not understood: there is no content 'nonsense'",
                "6: storage 'usb': the value of 'disable' is not understood: type check ('boolean') failed - got 'maybe'",
                "7: storage 'usb': the value of 'path' is not understood: 'srv' is not an absolute path",
                "8: there is no storage type 'disc'",
                "10: '9x' is not a name of a storage",
                "12: the storage 'usb' is there already: this section is not read",
                "14: storage 'fast' has no path",
            ]
        );
    }

    #[test]
    fn what_is_right_is_not_named() {
        let text = "dir: local\n\tpath /var/lib/vz\n\tcontent rootdir,vztmpl,images,iso,backup,snippets\n\n\
                    btrfs: fast\n\tpath /mnt\n\tcontent none\n\tnodes a,b\n\tdisable\n";
        assert_eq!(found(text), []);
        assert_eq!(found(""), []);
    }
}
