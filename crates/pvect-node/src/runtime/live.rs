//! Mount points and devices that are brought into a running container.
//!
//! As the real pct does it: the thing is mounted ("staged") in the mount namespace of LXC's monitor, where it stays
//! until the container ends, so that a guest that unmounts it frees no loop device. That namespace is ours: a start
//! made it, and nothing of the guest is in it. A clone of that mount is then moved into the container's mount
//! namespace, where no program is run and no path is looked up: what is needed there is opened before, below the root
//! directory of the container's init. Source: `mountpoint_hotplug` and `device_passthrough_hotplug` of pve-container;
//! open_tree(2), move_mount(2).

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Component, Path, PathBuf};

use pvect_core::property::{DeviceEntry, MountPoint};
use pvect_core::{ContainerConfig, Vmid};
use pvect_native::{Cgroups, Version};
use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::io::Errno;
use rustix::mount::{MoveMountFlags, OpenTreeFlags, UnmountFlags};
use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use super::devices::{self, Device};
use super::{names, small_file_system};
use crate::idmap::IdMap;
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, storage};

/// Mounts `mp[n]` in a running container.
///
/// # Errors
/// When the volume cannot be mounted, or its path leads through a symlink; nothing stays mounted then.
pub(super) fn mount(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    key: &str,
    point: &MountPoint,
) -> NodeResult<()> {
    storage::check_mount(config, key, &point.fs)?;
    let places = Places::of(node, vmid)?;
    let (path, owner) = (PathBuf::from(&point.path), IdMap::of(config).root());
    let stage = node.layout.container(vmid).join("staged");
    apart(|| {
        enter(&places.monitor)?;
        let staged = stage_directory(&stage, key)?;
        let undo = |failure: Failure| {
            let _ = unstage(&staged);
            failure
        };
        storage::stage(node, key, &point.fs, &staged).map_err(undo)?;
        // It is unmounted later in the monitor's namespace, which this thread has left by then.
        let moved = clone_of(&staged).and_then(|tree| {
            let target = make_path(&places.root, &path, owner)?;
            if point.keep_attrs {
                take_attributes(&target, &tree)
                    .map_err(|errno| failed("can't set the owner of", &path, errno))?;
            }
            enter(&places.container)?;
            move_tree(&tree, &target, &path)
        });
        moved.map_err(|failure| {
            let _ = enter(&places.monitor);
            undo(failure)
        })
    })
}

/// Removes a mount that [`mount`] made.
///
/// # Errors
/// When the container has ended meanwhile, or the mount does not exist.
pub(super) fn unmount(node: &Node, vmid: Vmid, key: &str, point: &MountPoint) -> NodeResult<()> {
    let places = Places::of(node, vmid)?;
    let staged = node.layout.container(vmid).join("staged").join(key);
    let path = Path::new("/").join(&point.path);
    apart(|| {
        let mounted = open_inside(&places.root, &path);
        enter(&places.container)?;
        // Entering has made the namespace's root the working directory, so a relative path names what is unmounted.
        let gone = mounted
            .and_then(|mounted| rustix::process::fchdir(&mounted))
            .and_then(|()| rustix::mount::unmount(".", UnmountFlags::DETACH | UnmountFlags::NOFOLLOW))
            .map_err(|errno| failed("can't unmount", &path, errno));
        enter(&places.monitor)?;
        gone.and(unstage(&staged))
    })
}

/// Makes the device node of `dev[n]` in a running container and lets its processes use it.
///
/// # Errors
/// When there is no such device, or its node cannot be made in the container.
pub(super) fn device(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    key: &str,
    entry: &DeviceEntry,
) -> NodeResult<()> {
    let device = Device::find(key, entry)?;
    let places = Places::of(node, vmid)?;
    let (directory, map) = (node.layout.container(vmid), IdMap::of(config));
    apart(|| {
        enter(&places.monitor)?;
        devices::make_place(&directory)?;
        let made = devices::node_path(&directory, key);
        let _ = std::fs::remove_file(&made);
        devices::make_node(&directory, key, entry, &map)?;
        let moved = clone_of(&made).and_then(|tree| {
            let path = Path::new(&entry.path);
            let target = make_file(&places.root, path, map.root())?;
            enter(&places.container)?;
            move_tree(&tree, &target, path)
        });
        moved.inspect_err(|_| {
            let _ = enter(&places.monitor).map(|()| std::fs::remove_file(&made));
        })
    })?;
    allow(node, vmid, device, entry.deny_write)
}

/// Runs something in the mount namespace of a running container's monitor. The container's volumes are mounted there as
/// its start mounted them, and the guest cannot mount anything there.
///
/// # Errors
/// When the container has ended meanwhile, and those of `body`.
pub(super) fn beside_monitor<T: Send>(
    node: &Node,
    vmid: Vmid,
    body: impl FnOnce() -> NodeResult<T> + Send,
) -> NodeResult<T> {
    let places = Places::of(node, vmid)?;
    apart(|| {
        enter(&places.monitor)?;
        body()
    })
}

/// The mount namespaces of a running container, and the root directory that its processes see.
struct Places {
    monitor: OwnedFd,
    container: OwnedFd,
    root: OwnedFd,
}

impl Places {
    fn of(node: &Node, vmid: Vmid) -> NodeResult<Self> {
        let stopped = || Failure::new(format!("CT {vmid} not running"));
        let init = super::init(node, vmid)?;
        let monitor = parent(init.pid()).ok_or_else(stopped)?;
        let places = Self {
            monitor: namespace(&monitor.to_string())?,
            container: super::opened(vmid, init.namespace("mnt"))?,
            root: super::opened(vmid, init.root())?,
        };
        // Init is still alive, so its parent's id has belonged to the parent all the time. A process that adopts
        // orphans is not a monitor.
        if parent(init.pid()) != Some(monitor) || init.check().is_err() || monitor == 1 {
            return Err(stopped());
        }
        let number = |place: &OwnedFd| rustix::fs::fstat(place).map(|stat| (stat.st_dev, stat.st_ino));
        if number(&places.monitor).ok() == number(&namespace("self")?).ok() {
            return Err(Failure::new(format!("the monitor of CT {vmid} has no mount namespace of its own")));
        }
        Ok(places)
    }
}

fn namespace(process: &str) -> NodeResult<OwnedFd> {
    let path = format!("/proc/{process}/ns/mnt");
    rustix::fs::openat(CWD, path.as_str(), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|errno| failed("can't open", Path::new(&path), errno))
}

/// The parent of a process. Source: proc_pid_status(5).
fn parent(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn failed(what: &str, path: &Path, errno: Errno) -> Failure {
    Failure::io(what, path, &errno.into())
}

/// Runs something in a thread of its own, which may enter other mount namespaces.
fn apart<T: Send>(body: impl FnOnce() -> NodeResult<T> + Send) -> NodeResult<T> {
    let run = || {
        #[expect(
            deprecated,
            reason = "its successor is unsafe for the sake of file descriptors only, not of directories"
        )]
        rustix::thread::unshare(UnshareFlags::FS)
            .map_err(|errno| Failure::new(format!("can't leave the host's directories - {errno}")))?;
        body()
    };
    let ended = std::thread::scope(|scope| scope.spawn(run).join());
    ended.unwrap_or_else(|_| Err(Failure::new("the thread of a mount has failed")))
}

fn enter(place: &OwnedFd) -> NodeResult<()> {
    move_into_link_name_space(place.as_fd(), Some(LinkNameSpaceType::Mount)).map_err(|errno| {
        let why = crate::error::os_text(&errno.into());
        Failure::new(format!("can't enter the container's mount namespace - {why}"))
    })
}

/// Opens what is mounted at a path of the container (`O_PATH`); symlinks are refused.
fn open_inside(root: &OwnedFd, path: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(root, path, flags, Mode::empty(), resolve)
}

/// A directory for one mount on a small file system that only the monitor's namespace has.
fn stage_directory(stage: &Path, key: &str) -> NodeResult<PathBuf> {
    small_file_system::mount(stage)?;
    let directory = stage.join(key);
    match std::fs::create_dir(&directory) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(Failure::io("can't create", &directory, &error))
        }
        _ => Ok(directory),
    }
}

fn unstage(staged: &Path) -> NodeResult<()> {
    match rustix::mount::unmount(staged, UnmountFlags::NOFOLLOW) {
        Ok(()) | Err(Errno::INVAL | Errno::NOENT) => {}
        Err(errno) => return Err(failed("can't unmount", staged, errno)),
    }
    let _ = std::fs::remove_dir(staged);
    Ok(())
}

fn clone_of(mounted: &Path) -> NodeResult<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    rustix::mount::open_tree(CWD, mounted, flags)
        .map_err(|errno| or_too_old("can't clone the mount at", mounted, errno))
}

fn move_tree(tree: &OwnedFd, target: &OwnedFd, path: &Path) -> NodeResult<()> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", target, "", flags)
        .map_err(|errno| or_too_old("can't move a mount into the container at", path, errno))
}

/// As [`failed`], but says so if the kernel is too old.
fn or_too_old(what: &str, path: &Path, errno: Errno) -> Failure {
    if errno == Errno::NOSYS {
        return Failure::new(format!(
            "{what} '{}' - the kernel lacks open_tree and move_mount (they need Linux 5.2 or newer): stop the container first",
            path.display()
        ));
    }
    failed(what, path, errno)
}

/// Gives what is mounted the owner and mode of the directory that it covers.
fn take_attributes(from: &OwnedFd, tree: &OwnedFd) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(from)?;
    let (user, group) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    rustix::fs::chownat(tree, "", Some(user), Some(group), AtFlags::EMPTY_PATH)?;
    rustix::fs::chmodat(tree, ".", Mode::from_raw_mode(stat.st_mode), AtFlags::empty())
}

/// The names of a path below the root, `.` left out.
fn components(path: &Path) -> Vec<&std::ffi::OsStr> {
    let normal = |component| if let Component::Normal(name) = component { Some(name) } else { None };
    path.components().filter_map(normal).collect()
}

/// Opens a directory of the container and makes what is missing of it; symlinks are refused.
fn make_path(root: &OwnedFd, path: &Path, owner: (u32, u32)) -> NodeResult<OwnedFd> {
    let mut shown = PathBuf::from("/");
    let mut current = root.try_clone().map_err(|error| Failure::io("can't open", &shown, &error))?;
    for name in components(path) {
        shown.push(name);
        current = match open_directory(&current, name) {
            Err(Errno::NOENT) => {
                as_owner(owner, || rustix::fs::mkdirat(&current, name, Mode::from_raw_mode(0o755)))
                    .and_then(|()| open_directory(&current, name))
                    .map_err(|errno| failed("can't create", &shown, errno))?
            }
            Err(Errno::LOOP | Errno::NOTDIR) => {
                return Err(Failure::new(format!("symlink encountered at: /{}", shown.display())));
            }
            other => other.map_err(|errno| failed("can't open", &shown, errno))?,
        };
    }
    Ok(current)
}

fn open_directory(parent: &OwnedFd, name: &std::ffi::OsStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    rustix::fs::openat2(parent, name, flags, Mode::empty(), resolve)
}

/// Opens a regular file of the container to mount a node over; a missing one is made.
fn make_file(root: &OwnedFd, path: &Path, owner: (u32, u32)) -> NodeResult<OwnedFd> {
    let parent = make_path(root, path.parent().unwrap_or(Path::new("/")), owner)?;
    let name =
        path.file_name().ok_or_else(|| Failure::new(format!("'{}' is not a device", path.display())))?;
    let create = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        rustix::fs::openat2(
            &parent,
            name,
            flags,
            Mode::empty(),
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        )
    };
    match as_owner(owner, || rustix::fs::openat(&parent, name, create, Mode::from_raw_mode(0o644))) {
        Ok(_) | Err(Errno::EXIST) => open().map_err(|errno| failed("can't open", path, errno)),
        Err(errno) => Err(failed("can't create", path, errno)),
    }
}

/// Does something as the container's root. Only then can it make files on something that was mounted inside a user
/// namespace, and they have the right owner from the start. Only this thread changes its user.
fn as_owner<T>(owner: (u32, u32), body: impl FnOnce() -> Result<T, Errno>) -> Result<T, Errno> {
    let (user, group) = owner;
    let become_id = |user: u32, group: u32, group_first: bool| -> Result<(), Errno> {
        let users = || rustix::thread::set_thread_res_uid(None, Uid::from_raw(user), None);
        let groups = || rustix::thread::set_thread_res_gid(None, Gid::from_raw(group), None);
        if group_first { groups().and_then(|()| users()) } else { users().and_then(|()| groups()) }
    };
    become_id(user, group, true)?;
    let done = body();
    become_id(0, 0, false)?;
    done
}

/// Lets a running container use a device.
fn allow(node: &Node, vmid: Vmid, device: Device, deny_write: bool) -> NodeResult<()> {
    let cgroups = Cgroups::new("/sys/fs/cgroup");
    let rule = device.rule();
    let mut steps = Vec::new();
    if deny_write {
        steps.push(("devices.deny", format!("{rule} w")));
    }
    steps.push(("devices.allow", format!("{rule} {}", if deny_write { "r" } else { "rw" })));
    let version = cgroups.controller("devices");
    for (file, value) in steps {
        match &version {
            Some(found) if found.version == Version::V1 => {
                write_rule(&found.path.join(names(node).cgroup(vmid)), file, &value)?;
            }
            // The rules are a BPF program of the monitor.
            _ => Tool::new("lxc-cgroup", "lxc")
                .arg("-P")
                .arg(node.layout.lxc())
                .args(["-n", &vmid.to_string(), file, &value])
                .run()?,
        }
    }
    Ok(())
}

/// Writes a rule to a cgroup and to those below it, which do not inherit what is allowed above them.
fn write_rule(path: &Path, file: &str, value: &str) -> NodeResult<()> {
    let target = path.join(file);
    std::fs::write(&target, value).map_err(|error| Failure::io("can't write", &target, &error))?;
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).try_for_each(|entry| {
        // A cgroup that is gone meanwhile needs no rule.
        match write_rule(&entry.path(), file, value) {
            Err(_) if !entry.path().exists() => Ok(()),
            other => other,
        }
    })
}
