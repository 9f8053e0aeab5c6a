//! Attributes of mounts: mount_setattr(2).

use std::io;
use std::os::fd::{AsFd, AsRawFd};

/// `MOUNT_ATTR_RDONLY` of linux/mount.h.
pub const RDONLY: u64 = 0x1;
/// `MOUNT_ATTR_NOSUID` of linux/mount.h.
pub const NOSUID: u64 = 0x2;
/// `MOUNT_ATTR_NODEV` of linux/mount.h.
pub const NODEV: u64 = 0x4;
/// `MOUNT_ATTR_NOEXEC` of linux/mount.h.
pub const NOEXEC: u64 = 0x8;

/// Sets attributes of a mount (a descriptor of its root, such as one of open_tree(2) or fsmount(2)), and of those below
/// it if `recursive`. Other attributes stay.
///
/// Source: mount_setattr(2); Linux 5.12 and later.
///
/// # Errors
/// Those of the system call: `EPERM` without `CAP_SYS_ADMIN`, `EINVAL` when the descriptor is not the root of a mount.
pub fn set_attributes(mount: impl AsFd, set: u64, recursive: bool) -> io::Result<()> {
    let attributes = libc::mount_attr { attr_set: set, attr_clr: 0, propagation: 0, userns_fd: 0 };
    let below = if recursive { libc::AT_RECURSIVE } else { 0 };
    let flags = libc::AT_EMPTY_PATH | below;
    // SAFETY: the path is a NUL-terminated literal, and the structure lives through the call and is read only, within the
    // size that is given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    #[test]
    fn what_is_no_mount_is_refused() {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        let error = super::set_attributes(&reader, super::NOSUID, false).unwrap_err();
        assert!(matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EPERM | libc::EBADF)), "{error}");
    }
}
