//! Makes volumes larger: the image file, and the ext4 file system in it.

use std::fs::OpenOptions;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use pvect_core::VolumeId;

use super::PrivateMounts;
use super::dir::Volume;
use super::{Place, StorageKind, locate, volume_path};
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, image};

/// An image's length is a multiple of this, in bytes. Source: pve-storage pads the size for qemu-img.
const STEP: u64 = 1024;
/// What resize2fs may leave unused at the end of an image: too little for a block group with its tables.
const TAIL: u64 = 4 << 20;

/// Returns a volume's size in bytes: of a raw image the file's length, of a directory 0, of other formats `None`.
///
/// # Errors
/// As [`volume_path`].
pub fn size(node: &Node, volume: &VolumeId) -> NodeResult<Option<u64>> {
    let path = volume_path(node, volume)?;
    Ok(match locate(node, volume)?.0 {
        Volume::Directory { .. } => Some(0),
        Volume::Image { name, .. } if name.ends_with(".raw") => {
            Some(std::fs::metadata(&path).map_err(|error| Failure::io("can't stat", &path, &error))?.len())
        }
        Volume::Image { .. } | Volume::File { .. } => None,
    })
}

/// Returns whether the ext4 file system of a raw image is clearly smaller than the image, because a resize was
/// interrupted before resize2fs. `false` for other file systems, and when the image cannot be read.
pub fn has_room(node: &Node, volume: &VolumeId) -> bool {
    let gap = || {
        let path = volume_path(node, volume).ok()?;
        let mut file = std::fs::File::open(path).ok()?;
        file.metadata().ok()?.len().checked_sub(ext4_size(&mut file)?)
    };
    gap().is_some_and(|gap| gap >= TAIL)
}

/// Reads the size of an ext4 file system in bytes from its superblock. Source: the kernel's ext4/globals.rst.
fn ext4_size(file: &mut (impl Read + Seek)) -> Option<u64> {
    let mut block = [0_u8; 1024];
    file.seek(SeekFrom::Start(1024)).ok()?;
    file.read_exact(&mut block).ok()?;
    let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    if block[0x38..0x3a] != [0x53, 0xef] {
        return None;
    }
    // The upper half is only valid with the feature 64bit.
    let high = if word(0x60) & 0x80 != 0 { word(0x150) } else { 0 };
    let blocks = u64::from(high) << 32 | u64::from(word(0x04));
    1024_u64.checked_shl(word(0x18))?.checked_mul(blocks)
}

/// Makes the file of a raw image larger, to at least `bytes` (whole KiB). Returns its path.
///
/// # Errors
/// `can't resize this image format` when it is not a raw image; when it would become smaller; or the system's error.
pub fn grow_image(node: &Node, volume: &VolumeId, bytes: u64) -> NodeResult<PathBuf> {
    let path = volume_path(node, volume)?;
    let place = Place::of(node, volume)?;
    match place.volume {
        Volume::Image { name, .. } if name.ends_with(".raw") => {}
        Volume::Directory { .. } if place.kind == StorageKind::Btrfs => {
            return Err(Failure::new("cannot resize subvolume - btrfs quotas are currently not supported"));
        }
        _ => return Err(Failure::new("can't resize this image format")),
    }
    let failed = |error: std::io::Error| Failure::io("can't resize", &path, &error);
    let file = OpenOptions::new().write(true).open(&path).map_err(failed)?;
    let length = bytes.checked_next_multiple_of(STEP).ok_or_else(|| Failure::new("invalid size string"))?;
    if length < file.metadata().map_err(failed)?.len() {
        return Err(Failure::new("unable to shrink disk size"));
    }
    image::check_room(&path, pvect_core::size::DiskSize(length))?;
    file.set_len(length).and_then(|()| file.sync_all()).map_err(failed)?;
    Ok(path)
}

/// Grows the file system of an unmounted image to fill it, by e2fsck and resize2fs; their output goes to `log`.
///
/// # Errors
/// `command '<program> ...' failed: exit code <n>`.
pub fn grow_unmounted(image: &Path, log: &mut dyn FnMut(&str)) -> NodeResult<()> {
    image::wait_until_free(image)?;
    // 1: there were errors, and all are corrected.
    run("e2fsck", &["-f", "-y"], image, &[0, 1], log)?;
    run("resize2fs", &[], image, &[0], log)
}

/// Grows the file system of an image that is mounted in a container's mount namespace: the loop device gets the file's
/// new length, and the kernel enlarges the file system while it is in use. resize2fs needs to see it mounted, so it is
/// mounted once more on the directory `place`, in a namespace that ends with this function.
///
/// # Errors
/// When the image is not on a loop device, or a program fails; the file is then larger, but the file system is not.
pub fn grow_mounted(image: &Path, place: &Path, log: &mut dyn FnMut(&str)) -> NodeResult<()> {
    let device = loop_device(Path::new("/sys/block"), image).ok_or_else(|| {
        Failure::new("internal error: CT running but mount point not attached to a loop device")
    })?;
    Tool::new("losetup", "mount").arg("--set-capacity").arg(&device).run()?;
    std::fs::create_dir_all(place).map_err(|error| Failure::io("can't create", place, &error))?;
    let _mounts = PrivateMounts::enter()?;
    Tool::new("mount", "mount").args(["-n", "-c"]).arg(&device).arg(place).run()?;
    run("resize2fs", &[], &device, &[0], log)
}

fn run(name: &str, words: &[&str], target: &Path, good: &[i32], log: &mut dyn FnMut(&str)) -> NodeResult<()> {
    let code = Tool::new(name, "e2fsprogs").args(words).arg(target).apart().keeping_locks().merge(log)?;
    if good.contains(&code) {
        return Ok(());
    }
    let words: String = words.iter().map(|word| format!("{word} ")).collect();
    Err(Failure::new(format!("command '{name} {words}{}' failed: exit code {code}", target.display())))
}

/// Finds the loop device that an image is on. `block` is `/sys/block`.
fn loop_device(block: &Path, image: &Path) -> Option<PathBuf> {
    // The kernel has the file's real path.
    let image = std::fs::canonicalize(image).ok()?;
    let mut names: Vec<String> = std::fs::read_dir(block)
        .ok()?
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| name.starts_with("loop"))
        .collect();
    names.sort();
    let backing = |name: &String| std::fs::read(block.join(name).join("loop/backing_file")).ok();
    use std::os::unix::ffi::OsStrExt;
    let name = names.into_iter().find(|name| {
        backing(name).is_some_and(|file| file.trim_ascii_end() == image.as_os_str().as_bytes())
    })?;
    Some(Path::new("/dev").join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_of_a_file_system_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.raw");
        image::create(&path, pvect_core::size::DiskSize(64 << 20), (0, 0), &mut |_| {}).unwrap();
        assert_eq!(ext4_size(&mut std::fs::File::open(&path).unwrap()), Some(64 << 20));
        for bytes in [vec![], vec![0; 2047], vec![0; 4096], vec![0xff; 4096]] {
            assert_eq!(ext4_size(&mut std::io::Cursor::new(bytes)), None);
        }
        let mut odd = vec![0xff; 4096];
        odd[1024 + 0x38..1024 + 0x3a].copy_from_slice(&[0x53, 0xef]);
        assert_eq!(ext4_size(&mut std::io::Cursor::new(odd)), None);
    }

    #[test]
    fn the_loop_device_of_an_image_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let image = dir.path().canonicalize().unwrap().join("a.raw");
        std::fs::write(&image, "").unwrap();
        for (name, file) in
            [("loop0", "/other.raw\n".to_owned()), ("loop12", format!("{}\n", image.display()))]
        {
            std::fs::create_dir_all(dir.path().join(name).join("loop")).unwrap();
            std::fs::write(dir.path().join(name).join("loop/backing_file"), file).unwrap();
        }
        std::fs::create_dir_all(dir.path().join("loop1")).unwrap();
        assert_eq!(loop_device(dir.path(), &image), Some("/dev/loop12".into()));
        assert_eq!(loop_device(dir.path(), &dir.path().join("loop0/loop/backing_file")), None);
        assert_eq!(loop_device(dir.path(), Path::new("/no/such")), None);
    }
}
