//! Base volumes of templates: renamed, and protected against any change.

use std::fs::{File, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pvect_core::{Vmid, VolumeId};
use rustix::fs::{CWD, IFlags, RenameFlags, ioctl_getflags, ioctl_setflags};

use super::dir::Volume;
use super::{Place, btrfs, locate};
use crate::error::os_text;
use crate::{Failure, Node, NodeResult};

/// A volume that is becoming a base: it has both the new name and the old one, so that the one in the configuration
/// always exists. On btrfs these are temporarily two subvolumes that share their blocks.
#[derive(Debug)]
pub struct Base {
    /// Its new name.
    pub volume: VolumeId,
    path: PathBuf,
    subvolume: bool,
    old: Option<PathBuf>,
}

/// Returns whether a volume can become the base of a template: it is a disk on a storage, and not the base of another
/// template.
///
/// A container's own base is accepted: it comes from an interrupted conversion.
///
/// # Errors
/// When the volume id is not valid.
pub fn can_be_base(node: &Node, volume: &VolumeId, vmid: Vmid) -> NodeResult<bool> {
    Ok(match locate(node, volume)?.0 {
        Volume::Image { vmid: owner, name } => !name.starts_with("base-") || owner == vmid,
        Volume::Directory { .. } => true,
        Volume::File { .. } => false,
    })
}

impl Base {
    /// Gives a volume its new name: an image `vm-N-disk-M.raw` becomes `base-N-disk-M.raw`, others keep theirs.
    ///
    /// Source of the names: pve-storage, `create_base`.
    ///
    /// # Errors
    /// `file '<path>' already exists`, `rename '<path>' to '<path>' failed - <reason>`.
    pub fn prepare(node: &Node, volume: &VolumeId) -> NodeResult<Self> {
        let place = Place::of(node, volume)?;
        let subvolume = place.subvolume.is_some();
        let path = place.subvolume.unwrap_or(place.path);
        let renamed = match &place.volume {
            Volume::Image { vmid, name } => {
                name.strip_prefix("vm-").map(|rest| (*vmid, format!("base-{rest}")))
            }
            Volume::Directory { .. } | Volume::File { .. } => None,
        };
        let Some((vmid, name)) = renamed else {
            return Ok(Self { volume: volume.clone(), path, subvolume, old: None });
        };
        let id = super::volume_id(volume.storage(), vmid, &name)?;
        if subvolume {
            let new_path = path.with_file_name(name.trim_end_matches(".raw"));
            add_copy(&path, &new_path)?;
            return Ok(Self { volume: id, path: new_path, subvolume, old: Some(path) });
        }
        let new_path = path.with_file_name(&name);
        let old = add_name(&path, &new_path)?.then_some(path);
        Ok(Self { volume: id, path: new_path, subvolume, old })
    }

    /// Removes the old name and protects the volume: an image gets the mode 0444, both kinds the flag "immutable"
    /// where the file system has it. What went wrong with that goes to `log`.
    ///
    /// The mode of a directory stays, unlike in the real one: it is the mode of `/` in each clone.
    ///
    /// # Errors
    /// When the old name cannot be removed.
    pub fn finish(self, log: &mut dyn FnMut(&str)) -> NodeResult<()> {
        if self.subvolume {
            self.old.as_deref().map_or(Ok(()), btrfs::delete)?;
            return btrfs::protect(&self.path).or_else(|failure| {
                log(&failure.text);
                Ok(())
            });
        }
        if let Some(old) = &self.old {
            std::fs::remove_file(old).map_err(|error| Failure::io("can't remove", old, &error))?;
        }
        if let Err(error) = protect(&self.path) {
            log(&format!("can't protect '{}' - {}", self.path.display(), os_text(&error)));
        }
        Ok(())
    }
}

/// Copies a subvolume to a new name, which shares its blocks.
///
/// An existing copy was made by an interrupted conversion. The container's lock is held and its configuration names the
/// old subvolume, so the copy can be replaced.
fn add_copy(path: &Path, new_path: &Path) -> NodeResult<()> {
    if btrfs::is_subvolume(new_path) {
        btrfs::delete(new_path)?;
    } else if std::fs::symlink_metadata(new_path).is_ok() {
        return Err(Failure::new(format!("file '{}' already exists", new_path.display())));
    }
    btrfs::copy(path, new_path)
}

/// Gives a file a second name, or just renames it if the file system does not have hard links. Returns whether the old
/// name still exists. Never overwrites another file.
fn add_name(path: &Path, new_path: &Path) -> NodeResult<bool> {
    let failed = |reason: &str| {
        let (path, new_path) = (path.display(), new_path.display());
        Failure::new(format!("rename '{path}' to '{new_path}' failed - {reason}"))
    };
    match std::fs::hard_link(path, new_path) {
        Ok(()) => return Ok(true),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let same = |a: &Metadata, b: &Metadata| (a.dev(), a.ino()) == (b.dev(), b.ino());
            return match (std::fs::symlink_metadata(path), std::fs::symlink_metadata(new_path)) {
                // A conversion was interrupted here.
                (Ok(old), Ok(new)) if same(&old, &new) => Ok(true),
                _ => Err(Failure::new(format!("file '{}' already exists", new_path.display()))),
            };
        }
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(failed(&os_text(&error))),
        // FAT and CIFS have no links.
        Err(_) => {}
    }
    rustix::fs::renameat_with(CWD, path, CWD, new_path, RenameFlags::NOREPLACE)
        .map_err(|errno| failed(&os_text(&errno.into())))?;
    Ok(false)
}

fn protect(path: &Path) -> std::io::Result<()> {
    if path.is_file() {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o444))?;
    }
    let file = File::open(path)?;
    match ioctl_getflags(&file).and_then(|flags| ioctl_setflags(&file, flags | IFlags::IMMUTABLE)) {
        // For file systems without such flags (tmpfs, NFS) the mode must be enough.
        Err(rustix::io::Errno::NOTTY | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        result => Ok(result?),
    }
}

/// A volume of a template without its write protection, for a change that does not affect its contents.
#[derive(Debug)]
pub(crate) struct Writable {
    path: PathBuf,
    subvolume: bool,
    is_base: bool,
}

impl Writable {
    /// Removes the write protection from a volume of a template; other volumes have none.
    ///
    /// # Errors
    /// When the volume id is not valid, or btrfs(8) fails.
    pub(crate) fn of(node: &Node, volume: &VolumeId, is_base: bool) -> NodeResult<Self> {
        let place = Place::of(node, volume)?;
        let subvolume = place.subvolume.is_some();
        let path = place.subvolume.unwrap_or(place.path);
        if is_base && subvolume {
            btrfs::unprotect(&path)?;
        } else if is_base {
            release(&path);
        }
        Ok(Self { path, subvolume, is_base })
    }

    /// Protects it again.
    ///
    /// # Errors
    /// When that fails.
    pub(crate) fn end(self) -> NodeResult<()> {
        let failed = |error: std::io::Error| Failure::io("can't protect", &self.path, &error);
        match (self.is_base, self.subvolume) {
            (false, _) => Ok(()),
            (true, true) => btrfs::protect(&self.path),
            (true, false) => protect(&self.path).map_err(failed),
        }
    }
}

/// Removes the flag "immutable" from a volume, so that it can be removed. Any other problem shows up then.
pub fn release(path: &Path) {
    let Ok(file) = File::open(path) else { return };
    let Ok(flags) = ioctl_getflags(&file) else { return };
    if flags.contains(IFlags::IMMUTABLE) {
        let _ = ioctl_setflags(&file, flags - IFlags::IMMUTABLE);
    }
}

#[cfg(test)]
mod tests {
    use super::super::{free, volume_path};
    use super::*;

    fn node() -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        std::fs::create_dir_all(node.layout.local_storage().join("images/202/subvol-202-disk-1.subvol"))
            .unwrap();
        std::fs::write(node.layout.local_storage().join("images/202/vm-202-disk-0.raw"), "x").unwrap();
        (dir, node)
    }

    fn id(text: &str) -> VolumeId {
        text.parse().unwrap()
    }

    #[test]
    fn a_base_is_renamed_read_only_and_can_be_removed() {
        let (_dir, node) = node();
        let image = id("local:202/vm-202-disk-0.raw");
        let old = volume_path(&node, &image).unwrap();
        let base = Base::prepare(&node, &image).unwrap();
        assert_eq!(base.volume.as_str(), "local:202/base-202-disk-0.raw");
        let (volume, path) = (base.volume.clone(), volume_path(&node, &base.volume).unwrap());
        assert!(old.exists());
        // Interrupted here, the conversion can be continued.
        drop(base);
        let mut said = Vec::new();
        let base = Base::prepare(&node, &image).unwrap();
        base.finish(&mut |line| said.push(line.to_owned())).unwrap();
        assert!(!old.exists());
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o444);
        if rustix::process::geteuid().is_root() {
            assert_eq!(said, Vec::<String>::new());
        }
        let base = Base::prepare(&node, &volume).unwrap();
        assert_eq!((&base.volume, &base.old), (&volume, &None));
        for (vmid, can) in [("202", true), ("203", false)] {
            assert_eq!(can_be_base(&node, &volume, vmid.parse().unwrap()).unwrap(), can);
        }
        free(&node, &volume).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_keeps_its_name_and_mode() {
        let (_dir, node) = node();
        let volume = id("local:202/subvol-202-disk-1.subvol");
        let path = volume_path(&node, &volume).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        let base = Base::prepare(&node, &volume).unwrap();
        assert_eq!(base.volume, volume);
        base.finish(&mut |_| {}).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode(), mode);
        free(&node, &volume).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn another_base_is_never_overwritten() {
        let (_dir, node) = node();
        let image = id("local:202/vm-202-disk-0.raw");
        let path = volume_path(&node, &image).unwrap();
        let taken = path.with_file_name("base-202-disk-0.raw");
        std::fs::write(&taken, "old").unwrap();
        assert_eq!(
            Base::prepare(&node, &image).unwrap_err().text,
            format!("file '{}' already exists", taken.display())
        );
        assert_eq!(std::fs::read(&taken).unwrap(), b"old");
        assert!(path.exists());
    }
}
