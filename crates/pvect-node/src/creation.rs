//! The note that a container is being made: what tells a create that was killed from a container of value.
//!
//! It lies at `run/pve/ct-<vmid>.creating` from before the configuration with `lock: create` is written until one
//! without that lock is. It lists the volumes that were there before; all others of the container may go when the
//! work was cut short. A configuration with `lock: create` and without this note (a restore over an old container, a
//! file from elsewhere) is nothing that may be removed without asking.

use std::io::ErrorKind;
use std::path::PathBuf;

use pvect_core::{Vmid, VolumeId};

use crate::{Failure, Node, NodeResult, storage, store};

const MODE: u32 = 0o640;

fn path(node: &Node, vmid: Vmid) -> PathBuf {
    node.layout.run_dir().join(format!("ct-{vmid}.creating"))
}

/// Notes that a container is being made. The caller holds its lock file.
///
/// # Errors
/// When a storage cannot be read or the note not written.
pub(crate) fn begin(node: &Node, vmid: Vmid) -> NodeResult<()> {
    let before = storage::volumes_of(node, vmid)?;
    let text: String = before.iter().map(|volume| format!("{volume}\n")).collect();
    let path = path(node, vmid);
    store::replace(&path, text.as_bytes(), MODE).map_err(|error| Failure::io("can't write", &path, &error))
}

/// Takes the note back: the container is whole, or gone.
pub(crate) fn end(node: &Node, vmid: Vmid) {
    // One that stays is taken back by the next change of the container.
    let _ = std::fs::remove_file(path(node, vmid));
}

/// Returns the volumes that were there before a container's making began; `None` when none is being made.
///
/// # Errors
/// When the note is there and cannot be read: then nothing is known.
pub(crate) fn volumes_before(node: &Node, vmid: Vmid) -> NodeResult<Option<Vec<VolumeId>>> {
    let path = path(node, vmid);
    match std::fs::read_to_string(&path) {
        Ok(text) => {
            let volumes = text.lines().map(|line| {
                line.parse().map_err(|_| Failure::new(format!("can't read '{}'", path.display())))
            });
            volumes.collect::<NodeResult<_>>().map(Some)
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::io("can't read", &path, &error)),
    }
}
