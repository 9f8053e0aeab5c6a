//! The process that works on a guest's files: leaves the host, takes the container's ids, does the work.

use std::io::{BufRead, Read, Write};
use std::os::fd::OwnedFd;
use std::path::Path;

use pvect_rootfs::guest::{Done, Job};
use pvect_sys::mounts;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, StatxAttributes, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::thread::{CapabilitySet, CapabilitySets, Gid, Uid, UnshareFlags};

use super::{GO, MAPPED, Said};
use crate::error::os_text;
use crate::rooted::Rooted;
use crate::{Failure, NodeResult};

/// The longest job that is read, bytes.
const LONGEST_JOB: u64 = 4 << 20;

/// Runs the helper verb and returns the exit status. The process must have no other thread.
pub(crate) fn run(ids: &str, root: &str, below: &[&str]) -> u8 {
    let is_mapped = ids == MAPPED;
    let done = wait_for_volumes().and_then(|()| {
        leave_the_host(Path::new(root), below, is_mapped)?;
        say(&Said::Ready)?;
        work(is_mapped)
    });
    let (said, exit) = match done {
        Ok(done) => (Said::Done(done), 0),
        Err(failure) => (Said::Failed(failure.text), 1),
    };
    if say(&said).is_err() { 1 } else { exit }
}

/// Waits until the volumes are mounted. If the parent ends before that, there is nothing to do.
fn wait_for_volumes() -> NodeResult<()> {
    let mut line = Vec::new();
    let mut stdin = std::io::stdin().lock().take(GO.len() as u64);
    match stdin.read_until(b'\n', &mut line) {
        Ok(_) if line == GO => Ok(()),
        _ => Err(Failure::new("nothing to do")),
    }
}

fn say(said: &Said) -> NodeResult<()> {
    let line = serde_json::to_string(said).unwrap_or_default() + "\n";
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(line.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Failure::new(format!("can't answer - {}", os_text(&error))))
}

fn failed(what: &str) -> impl Fn(Errno) -> Failure {
    move |errno| {
        let why = os_text(&errno.into());
        Failure::new(format!("can't confine the process that sets up the guest's files: {what} - {why}"))
    }
}

/// Leaves everything behind but the container's volumes; also the host's user namespace, if the container has an id
/// map.
fn leave_the_host(root: &Path, below: &[&str], is_mapped: bool) -> NodeResult<()> {
    #[expect(deprecated, reason = "its successor is unsafe for the sake of file descriptors only")]
    let unshare = rustix::thread::unshare;
    unshare(UnshareFlags::NEWNS).map_err(failed("its mount namespace"))?;
    let alone = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", alone).map_err(failed("its mounts"))?;
    let before =
        rustix::fs::openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| Failure::io("can't open the root file system", root, &errno.into()))?;
    let tree = volume(&before, root)?;
    let onto = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(&tree, "", &before, "", onto).map_err(failed("its root"))?;
    for path in below {
        let shown = Path::new(path);
        let volume = volume(&place(&before, shown)?, shown)?;
        rustix::mount::move_mount(&volume, "", &place(&tree, shown)?, "", onto)
            .map_err(failed("its volumes"))?;
    }
    rustix::process::fchdir(&tree).map_err(failed("its root"))?;
    match rustix::process::pivot_root(".", ".") {
        Ok(()) => {
            rustix::mount::unmount(".", UnmountFlags::DETACH).map_err(failed("the host's mounts"))?;
        }
        // The root of a host that runs from its initial RAM disk cannot be replaced, but something can be mounted over
        // it.
        Err(Errno::INVAL) => {
            rustix::mount::move_mount(&tree, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
                .and_then(|()| rustix::process::chroot("."))
                .map_err(failed("its root"))?;
        }
        Err(errno) => return Err(failed("its root")(errno)),
    }
    rustix::process::chdir("/").map_err(failed("its root"))?;
    if is_mapped {
        unshare(UnshareFlags::NEWUSER).map_err(failed("its user namespace"))?;
    }
    Ok(())
}

/// Opens a directory below a root; symlinks in its path are refused.
fn place(root: &OwnedFd, path: &Path) -> NodeResult<OwnedFd> {
    let below = path.strip_prefix("/").unwrap_or(path);
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    rustix::fs::openat2(
        root,
        below,
        OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
        resolve,
    )
    .map_err(|errno| Failure::io("can't open the mount point", path, &errno.into()))
}

/// A copy of the mount whose root this is, without what is mounted below it. It is mounted `noexec`, `nosuid` and
/// `nodev`.
fn volume(mounted: &OwnedFd, path: &Path) -> NodeResult<OwnedFd> {
    let stat = rustix::fs::statx(mounted, "", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS)
        .map_err(|errno| Failure::io("can't look at", path, &errno.into()))?;
    if !stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
        return Err(Failure::new(format!("no volume is mounted at '{}'", path.display())));
    }
    let flags =
        OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = rustix::mount::open_tree(mounted, "", flags).map_err(failed("its volumes"))?;
    mounts::set_attributes(&tree, mounts::NOSUID | mounts::NODEV | mounts::NOEXEC, false).map_err(
        |error| {
            let why = os_text(&error);
            Failure::new(format!(
                "can't restrict the mount of '{}' (it needs Linux 5.12 or newer) - {why}",
                path.display()
            ))
        },
    )?;
    Ok(tree)
}

/// Reads the job, takes the container's ids, and does it.
fn work(is_mapped: bool) -> NodeResult<Done> {
    let mut bytes = Vec::new();
    // When the job arrives, the id map has been written.
    let stdin = std::io::stdin().lock();
    stdin.take(LONGEST_JOB).read_to_end(&mut bytes).map_err(|_| Failure::new("bad job"))?;
    let job: Job = serde_json::from_slice(&bytes).map_err(|_| Failure::new("bad job"))?;
    if is_mapped {
        rustix::thread::set_thread_groups(&[])
            .and_then(|()| rustix::thread::set_thread_res_gid(Gid::ROOT, Gid::ROOT, Gid::ROOT))
            .and_then(|()| rustix::thread::set_thread_res_uid(Uid::ROOT, Uid::ROOT, Uid::ROOT))
            .map_err(failed("its ids"))?;
    }
    // Keep only the capabilities that are needed to write files of several owners.
    let needed = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::SYS_RESOURCE;
    let had = rustix::thread::capabilities(None).map_err(failed("its capabilities"))?;
    let kept = needed & had.permitted;
    let sets = CapabilitySets { effective: kept, permitted: kept, inheritable: CapabilitySet::empty() };
    rustix::thread::set_capabilities(None, sets).map_err(failed("its capabilities"))?;
    let root = Path::new("/");
    let files = Rooted::open(root, (0, 0))
        .map_err(|error| Failure::io("can't open the root file system", root, &error))?;
    job.perform(files)
}
