//! What is mounted, by the kernel's table of mounts, and unmounting it.

use std::fs::File;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;

use crate::{Failure, NodeResult};

/// Unmounts everything at and below `root`, last mounted first.
///
/// # Errors
/// When something is still in use.
pub fn unmount_all(root: &Path) -> NodeResult<()> {
    for mounted in mounted_below(root)?.iter().rev() {
        unmount(mounted).map_err(|errno| Failure::io("can't unmount", mounted, &errno.into()))?;
    }
    Ok(())
}

/// Unmounts one file system. A child that another thread forks holds everything that this process has open until its
/// program is executed, so a busy file system is tried again for a moment.
fn unmount(mounted: &Path) -> rustix::io::Result<()> {
    /// About a second in all.
    const TRIES: u32 = 100;
    for _ in 1..TRIES {
        match rustix::mount::unmount(mounted, UnmountFlags::NOFOLLOW) {
            Err(rustix::io::Errno::BUSY) => std::thread::sleep(std::time::Duration::from_millis(10)),
            other => return other,
        }
    }
    rustix::mount::unmount(mounted, UnmountFlags::NOFOLLOW)
}

/// Returns what is mounted at and below a path, in the order in which it was mounted.
///
/// # Errors
/// When the table of mounts cannot be read.
pub fn mounted_below(path: &Path) -> NodeResult<Vec<PathBuf>> {
    mounted_below_in(Path::new("/proc/thread-self/mountinfo"), path)
}

/// As [`mounted_below`]; `table` is the file with the mounts.
///
/// # Errors
/// As [`mounted_below`].
pub fn mounted_below_in(table: &Path, path: &Path) -> NodeResult<Vec<PathBuf>> {
    let read = File::open(table).and_then(std::io::read_to_string);
    let text = read.map_err(|error| Failure::io("can't read", table, &error))?;
    // The table contains real paths.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    Ok(text.lines().filter_map(mount_point).filter(|mounted| mounted.starts_with(&path)).collect())
}

/// Returns whether something is mounted at a path, symlinks resolved.
///
/// # Errors
/// When the mounts cannot be read.
pub(in crate::storage) fn is_mounted(path: &Path) -> NodeResult<bool> {
    let Ok(real) = path.canonicalize() else { return Ok(false) };
    Ok(mounted_below_in(Path::new("/proc/thread-self/mountinfo"), &real)?.contains(&real))
}

/// The mount point of a line of mountinfo, its octal escapes decoded. Source: proc(5).
fn mount_point(line: &str) -> Option<PathBuf> {
    let field = line.split(' ').nth(4)?.as_bytes();
    let mut bytes = Vec::with_capacity(field.len());
    let mut index = 0;
    while index < field.len() {
        let escaped = field.get(index + 1..index + 4).filter(|_| field[index] == b'\\');
        let code = escaped.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(code.unwrap_or(field[index]));
        index += if code.is_some() { 4 } else { 1 };
    }
    let text: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(bytes);
    Some(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo_is_decoded() {
        let line = r"36 35 98:0 /mnt1 /mnt\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        assert_eq!(mount_point(line), Some(PathBuf::from("/mnt 2")));
        assert_eq!(mount_point(r"36 35 98:0 / /a\9 rw"), Some(PathBuf::from(r"/a\9")));
        assert_eq!(mount_point("36 35"), None);
    }
}
