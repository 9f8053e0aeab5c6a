//! Copies of volumes: to another storage, from a snapshot, of a template.
//!
//! An image is copied as a file (`image::copy`). Everything else is copied file by file, as pve-container's
//! `copy_volume` copies everything: both volumes are mounted in a namespace that ends with the copy. cp, or rsync where a bandwidth is to
//! be kept, carries owners, modes, links, ACLs, extended attributes and holes.

use std::fs::File;
use std::path::{Path, PathBuf};

use pvect_core::size::DiskSize;
use pvect_core::{SnapshotName, Vmid, VolumeId};
use rustix::mount::{MountFlags, UnmountFlags};

use super::dir::Volume;
use super::{Place, PrivateMounts, allocate, free};
use crate::interrupt::Interrupt;
use crate::tool::Tool;
use crate::{Failure, FailureKind, Node, NodeResult, image};

/// What is to be copied, and where to.
#[derive(Debug)]
pub struct Copy<'a> {
    /// The volume.
    pub source: &'a VolumeId,
    /// The snapshot of it; `None` for its present state, which nobody writes to.
    pub snapshot: Option<&'a SnapshotName>,
    /// The storage that the new volume is made on.
    pub storage: &'a str,
    /// The container that gets the new volume.
    pub vmid: Vmid,
    /// The host's ids of that container's root.
    pub owner: (u32, u32),
    /// The limit in KiB per second.
    pub bandwidth: Option<u64>,
}

impl Copy<'_> {
    /// Makes the new volume, as large as the old one, and fills it. Returns it with its size; `log` gets what pct
    /// prints.
    ///
    /// # Errors
    /// When a volume cannot be made or mounted, or the copy fails; `interrupted by signal`. Nothing is left then.
    pub fn run(
        &self,
        node: &Node,
        interrupt: &Interrupt,
        log: &mut dyn FnMut(&str),
    ) -> NodeResult<(VolumeId, DiskSize)> {
        let source = Source::of(node, self)?;
        let size = DiskSize(source.size()?);
        // A bandwidth limit is only possible when copying file by file.
        if source.is_image() && self.bandwidth.is_none() && image::copy::is_ext(&source.path) {
            match self.whole(node, &source, interrupt, log) {
                // The kernel may know the file system better than e2fsck.
                Err(Failure { kind: FailureKind::UnknownFileSystem, .. }) => {}
                made => return made.map(|new| (new, size)),
            }
        }
        // The new root directory gets the owner of the old one.
        let new = allocate(node, self.storage, self.vmid, size, self.owner, log)?;
        let filled = self.fill(node, &source, &new, interrupt, log);
        if let Err(failure) = filled {
            if let Err(second) = free(node, &new) {
                log(&second.text);
            }
            return Err(failure);
        }
        Ok((new, size))
    }

    /// Copies an image as a file. Of a copy that is not to be, nothing is said.
    fn whole(
        &self,
        node: &Node,
        source: &Source<'_>,
        interrupt: &Interrupt,
        log: &mut dyn FnMut(&str),
    ) -> NodeResult<VolumeId> {
        let mut said = Vec::new();
        let made = super::allocation::allocate_copy(
            node,
            self.storage,
            self.vmid,
            &source.path,
            interrupt,
            &mut |line| said.push(line.to_owned()),
        );
        if !matches!(made, Err(Failure { kind: FailureKind::UnknownFileSystem, .. })) {
            said.iter().for_each(|line| log(line));
        }
        made
    }

    fn fill(
        &self,
        node: &Node,
        source: &Source<'_>,
        new: &VolumeId,
        interrupt: &Interrupt,
        log: &mut dyn FnMut(&str),
    ) -> NodeResult<()> {
        let directory = node.layout.container(self.vmid);
        let places = Places { to: directory.join(".copy-volume-1"), from: directory.join(".copy-volume-2") };
        places.make()?;
        let target = Place::of(node, new)?;
        // Opened before: the system reports what it could not write since.
        let disk =
            File::open(&target.path).map_err(|error| Failure::io("can't open", &target.path, &error))?;
        let _mounts = PrivateMounts::enter()?;
        source.mount(&places.from)?;
        mount(&target.volume, &target.path, &places.to, false)?;
        let copied = self.files(&places, interrupt, log);
        let unmounted = [&places.to, &places.from].map(|path| {
            rustix::mount::unmount(path, UnmountFlags::NOFOLLOW)
                .map_err(|errno| Failure::io("can't unmount", path, &errno.into()))
        });
        interrupt.check()?;
        copied?;
        unmounted.into_iter().collect::<NodeResult<()>>()?;
        // After this the source may be removed. That a directory is unmounted writes nothing.
        rustix::fs::syncfs(&disk).map_err(|errno| Failure::io("can't sync", &target.path, &errno.into()))
    }

    fn files(&self, places: &Places, interrupt: &Interrupt, log: &mut dyn FnMut(&str)) -> NodeResult<()> {
        let mut from = places.from.as_os_str().to_owned();
        let tool = match self.bandwidth {
            None => Tool::new("cp", "coreutils")
                // Like `-a`, but it is an error if something cannot be preserved.
                .args(["-d", "-R", "-T", "--one-file-system"])
                .args(["--preserve=mode,ownership,timestamps,links,xattr", "--"]),
            // Only rsync supports a bandwidth limit.
            Some(limit) => {
                from.push("/");
                Tool::new("rsync", "rsync")
                    .args(["--stats", "-X", "-A", "--numeric-ids", "-aH", "--whole-file", "--sparse"])
                    .args(["--one-file-system", &format!("--bwlimit={limit}")])
            }
        };
        tool.arg(from).arg(&places.to).until(interrupt).keeping_locks().stream(log)
    }
}

/// What is read.
struct Source<'a> {
    node: &'a Node,
    volume: Volume,
    path: PathBuf,
    /// A writable copy of a snapshot, which is removed on drop.
    scratch: Option<VolumeId>,
}

impl<'a> Source<'a> {
    fn of(node: &'a Node, copy: &Copy<'_>) -> NodeResult<Self> {
        let place = Place::of(node, copy.source)?;
        place.volume.check_mountable("copy", copy.source)?;
        let Some(name) = copy.snapshot else {
            super::volume_path(node, copy.source)?;
            if matches!(place.volume, Volume::Image { .. }) {
                image::wait_until_free(&place.path)?;
            }
            return Ok(Self { node, volume: place.volume, path: place.path, scratch: None });
        };
        let scratch = super::snapshot::scratch(node, copy.source, name)?;
        let path = Place::of(node, &scratch)?.path;
        Ok(Self { node, volume: place.volume, path, scratch: Some(scratch) })
    }

    fn is_image(&self) -> bool {
        matches!(self.volume, Volume::Image { .. })
    }

    fn size(&self) -> NodeResult<u64> {
        match &self.volume {
            Volume::Image { .. } => std::fs::metadata(&self.path)
                .map(|meta| meta.len())
                .map_err(|error| Failure::io("can't stat", &self.path, &error)),
            Volume::Directory { .. } | Volume::File { .. } => Ok(0),
        }
    }

    fn mount(&self, place: &Path) -> NodeResult<()> {
        // An image whose journal is not empty cannot be mounted read-only: its host went down while it was in use, or
        // the snapshot was taken while it was.
        mount(&self.volume, &self.path, place, true)
            .or_else(|_| mount(&self.volume, &self.path, place, false))
    }
}

impl Drop for Source<'_> {
    fn drop(&mut self) {
        let Some(scratch) = &self.scratch else { return };
        if self.is_image() {
            // If this times out, removing the image will report it.
            let _ = image::wait_until_free(&self.path);
        }
        if let Err(failure) = free(self.node, scratch) {
            tracing::warn!("a copy of a snapshot is left: {}", failure.text);
        }
    }
}

/// Mounts a volume that can be mounted, for writing. Its container's lock is held, and the mount namespace is private.
///
/// # Errors
/// When it does not exist or cannot be mounted.
pub(crate) fn attach(node: &Node, volume: &VolumeId, directory: &Path) -> NodeResult<()> {
    let path = super::volume_path(node, volume)?;
    let place = Place::of(node, volume)?;
    place.volume.check_mountable("mount", volume)?;
    if matches!(place.volume, Volume::Image { .. }) {
        image::wait_until_free(&path)?;
    }
    mount(&place.volume, &path, directory, false)
}

fn mount(volume: &Volume, path: &Path, place: &Path, read_only: bool) -> NodeResult<()> {
    if matches!(volume, Volume::Image { .. }) {
        let mut options = vec!["nosuid", "nodev"];
        options.extend(read_only.then_some("ro"));
        return image::mount(path, place, &options);
    }
    rustix::mount::mount_bind(path, place)
        .and_then(|()| {
            let mut flags = MountFlags::BIND | MountFlags::NOSUID | MountFlags::NODEV;
            flags.set(MountFlags::RDONLY, read_only);
            rustix::mount::mount_remount(place, flags, "")
        })
        .map_err(|errno| Failure::io("can't mount", path, &errno.into()))
}

/// The directories that the two volumes are mounted on; removed at the end.
struct Places {
    from: PathBuf,
    to: PathBuf,
}

impl Places {
    fn make(&self) -> NodeResult<()> {
        [&self.from, &self.to].into_iter().try_for_each(|path| {
            std::fs::create_dir_all(path).map_err(|error| Failure::io("can't create", path, &error))
        })
    }
}

impl Drop for Places {
    fn drop(&mut self) {
        for path in [&self.from, &self.to] {
            // Not recursive, or something that is still mounted there would be lost.
            let _ = std::fs::remove_dir(path);
        }
        // The container's directory, if it was made for this.
        let _ = self.from.parent().map(std::fs::remove_dir);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::SmallDisk;

    /// Copies a volume on its own storage and returns the path of the copy and what was said.
    fn copy(disk: &SmallDisk, source: &VolumeId) -> (PathBuf, Vec<String>) {
        let vmid = "101".parse().unwrap();
        let copy = Copy { source, snapshot: None, storage: "st", vmid, owner: (0, 0), bandwidth: None };
        let mut said = Vec::new();
        let log = &mut |line: &str| said.push(line.to_owned());
        let (new, _) = copy.run(&disk.node, &Interrupt::watch(), log).unwrap();
        (super::super::volume_path(&disk.node, &new).unwrap(), said)
    }

    fn volume(disk: &SmallDisk, size: u64) -> (VolumeId, PathBuf) {
        let vmid = "101".parse().unwrap();
        let volume = allocate(&disk.node, "st", vmid, DiskSize(size), (0, 0), &mut |_| {}).unwrap();
        let path = super::super::volume_path(&disk.node, &volume).unwrap();
        (volume, path)
    }

    #[test]
    fn the_copy_of_a_directory_is_on_the_disk() {
        let disk = SmallDisk::with("");
        let (source, path) = volume(&disk, 0);
        std::fs::write(path.join("file"), vec![1; 1 << 20]).unwrap();
        let new = copy(&disk, &source).0.join("file");
        let mut lines = Vec::new();
        let shown = &mut |line: &str| lines.push(line.to_owned());
        Tool::new("filefrag", "e2fsprogs").arg("-v").arg(&new).stream(shown).unwrap();
        assert!(lines.iter().any(|line| line.contains("0.. ")), "{lines:?}");
        assert!(!lines.iter().any(|line| line.contains("delalloc")), "{lines:?}");
    }

    #[test]
    fn an_image_that_e2fsck_does_not_know_is_copied_file_by_file() {
        let disk = SmallDisk::with("");
        let (source, path) = volume(&disk, 8 << 20);
        let debugfs = |words: &str| {
            Tool::new("debugfs", "e2fsprogs").args(["-w", "-R", words]).arg(&path).run().unwrap();
        };
        debugfs("mkdir /kept");
        // A feature that a later version may have, and that the kernel need not know.
        debugfs("feature FEATURE_C31");
        let (new, said) = copy(&disk, &source);
        let mut listed = String::new();
        let ls = Tool::new("debugfs", "e2fsprogs").args(["-R", "ls /"]).arg(&new);
        ls.stream(&mut |line| listed.push_str(line)).unwrap();
        assert!(listed.contains("kept"), "{listed}");
        // Said once.
        let formatting = said.iter().filter(|line| line.starts_with("Formatting "));
        assert_eq!(formatting.count(), 1, "{said:?}");
    }

    #[test]
    fn the_copy_of_an_image_has_nothing_of_what_was_deleted() {
        use std::os::unix::fs::MetadataExt;
        let disk = SmallDisk::with("");
        let (source, path) = volume(&disk, 24 << 20);
        let secret = disk.path().join("secret");
        std::fs::write(&secret, b"deleted secret ".repeat(700_000)).unwrap();
        let debugfs = |words: &str| {
            Tool::new("debugfs", "e2fsprogs").args(["-w", "-R", words]).arg(&path).run().unwrap();
        };
        debugfs(&format!("write {} /secret", secret.display()));
        std::fs::remove_file(&secret).unwrap();
        debugfs("rm /secret");
        let new = copy(&disk, &source).0;
        let has =
            |path: &Path| std::fs::read(path).unwrap().windows(14).any(|part| part == b"deleted secret");
        assert!(has(&path) && !has(&new));
        assert!(std::fs::metadata(&new).unwrap().blocks() * 512 < 10 << 20);
    }
}
