//! The note that a container is being made: it tells a create that was killed from a finished container.
//!
//! It lies at `run/pve/ct-<vmid>.creating` from before the configuration with `lock: create` is written until one
//! without that lock is. It lists the storages that were looked at and the volumes that were there before; all
//! others of the container on these storages may go when the work was cut short. For a restore over an old container the note says so: its configuration is the old one until
//! the new one is whole. A configuration with `lock: create` and without this note (a file from elsewhere) is nothing
//! that may be removed without asking.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use pvect_core::{Vmid, VolumeId};

use crate::{Failure, Node, NodeResult, files, storage};

const MODE: u32 = 0o640;
/// The first line of the note about a restore over an old container.
const OVER: &str = "over an old container";

/// A line of the note.
const RULES: &str = "rules of a firewall were there";

/// What a line of the note about a place begins with where volumes were looked for: then the storage's name, and the
/// directory of the container's volumes.
const SEEN: &str = "looked at: ";

/// What the note says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    /// Whether an old container is overwritten: its configuration stays.
    pub(crate) over: bool,
    /// Whether a firewall's rules for this number were there before. They stay.
    pub(crate) rules: bool,
    /// The volumes that were there before. They stay.
    pub(crate) before: Vec<VolumeId>,
    /// The storages that were looked at then, each with the directory of the container's volumes. All that is elsewhere
    /// stays: it may be older.
    pub(crate) seen: Vec<(String, PathBuf)>,
}

impl Note {
    /// Whether volumes in a storage's directory were looked for when the note was written.
    pub(crate) fn has_seen(&self, storage: &str, images: &Path) -> bool {
        self.seen.iter().any(|(name, path)| name == storage && path == images)
    }
}

fn path(node: &Node, vmid: Vmid) -> PathBuf {
    node.layout.run_dir().join(format!("ct-{vmid}.creating"))
}

/// Notes that a container is being made. The caller holds its lock file.
///
/// # Errors
/// When a storage cannot be read, or the note cannot be written.
pub(crate) fn begin(node: &Node, vmid: Vmid) -> NodeResult<()> {
    write(node, vmid, "")
}

/// Notes that a container is being made in the place of an old one, whose configuration gets the lock `create`. The
/// caller holds its lock file.
///
/// # Errors
/// As [`begin`].
pub(crate) fn begin_over(node: &Node, vmid: Vmid) -> NodeResult<()> {
    write(node, vmid, &format!("{OVER}\n"))
}

fn write(node: &Node, vmid: Vmid, head: &str) -> NodeResult<()> {
    let looked = storage::look_for(node, vmid)?;
    let lines: String =
        looked.iter().flat_map(|one| &one.volumes).map(|volume| format!("{volume}\n")).collect();
    let seen: String =
        looked.iter().map(|one| format!("{SEEN}{} {}\n", one.storage, one.images.display())).collect();
    let path = path(node, vmid);
    let rules = if node.layout.firewall(vmid).exists() { format!("{RULES}\n") } else { String::new() };
    files::replace(&path, format!("{head}{rules}{seen}{lines}").as_bytes(), MODE)
        .map_err(|error| Failure::io("can't write", &path, &error))
}

/// Removes the note: the container is complete, or gone.
pub(crate) fn end(node: &Node, vmid: Vmid) {
    // If it cannot be removed, the next change of the container removes it.
    let _ = std::fs::remove_file(path(node, vmid));
}

/// Returns the note about a container; `None` when it is not being made.
///
/// # Errors
/// When the note exists but cannot be read, so that nothing is known.
pub(crate) fn note(node: &Node, vmid: Vmid) -> NodeResult<Option<Note>> {
    let path = path(node, vmid);
    let text = match std::fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io("can't read", &path, &error)),
    };
    let mut lines = text.lines().peekable();
    let over = lines.next_if_eq(&OVER).is_some();
    let rules = lines.next_if_eq(&RULES).is_some();
    let mut seen = Vec::new();
    while let Some((name, images)) = lines.peek().and_then(|line| line.strip_prefix(SEEN)?.split_once(' ')) {
        seen.push((name.to_owned(), PathBuf::from(images)));
        lines.next();
    }
    let volumes =
        lines.map(|line| line.parse().map_err(|_| Failure::new(format!("can't read '{}'", path.display()))));
    Ok(Some(Note { over, rules, before: volumes.collect::<NodeResult<_>>()?, seen }))
}
