//! Copies of images as files, which is faster than file by file: shared blocks where the file system can (reflink),
//! otherwise what is not a hole.
//!
//! The copy is a file system of its own: it gets a new UUID, after its journal was replayed.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use pvect_core::size::DiskSize;

use super::{Form, check_room, filled};
use crate::interrupt::Interrupt;
use crate::tool::Tool;
use crate::{Failure, FailureKind, NodeResult, transfer};

/// Where the superblock of an ext file system begins, and how long it is, bytes.
const SUPERBLOCK: (u64, usize) = (1024, 1024);
/// Its magic number and the offset of it. Source of this and of what follows: the kernel's ext4/super.rst.
const MAGIC: (usize, [u8; 2]) = (0x38, [0x53, 0xef]);
/// `s_feature_incompat` with `INCOMPAT_CSUM_SEED`: checksums do not depend on the UUID.
const INCOMPAT: usize = 0x60;
const CSUM_SEED: u32 = 0x2000;
/// `s_feature_ro_compat` with `RO_COMPAT_METADATA_CSUM`.
const RO_COMPAT: usize = 0x64;
const METADATA_CSUM: u32 = 0x400;

/// Exit statuses of e2fsck(8): errors were left, and from here on it could not do its work, for one because of a feature
/// that it does not know.
const UNCORRECTED: i32 = 4;
const UNCHECKED: i32 = 8;

/// Returns whether an image holds an ext2, ext3 or ext4 file system from its first byte on.
pub(crate) fn is_ext(image: &Path) -> bool {
    File::open(image).ok().and_then(|file| superblock(&file)).is_some()
}

fn superblock(file: &File) -> Option<[u8; SUPERBLOCK.1]> {
    let mut block = [0; SUPERBLOCK.1];
    file.read_exact_at(&mut block, SUPERBLOCK.0).ok()?;
    let (at, magic) = MAGIC;
    (block[at..at + 2] == magic).then_some(block)
}

/// Makes a copy of an image with an ext file system, which nobody may write to meanwhile. `log` gets the `Formatting`
/// line if the form asks for it.
///
/// # Errors
/// When the copy exists or cannot be written, or the file system is damaged; `interrupted by signal`. When e2fsck cannot
/// tell, [`FailureKind::UnknownFileSystem`]. Nothing is left then.
pub(crate) fn run(
    source: &Path,
    path: &Path,
    form: Form,
    interrupt: &Interrupt,
    log: &mut dyn FnMut(&str),
) -> NodeResult<()> {
    let from = File::open(source).map_err(|error| Failure::io("can't open", source, &error))?;
    let length = from.metadata().map_err(|error| Failure::io("can't stat", source, &error))?.len();
    check_room(path, DiskSize(length))?;
    filled(path, DiskSize(length), form, log, |to, log| {
        copy(&from, to, interrupt).map_err(|error| Failure::io("can't write", path, &error))?;
        interrupt.check()?;
        make_its_own(source, path, &from, log)?;
        // As when a copied file system is unmounted: after this the source may be removed.
        to.sync_all().map_err(|error| Failure::io("can't sync", path, &error))
    })
}

fn copy(from: &File, to: &File, interrupt: &Interrupt) -> std::io::Result<()> {
    if rustix::fs::ioctl_ficlone(to, from).is_ok() {
        return Ok(());
    }
    transfer::copy::copy_pieces(from, to, &|| transfer::heed(interrupt)).map(drop)
}

/// Replays the journal of a copy, frees the blocks that nothing uses (what was deleted is in them) and gives it a UUID of
/// its own: two file systems with one UUID confuse whoever looks for one by it.
fn make_its_own(source: &Path, path: &Path, from: &File, log: &mut dyn FnMut(&str)) -> NodeResult<()> {
    let mut said = Vec::new();
    // Only a whole check knows what nothing uses.
    let check = Tool::new("e2fsck", "e2fsprogs").args(["-f", "-p", "-E", "discard"]).arg(path);
    let (code, errors) = check.apart().keeping_locks().outcome(&mut |line| said.push(line.to_owned()))?;
    if code >= UNCHECKED {
        let text = format!("can't check the file system of '{}': e2fsck ended with {code}", source.display());
        return Err(Failure::new(text).of_kind(FailureKind::UnknownFileSystem));
    }
    if code & UNCORRECTED != 0 {
        said.iter().for_each(|line| log(line));
        let (source, reason) = (source.display(), errors.trim_end());
        return Err(Failure::new(format!(
            "the file system of '{source}' is damaged: e2fsck ended with {code} {reason}"
        )));
    }
    let mut tune = Tool::new("tune2fs", "e2fsprogs");
    if depends_on_uuid(from) {
        // Otherwise all checksums would have to be written again, and tune2fs 1.47.2 forgets those of the orphan file.
        tune = tune.args(["-O", "metadata_csum_seed"]);
    }
    tune.args(["-U", "random"]).arg(path).apart().keeping_locks().run()
}

/// Whether the checksums of a file system are made from its UUID.
fn depends_on_uuid(image: &File) -> bool {
    let Some(block) = superblock(image) else { return false };
    let word = |at: usize| u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]]);
    word(RO_COMPAT) & METADATA_CSUM != 0 && word(INCOMPAT) & CSUM_SEED == 0
}
