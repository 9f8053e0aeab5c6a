//! Base volumes of templates: renamed, and protected against any change.

use std::fs::File;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pvect_core::VolumeId;
use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};

use super::dir::Volume;
use super::locate;
use crate::error::os_text;
use crate::{Failure, Node, NodeResult};

/// Returns whether a volume can become the base of a template: it belongs to a storage and is no base yet.
pub fn can_be_base(node: &Node, volume: &VolumeId) -> NodeResult<bool> {
    Ok(match locate(node, volume)?.0 {
        Volume::Image { name, .. } => !name.starts_with("base-"),
        Volume::Directory { .. } => true,
        Volume::File { .. } => false,
    })
}

/// Makes a volume a base and returns its new name: an image `vm-N-disk-M.raw` is renamed to `base-N-disk-M.raw` and
/// gets the mode 0444; a directory keeps its name. Both get the flag "immutable" where the file system has it (what
/// went wrong with that is told to `log`).
///
/// Source of names and modes: pve-storage, `create_base`. The mode of a directory stays, unlike there: it is the
/// mode of `/` in each clone.
///
/// # Errors
/// `create_base not possible with base image`, `file '<path>' already exists`, `rename '<path>' to '<path>' failed -
/// <reason>`.
pub fn create_base(node: &Node, volume: &VolumeId, log: &mut dyn FnMut(&str)) -> NodeResult<VolumeId> {
    let (parsed, path) = locate(node, volume)?;
    if !can_be_base(node, volume)? {
        return Err(Failure::new("create_base not possible with base image"));
    }
    let (new_volume, new_path) = match &parsed {
        Volume::Image { vmid, name } => {
            let name = match name.strip_prefix("vm-") {
                Some(rest) => format!("base-{rest}"),
                None => name.clone(),
            };
            let new_path = rename(&path, &name)?;
            let id = format!("{}:{vmid}/{name}", volume.storage());
            (id.parse().map_err(|error| Failure::new(format!("{error}")))?, new_path)
        }
        Volume::Directory { .. } | Volume::File { .. } => (volume.clone(), path),
    };
    if let Err(error) = protect(&new_path) {
        log(&format!("can't protect '{}' - {}", new_path.display(), os_text(&error)));
    }
    Ok(new_volume)
}

fn rename(path: &Path, name: &str) -> NodeResult<PathBuf> {
    let new_path = path.with_file_name(name);
    if new_path == path {
        return Ok(new_path);
    }
    // Never over another image, whoever makes it at this moment.
    let renamed = rustix::fs::renameat_with(
        rustix::fs::CWD,
        path,
        rustix::fs::CWD,
        &new_path,
        rustix::fs::RenameFlags::NOREPLACE,
    );
    match renamed {
        Ok(()) => Ok(new_path),
        Err(rustix::io::Errno::EXIST) => {
            Err(Failure::new(format!("file '{}' already exists", new_path.display())))
        }
        Err(errno) => Err(Failure::new(format!(
            "rename '{}' to '{}' failed - {}",
            path.display(),
            new_path.display(),
            os_text(&errno.into())
        ))),
    }
}

fn protect(path: &Path) -> std::io::Result<()> {
    if path.is_file() {
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o444))?;
    }
    let file = File::open(path)?;
    match ioctl_getflags(&file).and_then(|flags| ioctl_setflags(&file, flags | IFlags::IMMUTABLE)) {
        // File systems without such flags (tmpfs, NFS): the mode has to do.
        Err(rustix::io::Errno::NOTTY | rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => Ok(()),
        result => Ok(result?),
    }
}

/// Takes the flag "immutable" from a volume, so that it can be removed. Whatever else is wrong shows there.
pub fn release(path: &Path) {
    if let Ok(file) = File::open(path)
        && let Ok(flags) = ioctl_getflags(&file)
        && flags.contains(IFlags::IMMUTABLE)
    {
        let _ = ioctl_setflags(&file, flags - IFlags::IMMUTABLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let name: pvect_core::NodeName = "vm".parse().unwrap();
        let layout = crate::Layout::new(dir.path(), name.clone());
        std::fs::create_dir_all(layout.local_storage().join("images/202/subvol-202-disk-1.subvol")).unwrap();
        std::fs::write(layout.local_storage().join("images/202/vm-202-disk-0.raw"), "x").unwrap();
        (dir, Node { layout, name, helper: "/bin/false".into() })
    }

    #[test]
    fn a_base_is_renamed_read_only_and_can_be_removed() {
        let (_dir, node) = node();
        let image: VolumeId = "local:202/vm-202-disk-0.raw".parse().unwrap();
        let mut said = Vec::new();
        let base = create_base(&node, &image, &mut |line| said.push(line.to_owned())).unwrap();
        assert_eq!(base.as_str(), "local:202/base-202-disk-0.raw");
        let path = super::super::volume_path(&node, &base).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o444);
        assert_eq!(
            create_base(&node, &base, &mut |_| {}).unwrap_err().text,
            "create_base not possible with base image"
        );
        if rustix::process::geteuid().is_root() {
            assert_eq!(said, Vec::<String>::new());
        }
        super::super::free(&node, &base).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_directory_keeps_its_name_and_mode() {
        let (_dir, node) = node();
        let volume: VolumeId = "local:202/subvol-202-disk-1.subvol".parse().unwrap();
        let path = super::super::volume_path(&node, &volume).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(create_base(&node, &volume, &mut |_| {}).unwrap(), volume);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode(), mode);
        super::super::free(&node, &volume).unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn another_base_is_never_overwritten() {
        let (_dir, node) = node();
        let image: VolumeId = "local:202/vm-202-disk-0.raw".parse().unwrap();
        let path = super::super::volume_path(&node, &image).unwrap();
        let taken = path.with_file_name("base-202-disk-0.raw");
        std::fs::write(&taken, "old").unwrap();
        assert_eq!(
            create_base(&node, &image, &mut |_| {}).unwrap_err().text,
            format!("file '{}' already exists", taken.display())
        );
        assert_eq!(std::fs::read(&taken).unwrap(), b"old");
        assert!(path.exists());
    }
}
