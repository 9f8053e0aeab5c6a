//! Raw ext4 images: made, formatted, loop-mounted.
//!
//! The real pct formats with the feature `mmp` (multiple mount protection), which makes fsck and resize wait for
//! many seconds. It guards images on shared storage that two nodes might mount. A `dir` storage of this node is
//! local and every change of a container holds its lock, so images are made without it.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pvect_core::size::DiskSize;

use crate::tool::Tool;
use crate::{Failure, NodeResult};

pub(crate) mod copy;

/// How long an unmounted image may take to be free: the kernel writes what it holds first.
const FREE_TIME: Duration = Duration::from_secs(180);
/// How often it is looked for.
const STEP: Duration = Duration::from_millis(5);

/// Makes a sparse image (mode 0640) and an ext4 file system in it, whose root directory has this owner (host ids).
///
/// `log` gets what pct prints: four lines of mke2fs, and before them the `Formatting` line of qemu-img if `announce`.
///
/// # Errors
/// When the file exists, the size exceeds what the file system of the directory can ever hold, or mke2fs fails;
/// the file is then removed.
pub fn create(
    path: &Path,
    size: DiskSize,
    owner: (u32, u32),
    announce: bool,
    log: &mut dyn FnMut(&str),
) -> NodeResult<()> {
    check_room(path, size)?;
    filled(path, size, announce, log, |file, log| {
        file.set_len(size.0)
            .map_err(|error| Failure::io("can't set the size of", path, &error))
            .and_then(|()| format(path, owner, log))
    })
}

/// Makes the file of an image (mode 0640) and has it filled; it is removed again when that fails.
fn filled(
    path: &Path,
    size: DiskSize,
    announce: bool,
    log: &mut dyn FnMut(&str),
    fill: impl FnOnce(&File, &mut dyn FnMut(&str)) -> NodeResult<()>,
) -> NodeResult<()> {
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| Failure::io("can't create", path, &error))?;
    if announce {
        log(&format!("Formatting '{}', fmt=raw size={} preallocation=off", path.display(), size.0));
    }
    let made = fill(&file, log);
    if made.is_err() {
        let _ = std::fs::remove_file(path);
    }
    made
}

/// A sparse image may be larger than the disk that it lies on, up to so many bytes; the notes of a larger file system take
/// gigabytes themselves, and ext4 has no larger files.
const LARGEST_SPARSE: u64 = 16 << 40;

/// Refuses a size that no disk of this machine has, and that is too large for an image with nothing in it.
pub(crate) fn check_room(path: &Path, size: DiskSize) -> NodeResult<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(directory)
        .map_err(|errno| Failure::io("can't stat the file system of", directory, &errno.into()))?;
    let total = stat.f_blocks.saturating_mul(stat.f_frsize);
    if size.0 > total.max(LARGEST_SPARSE) {
        return Err(Failure::new(format!(
            "a volume of {size} is larger than the file system of '{}' ({:.1} GiB)",
            directory.display(),
            gib(total)
        )));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// Writes an ext4 file system. Tables are initialised lazily by the kernel and nothing is discarded: the file is
/// new and sparse. With `metadata_csum_seed`, which newer versions have by default, a copy gets a UUID of its own without
/// all of its checksums being written again.
fn format(path: &Path, (uid, gid): (u32, u32), log: &mut dyn FnMut(&str)) -> NodeResult<()> {
    let extended = format!("root_owner={uid}:{gid},nodiscard,lazy_itable_init=1,lazy_journal_init=1");
    Tool::new("mkfs.ext4", "e2fsprogs")
        .args(["-F", "-O", "metadata_csum,metadata_csum_seed", "-E", &extended])
        .arg(path)
        .keeping_locks()
        .stream(&mut |line| {
            if is_told(line) {
                log(line);
            }
        })
}

/// The lines of mke2fs that pct shows.
fn is_told(line: &str) -> bool {
    line.starts_with("Creating filesystem with ")
        || line.starts_with("Filesystem UUID: ")
        || line.starts_with("Superblock backups stored on blocks:")
        // The real pct shows no list of one.
        || line.starts_with('\t') && line.contains(", ")
}

/// Returns whether a loop device has a file, by its real path.
pub(crate) fn is_attached(file: &Path) -> bool {
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut backing = devices.filter_map(|device| {
        let text = std::fs::read_to_string(device.path().join("loop/backing_file")).ok()?;
        Some(PathBuf::from(text.trim_end_matches('\n')))
    });
    backing.any(|path| path == file)
}

/// Waits until no loop device has an image: what is about to read or write the file itself must not meet a file system
/// that is being unmounted. The kernel does that for a killed process after its locks are gone.
///
/// # Errors
/// `'<path>' is still in use by a loop device`, after some seconds.
pub(crate) fn wait_until_free(image: &Path) -> NodeResult<()> {
    let file = image.canonicalize().unwrap_or_else(|_| image.to_owned());
    let deadline = Instant::now() + FREE_TIME;
    while is_attached(&file) {
        if Instant::now() >= deadline {
            return Err(Failure::new(format!("'{}' is still in use by a loop device", image.display())));
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// Mounts an image on a directory through a loop device that the kernel releases with the mount.
///
/// # Errors
/// When mount(8) fails.
pub fn mount(image: &Path, target: &Path, options: &[&str]) -> NodeResult<()> {
    let mut all = vec!["loop"];
    all.extend(options);
    Tool::new("mount", "mount")
        .args(["-n", "-c", "-o", &all.join(",")])
        .arg(image)
        .arg(target)
        .keeping_locks()
        .run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_told_lines_are_those_of_pct() {
        let output = "mke2fs 1.47.0 (5-Feb-2023)\nCreating filesystem with 65536 1k blocks and 16384 inodes\n\
            Filesystem UUID: 6b3beb2b\nSuperblock backups stored on blocks: \n\t8193, 24577\n\n\
            Allocating group tables: done\n";
        let told: Vec<&str> = output.lines().filter(|line| is_told(line)).collect();
        assert_eq!(
            told,
            [
                "Creating filesystem with 65536 1k blocks and 16384 inodes",
                "Filesystem UUID: 6b3beb2b",
                "Superblock backups stored on blocks: ",
                "\t8193, 24577"
            ]
        );
    }

    #[test]
    fn an_image_is_sparse_and_formatted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vm-101-disk-0.raw");
        let mut lines = Vec::new();
        create(&path, DiskSize(64 << 20), (100_000, 100_000), true, &mut |line| lines.push(line.to_owned()))
            .unwrap();
        assert_eq!(
            lines[0],
            format!("Formatting '{}', fmt=raw size=67108864 preallocation=off", path.display())
        );
        assert_eq!(lines[1], "Creating filesystem with 65536 1k blocks and 16384 inodes");
        let meta = std::fs::metadata(&path).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!(meta.mode() & 0o7777, 0o640);
        assert!(meta.blocks() * 512 < 16 << 20, "not sparse");
        let taken = create(&path, DiskSize(64 << 20), (0, 0), true, &mut |_| {}).unwrap_err();
        assert_eq!(taken.text, format!("can't create '{}' - File exists", path.display()));
    }

    #[test]
    fn a_size_beyond_the_disk_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vm-101-disk-0.raw");
        let failure = create(&path, DiskSize(1 << 60), (0, 0), true, &mut |_| {}).unwrap_err();
        assert!(failure.text.contains("is larger than the file system of"), "{}", failure.text);
        assert!(!path.exists());
    }
}
