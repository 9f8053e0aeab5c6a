//! The room that stays on the disks that a backup is unpacked to: whoever made the archive decides how much is in it.

use std::fs::File;
use std::io;

use pvect_core::ContainerConfig;
use pvect_core::property::MountSource;
use pvect_rootfs::room::Room;

use crate::{Failure, Node, NodeResult, storage};

/// The file systems that a container's volumes lie on.
pub(super) struct Disks(Vec<(File, Room)>);

impl Disks {
    /// Looks at them before anything is unpacked.
    ///
    /// # Errors
    /// When a volume cannot be opened.
    pub(super) fn of(node: &Node, config: &ContainerConfig) -> NodeResult<Self> {
        let mut disks = Vec::new();
        for (_, mount) in config.volumes() {
            let MountSource::Volume(text) = &mount.fs.source else { continue };
            let volume =
                text.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{text}'")))?;
            let path = storage::volume_path(node, &volume)?;
            let failed = |error| Failure::io("can't open", &path, &error);
            let file = File::open(&path).map_err(failed)?;
            let room = Room::of(&file).map_err(failed)?;
            disks.push((file, room));
        }
        Ok(Self(disks))
    }

    /// Fails when too little stays free on one of them.
    ///
    /// # Errors
    /// As [`Room::check_for_container`].
    pub(super) fn check(&self) -> io::Result<()> {
        self.0.iter().try_for_each(|(file, room)| room.check_for_container(file))
    }
}

#[cfg(test)]
mod tests {
    use pvect_core::size::DiskSize;

    use super::*;
    use crate::fixture::SmallDisk;

    #[test]
    fn a_disk_that_fills_is_noticed() {
        let disk = SmallDisk::with("");
        let vmid = "101".parse().unwrap();
        let volume = storage::allocate(&disk.node, "st", vmid, DiskSize(0), (0, 0), &mut |_| {}).unwrap();
        let mut config = ContainerConfig::default();
        config.main.set("rootfs", volume.as_str());
        config.main.set("mp0", "/srv,mp=/srv");
        let disks = Disks::of(&disk.node, &config).unwrap();
        assert!(disks.check().is_ok());
        let file = File::create(disk.path().join("large")).unwrap();
        let most = disk.free() - (1 << 20);
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, most).unwrap();
        assert_eq!(disks.check().unwrap_err().kind(), io::ErrorKind::StorageFull);
    }
}
