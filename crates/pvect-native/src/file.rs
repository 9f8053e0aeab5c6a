//! Reads files with as few system calls as possible: a view of all containers reads thousands each second.

use std::io;
use std::mem::MaybeUninit;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::fd::OwnedFd;
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{read, retry_on_intr};

/// A buffer size, in bytes, that is enough for nearly every file of the kernel.
const ROOM: usize = 8 << 10;

/// Returns the text of a file that the kernel generates when it is read, such as one of a cgroup or a process.
///
/// Such a file is returned whole if it fits, so a read that does not fill the buffer was the last. That is not true for
/// tables such as `/proc/net/unix`. Source: `seq_read_iter` of the kernel's fs/seq_file.c.
pub(crate) fn kernel_text(path: &Path) -> Option<String> {
    String::from_utf8(kernel_bytes(path)?).ok()
}

/// As [`kernel_text`], for files that may contain names of any bytes.
pub(crate) fn kernel_bytes(path: &Path) -> Option<Vec<u8>> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()?;
    let mut room = [MaybeUninit::uninit(); ROOM];
    let (filled, left) =
        retry_on_intr(|| read(&file, &mut room[..]).map(|(a, b)| (a.to_vec(), b.len()))).ok()?;
    let mut bytes = filled;
    if left == 0 {
        while next(&file, &mut bytes).ok()? > 0 {}
    }
    Some(bytes)
}

/// Reads a whole file into a buffer and replaces what is in it.
///
/// # Errors
/// When it cannot be opened or read.
pub(crate) fn read_whole(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    let file = open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    bytes.clear();
    while next(&file, bytes)? > 0 {}
    Ok(())
}

/// Reads once; returns how much, 0 at the end of the file.
fn next(file: &OwnedFd, bytes: &mut Vec<u8>) -> io::Result<usize> {
    if bytes.len() == bytes.capacity() {
        bytes.reserve(ROOM.max(bytes.len()));
    }
    Ok(retry_on_intr(|| read(file, spare_capacity(bytes)))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_any_length_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        let mut bytes = b"earlier".to_vec();
        for length in [0, 1, ROOM - 1, ROOM, ROOM + 1, 5 * ROOM] {
            let text = "x".repeat(length);
            std::fs::write(&path, &text).unwrap();
            read_whole(&path, &mut bytes).unwrap();
            assert_eq!(bytes, text.as_bytes());
            assert_eq!(kernel_text(&path).unwrap(), text);
        }
        assert_eq!(
            read_whole(&dir.path().join("none"), &mut bytes).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
        assert_eq!(kernel_text(&dir.path().join("none")), None);
    }

    #[test]
    fn texts_of_the_kernel_come_whole() {
        for path in ["/proc/self/status", "/proc/self/stat", "/proc/uptime"] {
            let (once, plain) =
                (kernel_text(Path::new(path)).unwrap(), std::fs::read_to_string(path).unwrap());
            assert_eq!(once.lines().count(), plain.lines().count(), "{path}");
        }
    }
}
