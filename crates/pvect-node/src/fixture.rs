//! A node for unit tests.

use std::path::{Path, PathBuf};

use pvect_core::NodeName;
use pvect_core::size::DiskSize;
use rustix::mount::UnmountFlags;

use crate::storage::PrivateMounts;
use crate::{Layout, Node, image, store};

/// The node `vm` below a root, which is not made; its helper does nothing.
pub(crate) fn node(root: impl Into<PathBuf>) -> Node {
    let name: NodeName = "vm".parse().unwrap();
    Node { layout: Layout::new(root, name.clone()), name, helper: "/bin/false".into() }
}

/// A node whose storage `st` is an ext4 file system of 64 MiB of its own, mounted for this thread only.
pub(crate) struct SmallDisk {
    pub(crate) node: Node,
    mounted: PathBuf,
    _mounts: PrivateMounts,
    _dir: tempfile::TempDir,
}

impl SmallDisk {
    /// With these lines in the storage's section.
    pub(crate) fn with(lines: &str) -> Self {
        let mounts = PrivateMounts::enter().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let node = node(dir.path());
        store::ensure_root(&node).unwrap();
        let (disk, mounted) = (dir.path().join("disk.raw"), dir.path().join("st"));
        image::create(&disk, DiskSize(64 << 20), (0, 0), &mut |_| {}).unwrap();
        std::fs::create_dir(&mounted).unwrap();
        image::mount(&disk, &mounted, &[]).unwrap();
        let text = format!("dir: st\n\tpath {}\n\tcontent rootdir\n{lines}", mounted.display());
        std::fs::write(node.layout.storage_cfg(), text).unwrap();
        Self { node, mounted, _mounts: mounts, _dir: dir }
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.mounted
    }

    /// How much of it is free, bytes.
    pub(crate) fn free(&self) -> u64 {
        let stat = rustix::fs::statvfs(&self.mounted).unwrap();
        stat.f_bavail * stat.f_frsize
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = rustix::mount::unmount(&self.mounted, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
}
