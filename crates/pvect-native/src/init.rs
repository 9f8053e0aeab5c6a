//! The init of a container, identified with certainty.

use std::io;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, retry_on_intr};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::file::kernel_text;

/// A container's init: a handle of a process that was in the container's own cgroup.
#[derive(Debug)]
pub struct Init {
    pid: u32,
    handle: OwnedFd,
    directory: PathBuf,
}

impl Init {
    /// Opens a handle of a process and checks that it is in a cgroup.
    ///
    /// # Errors
    /// See [`crate::NativeReader::init`].
    pub(crate) fn of(proc_root: &Path, pid: u32, cgroup: &str) -> io::Result<Self> {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or(io::ErrorKind::NotFound)?;
        let handle = pidfd_open(number, PidfdFlags::empty()).map_err(|errno| match errno {
            Errno::SRCH | Errno::INVAL => io::ErrorKind::NotFound.into(),
            Errno::NOSYS => io::Error::new(
                io::ErrorKind::Unsupported,
                "the kernel has no pidfd_open, so a process cannot be known for certain (Linux 5.3 has it)",
            ),
            errno => io::Error::from(errno),
        })?;
        let init = Self { pid, handle, directory: proc_root.join(pid.to_string()) };
        let is_in = is_in_cgroup(proc_root, pid, cgroup);
        // The handle was opened first: if the process still lives, what was read belongs to it.
        init.check()?;
        if !is_in {
            let what =
                format!("process {pid}, which the container's monitor names, is not in its cgroup {cgroup}");
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, what));
        }
        Ok(init)
    }

    /// Returns the process id, which belongs to this process as long as it lives.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Checks that it lives: then what was read by its process id before was about it.
    ///
    /// # Errors
    /// `NotFound` when it has ended.
    pub fn check(&self) -> io::Result<()> {
        let now = Timespec { tv_sec: 0, tv_nsec: 0 };
        match retry_on_intr(|| poll(&mut [PollFd::new(&self.handle, PollFlags::IN)], Some(&now))) {
            Ok(0) => Ok(()),
            Ok(_) => Err(io::Error::new(io::ErrorKind::NotFound, "the container has just ended")),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Opens its root directory (`O_PATH`).
    ///
    /// # Errors
    /// `NotFound` when it has ended.
    pub fn root(&self) -> io::Result<OwnedFd> {
        self.open("root", OFlags::PATH | OFlags::DIRECTORY)
    }

    /// Opens one of its namespaces: `mnt`, `user`, `net`.
    ///
    /// # Errors
    /// `NotFound` when it has ended.
    pub fn namespace(&self, name: &str) -> io::Result<OwnedFd> {
        self.open(&format!("ns/{name}"), OFlags::RDONLY)
    }

    fn open(&self, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let opened = openat(CWD, self.directory.join(name), flags | OFlags::CLOEXEC, Mode::empty());
        self.check()?;
        Ok(opened?)
    }
}

/// Returns whether a process is in a cgroup or below it, in any hierarchy: only root puts one there.
///
/// Source: `hierarchy-ID:controller-list:cgroup-path` of cgroups(7).
pub(crate) fn is_in_cgroup(proc_root: &Path, pid: u32, cgroup: &str) -> bool {
    let text = kernel_text(&proc_root.join(pid.to_string()).join("cgroup")).unwrap_or_default();
    text.lines().any(|line| {
        let path = line.splitn(3, ':').nth(2).and_then(|path| path.strip_prefix('/'));
        let rest = path.and_then(|path| path.strip_prefix(cgroup));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::put;

    #[test]
    fn only_who_is_in_the_cgroup_is_believed() {
        let dir = tempfile::tempdir().unwrap();
        let pid = std::process::id();
        let file = format!("{pid}/cgroup");
        for (text, expected) in [
            ("0::/lxc/101\n", true),
            ("12:memory:/lxc/101/ns/init.scope\n0::/\n", true),
            ("0::/lxc/1011\n", false),
            ("0::/user.slice/lxc/101\n", false),
            ("1:name=x:/a:/lxc/101\n", false),
            ("0::/../lxc/101\n", false),
            ("", false),
        ] {
            put(dir.path(), &file, text);
            assert_eq!(is_in_cgroup(dir.path(), pid, "lxc/101"), expected, "{text}");
            let init = Init::of(dir.path(), pid, "lxc/101").map(|init| init.pid());
            match init {
                Ok(found) => assert!(expected && found == pid),
                Err(error) => {
                    assert!(!expected && error.kind() == io::ErrorKind::PermissionDenied, "{error}");
                }
            }
        }
    }

    #[test]
    fn one_that_has_ended_is_told() {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), &format!("{}/cgroup", child.id()), "0::/lxc/101\n");
        let init = Init::of(dir.path(), child.id(), "lxc/101").unwrap();
        init.check().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(init.check().unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(init.root().unwrap_err().kind(), io::ErrorKind::NotFound);
        let gone = Init::of(dir.path(), child.id(), "lxc/101").unwrap_err();
        assert_eq!(gone.kind(), io::ErrorKind::NotFound);
    }
}
