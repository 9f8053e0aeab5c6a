//! Makes volumes larger: the image file, and the ext4 file system in it.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use pvect_core::VolumeId;

use super::PrivateMounts;
use super::dir::Volume;
use super::{locate, volume_path};
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, image};

/// A step of an image's length in bytes. Source: pve-storage pads what it hands to qemu-img.
const STEP: u64 = 1024;

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

/// Makes the file of a raw image larger, to at least `bytes` (whole KiB). Returns its path.
///
/// # Errors
/// `can't resize this image format` when it is no raw image; when it would become smaller; what the system says.
pub fn grow_image(node: &Node, volume: &VolumeId, bytes: u64) -> NodeResult<PathBuf> {
    let path = volume_path(node, volume)?;
    match locate(node, volume)?.0 {
        Volume::Image { name, .. } if name.ends_with(".raw") => {}
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

/// Fills an image that nobody has mounted: e2fsck, then resize2fs; what they print goes to `log`.
///
/// # Errors
/// `command '<program> ...' failed: exit code <n>`.
pub fn grow_unmounted(image: &Path, log: &mut dyn FnMut(&str)) -> NodeResult<()> {
    // 1: there were errors, and all are corrected.
    run("e2fsck", &["-f", "-y"], image, &[0, 1], log)?;
    run("resize2fs", &[], image, &[0], log)
}

/// Fills an image that is mounted somewhere, in a container's mount namespace: the loop device takes the file's new
/// length, and the kernel enlarges the file system while it is in use. resize2fs wants to see it mounted, so it is
/// mounted once more on the directory `place`, in a namespace that ends with this function.
///
/// # Errors
/// When the image is on no loop device, or a program fails; the file is larger then, the file system is not.
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
    let code = Tool::new(name, "e2fsprogs").args(words).arg(target).apart().merge(log)?;
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
