//! Copies the bytes of a file, within the kernel where it can, and keeps holes.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// How many bytes are copied between two checks for signals.
const CHUNK: usize = 8 << 20;
/// The buffer where the kernel cannot copy by itself, bytes.
const BUFFER: usize = 1 << 20;

/// Copies to the end; within the kernel if possible.
pub(super) fn copy(source: &File, target: &File, check: &dyn Fn() -> io::Result<()>) -> io::Result<()> {
    if copy_pieces(source, target, check)? {
        return Ok(());
    }
    loop {
        check()?;
        match rustix::fs::copy_file_range(source, None, target, None, CHUNK) {
            // It also returns 0 for files that have content but no size, like those of /proc; these are read below.
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(Errno::XDEV | Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS | Errno::BADF | Errno::PERM) => {
                break;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    let mut buffer = vec![0; BUFFER];
    let (mut source, mut target) = (source, target);
    loop {
        check()?;
        match source.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => target.write_all(&buffer[..count])?,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Copies a piece of at most `most` bytes and returns how much it was, 0 at the end of the source. `in_kernel` becomes
/// `false` where the kernel cannot copy by itself.
fn copy_piece(
    source: &File,
    target: &File,
    at: u64,
    most: u64,
    in_kernel: &mut bool,
    buffer: &mut Vec<u8>,
) -> io::Result<u64> {
    let most = usize::try_from(most).unwrap_or(CHUNK);
    if *in_kernel {
        let (mut from, mut to) = (at, at);
        // What fails here is tried again below, which says why.
        match rustix::fs::copy_file_range(source, Some(&mut from), target, Some(&mut to), most.min(CHUNK)) {
            Ok(count) if count > 0 => return Ok(count as u64),
            Err(Errno::INTR) => {}
            _ => *in_kernel = false,
        }
    }
    buffer.resize(BUFFER, 0);
    loop {
        match source.read_at(&mut buffer[..most.min(BUFFER)], at) {
            Ok(count) => return target.write_all_at(&buffer[..count], at).map(|()| count as u64),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Copies a regular file and keeps its holes; `false` when the two files are not of that kind, and nothing is copied.
pub(crate) fn copy_pieces(
    source: &File,
    target: &File,
    check: &dyn Fn() -> io::Result<()>,
) -> io::Result<bool> {
    let (meta, kind) = (source.metadata()?, target.metadata()?.file_type());
    let length = meta.len();
    // Files of /proc have content but no size.
    if !meta.is_file() || !kind.is_file() || length == 0 {
        return Ok(false);
    }
    let (mut in_kernel, mut buffer) = (true, Vec::new());
    let mut at = 0;
    while at < length {
        let start = match rustix::fs::seek(source, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole follows.
            Err(Errno::NXIO) => break,
            // The file system does not support holes: everything is data.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => at,
            Err(errno) => return Err(errno.into()),
        };
        let end = rustix::fs::seek(source, SeekFrom::Hole(start)).unwrap_or(length).min(length);
        at = start;
        while at < end {
            check()?;
            match copy_piece(source, target, at, end - at, &mut in_kernel, &mut buffer)? {
                // It became shorter meanwhile.
                0 => return target.set_len(at).map(|()| true),
                count => at += count,
            }
        }
    }
    target.set_len(length)?;
    Ok(true)
}
