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
use rustix::fs::{FallocateFlags, IFlags, ioctl_getflags, ioctl_setflags};

use crate::tool::Tool;
use crate::{Failure, NodeResult};

pub(crate) mod copy;

/// How long an unmounted image may take to be free: the kernel writes its cached data first.
const FREE_TIME: Duration = Duration::from_secs(180);
/// How often to check meanwhile.
const STEP: Duration = Duration::from_millis(5);

/// How the space of a new image is reserved: `preallocation` of a storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preallocation {
    /// It is not reserved: the file is sparse.
    #[default]
    Off,
    /// Its blocks are allocated.
    Allocated,
    /// Like [`Preallocation::Allocated`]. The real node also writes the blocks, before mke2fs discards them.
    Full,
}

impl Preallocation {
    /// The name that qemu-img has for it.
    fn word(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Allocated => "falloc",
            Self::Full => "full",
        }
    }
}

/// What a storage's settings say about new images.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Form {
    /// Whether the `Formatting` line is printed, as pct does where it makes the file with qemu-img.
    pub announces: bool,
    /// How the space is reserved.
    pub preallocation: Preallocation,
    /// Whether btrfs overwrites blocks in place.
    pub nocow: bool,
}

/// Makes a sparse image as [`create_as`] does.
///
/// # Errors
/// As [`create_as`].
pub fn create(path: &Path, size: DiskSize, owner: (u32, u32), log: &mut dyn FnMut(&str)) -> NodeResult<()> {
    create_as(path, size, owner, Form { announces: true, ..Form::default() }, log)
}

/// Makes an image (mode 0640) and an ext4 file system in it, whose root directory has this owner (host ids).
///
/// `log` gets what pct prints: the `Formatting` line and four lines of mke2fs.
///
/// # Errors
/// When the file exists, the size exceeds what the file system of the directory can ever hold, there is no space to
/// reserve, or mke2fs fails; the file is then removed.
pub fn create_as(
    path: &Path,
    size: DiskSize,
    owner: (u32, u32),
    form: Form,
    log: &mut dyn FnMut(&str),
) -> NodeResult<()> {
    check_room(path, size)?;
    filled(path, size, form, log, |file, log| {
        file.set_len(size.0).map_err(|error| Failure::io("can't set the size of", path, &error))?;
        format(path, owner, log)
    })
}

/// Makes the file of an image (mode 0640) as the storage says, and fills it; it is removed again if that fails.
fn filled(
    path: &Path,
    size: DiskSize,
    form: Form,
    log: &mut dyn FnMut(&str),
    content: impl FnOnce(&File, &mut dyn FnMut(&str)) -> NodeResult<()>,
) -> NodeResult<()> {
    if form.preallocation != Preallocation::Off {
        check_free(path, size)?;
    }
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o640)
        .open(path)
        .map_err(|error| Failure::io("can't create", path, &error))?;
    if form.announces {
        let word = form.preallocation.word();
        log(&format!("Formatting '{}', fmt=raw size={} preallocation={word}", path.display(), size.0));
    }
    let made = begin(&file, path, form)
        .and_then(|()| content(&file, log))
        .and_then(|()| reserve(&file, path, size, form));
    if made.is_err() {
        let _ = std::fs::remove_file(path);
    }
    made
}

fn begin(file: &File, path: &Path, form: Form) -> NodeResult<()> {
    if form.nocow {
        // Must be set while the file is empty.
        ioctl_getflags(file)
            .and_then(|flags| ioctl_setflags(file, flags | IFlags::NOCOW))
            .map_err(|errno| Failure::io("can't set NOCOW of", path, &errno.into()))?;
    }
    Ok(())
}

fn reserve(file: &File, path: &Path, size: DiskSize, form: Form) -> NodeResult<()> {
    if form.preallocation != Preallocation::Off {
        // Data that is already written stays.
        rustix::fs::fallocate(file, FallocateFlags::empty(), 0, size.0)
            .map_err(|errno| Failure::io("can't reserve the room of", path, &errno.into()))?;
    }
    Ok(())
}

/// A sparse image may be larger than its disk, up to this many bytes: the metadata of a larger file system takes
/// gigabytes itself, and ext4 does not support larger files.
const LARGEST_SPARSE: u64 = 16 << 40;

/// Refuses a size that is larger than the disk and also too large for a sparse image.
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

/// Refuses a size that cannot be reserved now: the disk would be full before that is known, and containers that run
/// could not write meanwhile.
fn check_free(path: &Path, size: DiskSize) -> NodeResult<()> {
    let directory = path.parent().unwrap_or(Path::new("/"));
    let stat = rustix::fs::statvfs(directory)
        .map_err(|errno| Failure::io("can't stat the file system of", directory, &errno.into()))?;
    let free = stat.f_bavail.saturating_mul(stat.f_frsize);
    if size.0 > free {
        return Err(Failure::new(format!(
            "can't reserve {size} on the file system of '{}': {:.1} GiB are free",
            directory.display(),
            gib(free)
        )));
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn gib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 30)
}

/// Writes an ext4 file system. Tables are initialised lazily by the kernel and nothing is discarded: the file is new
/// and sparse. With `metadata_csum_seed`, the default of newer versions, the UUID of a copy can be changed without
/// writing all checksums again.
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
        // The real pct does not show a list of one.
        || line.starts_with('\t') && line.contains(", ")
}

/// Returns whether a file, by its real path, is attached to a loop device.
pub(crate) fn is_attached(file: &Path) -> bool {
    let devices = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let mut backing = devices.filter_map(|device| {
        let text = std::fs::read_to_string(device.path().join("loop/backing_file")).ok()?;
        Some(PathBuf::from(text.trim_end_matches('\n')))
    });
    backing.any(|path| path == file)
}

/// Waits until an image is not attached to a loop device any more, because nobody may read or write the file itself
/// while its file system is still being unmounted. For a killed process the kernel unmounts only after its locks are
/// released.
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
        create(&path, DiskSize(64 << 20), (100_000, 100_000), &mut |line| lines.push(line.to_owned()))
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
        let taken = create(&path, DiskSize(64 << 20), (0, 0), &mut |_| {}).unwrap_err();
        assert_eq!(taken.text, format!("can't create '{}' - File exists", path.display()));
    }

    #[test]
    fn the_room_of_an_image_is_reserved() {
        use std::os::unix::fs::MetadataExt;
        let dir = tempfile::tempdir().unwrap();
        for (preallocation, word) in [(Preallocation::Allocated, "falloc"), (Preallocation::Full, "full")] {
            let path = dir.path().join(word);
            let form = Form { announces: true, preallocation, nocow: false };
            let mut lines = Vec::new();
            let log = &mut |line: &str| lines.push(line.to_owned());
            create_as(&path, DiskSize(16 << 20), (0, 0), form, log).unwrap();
            assert!(lines[0].ends_with(&format!(" preallocation={word}")), "{}", lines[0]);
            assert!(std::fs::metadata(&path).unwrap().blocks() * 512 >= 16 << 20, "{word}");
            Tool::new("e2fsck", "e2fsprogs").arg("-fn").arg(&path).run().unwrap();
        }
    }

    #[test]
    fn nothing_is_reserved_beyond_what_is_free() {
        let disk = crate::fixture::SmallDisk::with("");
        let path = disk.path().join("vm-101-disk-0.raw");
        let before = disk.free();
        let form = Form { preallocation: Preallocation::Allocated, ..Form::default() };
        let failure =
            create_as(&path, DiskSize(before + 1024), (0, 0), form, &mut |_| panic!("it was begun"))
                .unwrap_err();
        let text = format!("on the file system of '{}': 0.0 GiB are free", disk.path().display());
        assert!(failure.text.ends_with(&text), "{}", failure.text);
        assert!(!path.exists());
        // A sparse one may be larger.
        create(&path, DiskSize(before + 1024), (0, 0), &mut |_| {}).unwrap();
    }

    #[test]
    fn a_size_beyond_the_disk_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("vm-101-disk-0.raw");
        let failure = create(&path, DiskSize(1 << 60), (0, 0), &mut |_| {}).unwrap_err();
        assert!(failure.text.contains("is larger than the file system of"), "{}", failure.text);
        assert!(!path.exists());
    }

    #[test]
    fn a_sparse_image_may_be_larger_than_the_disk() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let stat = rustix::fs::statvfs(dir.path()).unwrap();
        let larger = stat.f_blocks * stat.f_frsize + (1 << 30);
        assert!(larger < LARGEST_SPARSE, "no machine has such a memory");
        assert_eq!(check_room(&dir.path().join("vm-101-disk-0.raw"), DiskSize(larger)), Ok(()));
    }
}
