//! Marks of what is under way with a container. Each is a file that is locked: it goes with the process.

use std::fs::{self, File};
use std::path::PathBuf;

use pvect_core::Vmid;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{Node, NodeResult, lock_files};

/// What is under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// A command starts it: it does not run yet, but its addresses are taken.
    Starting,
    /// A command ends it, and sees to what is to be done then.
    Ending,
}

/// The mark of a container. It goes with this, and with the process.
#[derive(Debug)]
pub(crate) struct Mark {
    path: PathBuf,
    _file: File,
}

fn path(node: &Node, vmid: Vmid, phase: Phase) -> PathBuf {
    let word = match phase {
        Phase::Starting => "starting",
        Phase::Ending => "ending",
    };
    node.layout.run_dir().join(format!("ct-{vmid}.{word}"))
}

impl Mark {
    /// Marks a container whose configuration lock is held.
    ///
    /// # Errors
    /// When the mark cannot be made.
    pub(crate) fn set(node: &Node, vmid: Vmid, phase: Phase) -> NodeResult<Self> {
        let path = path(node, vmid, phase);
        let file = lock_files::take_for_a_moment(&path, 1)?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for Mark {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a container has this mark right now.
pub(crate) fn is_set(node: &Node, vmid: Vmid, phase: Phase) -> bool {
    let Ok(file) = File::open(path(node, vmid, phase)) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_is_marked_as_long_as_its_mark_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        let vmids: [Vmid; 2] = ["101", "102"].map(|text| text.parse().unwrap());
        let starting = || vmids.map(|vmid| is_set(&node, vmid, Phase::Starting));
        let mark = Mark::set(&node, vmids[0], Phase::Starting).unwrap();
        assert_eq!(starting(), [true, false]);
        assert!(!is_set(&node, vmids[0], Phase::Ending));
        drop(mark);
        assert_eq!(starting(), [false, false]);
        // What a killed start left.
        fs::write(path(&node, vmids[1], Phase::Starting), "").unwrap();
        assert_eq!(starting(), [false, false]);
    }
}
