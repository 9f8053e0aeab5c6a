//! Which containers start right now: they do not run yet, but their addresses are taken.

use std::fs::{self, File};
use std::path::PathBuf;

use pvect_core::Vmid;
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::{Node, NodeResult, lock_files};

/// The mark of a container that starts. It goes with this, and with the process.
#[derive(Debug)]
pub struct StartMark {
    path: PathBuf,
    _file: File,
}

fn path(node: &Node, vmid: Vmid) -> PathBuf {
    node.layout.run_dir().join(format!("ct-{vmid}.starting"))
}

impl StartMark {
    /// Marks a container whose configuration lock is held.
    ///
    /// # Errors
    /// When the mark cannot be made.
    pub fn mark(node: &Node, vmid: Vmid) -> NodeResult<Self> {
        let path = path(node, vmid);
        let file = lock_files::take_for_a_moment(&path, 1)?;
        Ok(Self { path, _file: file })
    }
}

impl Drop for StartMark {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

/// Whether a container starts right now.
pub fn is_starting(node: &Node, vmid: Vmid) -> bool {
    let Ok(file) = File::open(path(node, vmid)) else { return false };
    flock(&file, FlockOperation::NonBlockingLockShared) == Err(Errno::WOULDBLOCK)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_container_starts_as_long_as_its_mark_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        let vmids: [Vmid; 2] = ["101", "102"].map(|text| text.parse().unwrap());
        let starting = || vmids.map(|vmid| is_starting(&node, vmid));
        let mark = StartMark::mark(&node, vmids[0]).unwrap();
        assert_eq!(starting(), [true, false]);
        drop(mark);
        assert_eq!(starting(), [false, false]);
        // What a killed start left.
        fs::write(path(&node, vmids[1]), "").unwrap();
        assert_eq!(starting(), [false, false]);
    }
}
