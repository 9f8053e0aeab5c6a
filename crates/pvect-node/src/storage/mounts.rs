//! Mounts the root file system and mount points of a container.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use pvect_core::property::{MountPoint, MountSource, RootFs};
use pvect_core::{ContainerConfig, Vmid, VolumeId};
use rustix::fs::{FileType, Gid, Mode, OFlags, ResolveFlags, Uid};
use rustix::mount::{MountFlags, UnmountFlags};

use super::dir::Volume;
use super::{locate, volume_path};
use crate::idmap::IdMap;
use crate::rooted::Rooted;
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, ids, image};

/// The options of a file system with quotas, as the real pct gives them. Source: ext4(5).
const QUOTA: &str = "usrjquota=aquota.user,grpjquota=aquota.group,jqfmt=vfsv0";

/// What the mounts are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MountFor {
    /// A start: as the configuration says.
    Start,
    /// A look from the host: as the configuration says, but set-user-id bits and device nodes have no force.
    Host,
    /// Setting the container up: `ro` is ignored, set-user-id bits and device nodes have no force, and directories
    /// of the host (`/host/path,mp=/x`) are left out: a template is not unpacked into them.
    Setup,
}

/// One mount to be made.
struct Wanted {
    key: String,
    fs: RootFs,
    /// `None` for the root.
    path: Option<PathBuf>,
    keep_attrs: bool,
}

/// Mounts rootfs and all `mp[n]` of a configuration below `root`, in order of their paths; mount points inside are
/// resolved so that no symlink leads out of `root`. On failure everything is unmounted again.
///
/// Called in a private mount namespace at start (the mounts end with it).
///
/// # Errors
/// When a volume is missing or a mount fails.
pub fn mount_all(node: &Node, vmid: Vmid, config: &ContainerConfig, root: &Path) -> NodeResult<()> {
    mount_all_for(node, vmid, config, root, MountFor::Start)
}

/// As [`mount_all`], for a purpose.
///
/// # Errors
/// As [`mount_all`].
pub fn mount_all_for(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    root: &Path,
    purpose: MountFor,
) -> NodeResult<()> {
    ids::check_whole(node, vmid)?;
    mount_these(node, config, root, purpose, |_, _| true)
}

/// The first half of [`mount_all`]: the root and the container's own volumes, without what is the host's (directories,
/// devices) and without volumes that are mounted below such.
///
/// Between both halves the guest's files are set up: a symlink of the guest leads into nothing of the host then.
///
/// # Errors
/// As [`mount_all`].
pub fn mount_own(node: &Node, vmid: Vmid, config: &ContainerConfig, root: &Path) -> NodeResult<()> {
    ids::check_whole(node, vmid)?;
    mount_these(node, config, root, MountFor::Start, is_own)
}

/// The second half of [`mount_all`].
///
/// # Errors
/// As [`mount_all`].
pub fn mount_rest(node: &Node, config: &ContainerConfig, root: &Path) -> NodeResult<()> {
    mount_these(node, config, root, MountFor::Start, |mount, all| !is_own(mount, all))
}

/// Returns the paths of what [`mount_own`] mounts below the root, parents first.
///
/// # Errors
/// When the configuration has no root, or a mount point cannot be parsed.
pub fn own_paths(config: &ContainerConfig) -> NodeResult<Vec<PathBuf>> {
    let all = wanted(config)?;
    Ok(all.iter().filter(|mount| is_own(mount, &all)).filter_map(|mount| mount.path.clone()).collect())
}

/// Whether a mount is the container's alone: its root, or a volume that does not lie in something of the host.
fn is_own(mount: &Wanted, all: &[Wanted]) -> bool {
    let is_volume = |mount: &Wanted| matches!(mount.fs.source, MountSource::Volume(_));
    let Some(path) = &mount.path else { return true };
    let covers = |other: &Wanted| other.path.as_ref().is_some_and(|other| path.starts_with(other));
    is_volume(mount) && !all.iter().any(|other| !is_volume(other) && covers(other))
}

fn mount_these(
    node: &Node,
    config: &ContainerConfig,
    root: &Path,
    purpose: MountFor,
    wants: impl Fn(&Wanted, &[Wanted]) -> bool,
) -> NodeResult<()> {
    std::fs::create_dir_all(root).map_err(|error| Failure::io("can't create", root, &error))?;
    let owner = IdMap::of(config).root();
    let all = wanted(config)?;
    all.iter().try_for_each(|mount| check_mount(config, &mount.key, &mount.fs))?;
    let mut these = all.iter().filter(|mount| wants(mount, &all));
    let mounted = these.try_for_each(|mount| mount_one(node, mount, root, owner, purpose));
    if mounted.is_err() {
        let _ = unmount_all(root);
    }
    mounted
}

/// The mounts of a configuration: the root first, then by path, parents before what lies in them.
fn wanted(config: &ContainerConfig) -> NodeResult<Vec<Wanted>> {
    let mut mounts = Vec::new();
    for (key, value) in &config.main.options {
        let bad = |_| Failure::new(format!("unable to parse {key} '{value}'"));
        if key == "rootfs" {
            let fs = RootFs::parse(value).map_err(bad)?;
            mounts.push(Wanted { key: key.clone(), fs, path: None, keep_attrs: false });
        } else if is_mount_point(key) {
            let MountPoint { fs, path, keep_attrs, .. } = MountPoint::parse(key, value).map_err(bad)?;
            let path = Path::new("/").join(path).components().collect();
            mounts.push(Wanted { key: key.clone(), fs, path: Some(path), keep_attrs });
        }
    }
    if !mounts.iter().any(|mount| mount.path.is_none()) {
        return Err(Failure::new("the configuration has no rootfs"));
    }
    mounts.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(mounts)
}

fn is_mount_point(key: &str) -> bool {
    key.strip_prefix("mp")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Says which mounts of a privileged container have a map of ids, which has no meaning there. Source: pve-container.
pub(crate) fn ignored_idmaps(config: &ContainerConfig) -> Vec<String> {
    let mounts = if IdMap::of(config).is_identity() { config.volumes() } else { Vec::new() };
    let mapped = mounts.into_iter().filter(|(_, point)| point.fs.idmap.is_some());
    mapped
        .map(|(key, _)| format!("'{key}' - ignoring 'idmap' option unsupported by privileged container"))
        .collect()
}

/// Checks what cannot be mounted at all.
///
/// # Errors
/// When the configuration asks for what this node or kind of container cannot do.
pub(crate) fn check_mount(config: &ContainerConfig, key: &str, fs: &RootFs) -> NodeResult<()> {
    // Where the container has no map, one of the mount has no meaning, as with the real pct.
    if fs.idmap.is_some() && !IdMap::of(config).is_identity() {
        return Err(Failure::new(format!("{key}: 'idmap' is not supported by the standalone node")));
    }
    Ok(())
}

/// Mounts one file system at a directory of ours, for a container that runs already.
///
/// # Errors
/// When the volume is missing or cannot be mounted.
pub(crate) fn stage(node: &Node, key: &str, fs: &RootFs, directory: &Path) -> NodeResult<()> {
    let mount = Wanted { key: key.to_owned(), fs: fs.clone(), path: None, keep_attrs: false };
    attach(node, &mount, directory, MountFor::Start)?;
    let flags = flags(fs, MountFor::Start);
    if is_bind(node, &fs.source)? && flags != MountFlags::empty() {
        restrict(directory, flags)?;
    }
    Ok(())
}

fn mount_one(
    node: &Node,
    mount: &Wanted,
    root: &Path,
    owner: (u32, u32),
    purpose: MountFor,
) -> NodeResult<()> {
    let Some(path) = &mount.path else {
        return attach(node, mount, root, purpose);
    };
    if let (MountFor::Setup, MountSource::Bind(source)) = (purpose, &mount.fs.source) {
        // It is not for us, but has to be there.
        return open_source(Path::new(source)).map(drop);
    }
    let inside = Rooted::open(root, owner).map_err(|error| Failure::io("can't open", root, &error))?;
    let failed = |error: std::io::Error| Failure::io("can't make the mount point", path, &error);
    refuse_links(&inside, path)?;
    let target = inside.make_dirs(path, 0o755).map_err(failed)?;
    let before = rustix::fs::fstat(&target).map_err(|errno| failed(errno.into()))?;
    attach(node, mount, &fd_path(&target), purpose)?;
    if mount.keep_attrs {
        let mounted = inside.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY).map_err(failed)?;
        let (user, group) = (Uid::from_raw(before.st_uid), Gid::from_raw(before.st_gid));
        rustix::fs::fchown(&mounted, Some(user), Some(group))
            .and_then(|()| rustix::fs::fchmod(&mounted, Mode::from_raw_mode(before.st_mode)))
            .map_err(|errno| failed(errno.into()))?;
    }
    if is_bind(node, &mount.fs.source)? {
        let flags = flags(&mount.fs, purpose);
        if flags != MountFlags::empty() {
            // The new mount lies over the directory that `target` still is.
            let mounted = inside.open_at(path, OFlags::PATH | OFlags::DIRECTORY).map_err(failed)?;
            restrict(&fd_path(&mounted), flags)?;
        }
    }
    Ok(())
}

/// Refuses a mount point whose path has a symlink in it, as the real pct does.
fn refuse_links(inside: &Rooted, path: &Path) -> NodeResult<()> {
    let mut prefix = PathBuf::from("/");
    for component in path.components().skip(1) {
        prefix.push(component);
        match inside.lstat(&prefix) {
            Ok(None) => break,
            Ok(Some(stat)) if FileType::from_raw_mode(stat.st_mode) == FileType::Symlink => {
                return Err(Failure::new(format!("symlink encountered at: {}", prefix.display())));
            }
            Ok(Some(_)) => {}
            Err(error) => return Err(Failure::io("can't open", &prefix, &error)),
        }
    }
    Ok(())
}

/// A path to an open directory for mount(8), which is another process. It ends with `/.` because move_mount(2), which
/// mount(8) of util-linux 2.39 and newer uses, follows no link in the last place.
fn fd_path(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}/.", std::process::id(), fd.as_raw_fd()))
}

/// Whether a source is bound (a directory) and not mounted (a block device, an image).
fn is_bind(node: &Node, source: &MountSource) -> NodeResult<bool> {
    Ok(match source {
        MountSource::Bind(_) => true,
        MountSource::Device(_) | MountSource::Allocate { .. } => false,
        MountSource::Volume(text) => matches!(locate(node, &volume_id(text)?)?.0, Volume::Directory { .. }),
    })
}

fn volume_id(text: &str) -> NodeResult<VolumeId> {
    text.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{text}'")))
}

fn attach(node: &Node, mount: &Wanted, target: &Path, purpose: MountFor) -> NodeResult<()> {
    match &mount.fs.source {
        MountSource::Bind(path) => bind(&open_source(Path::new(path))?, target),
        MountSource::Device(path) => {
            let options = options(&mount.fs, purpose);
            let mut tool = Tool::new("mount", "mount").args(["-n", "-c"]);
            if !options.is_empty() {
                tool = tool.args(["-o", &options.join(",")]);
            }
            tool.arg(path).arg(target).run()
        }
        MountSource::Volume(text) => {
            let volume = volume_id(text)?;
            let path = volume_path(node, &volume)?;
            let found = locate(node, &volume)?.0;
            found.check_mountable("mount", &volume)?;
            match found {
                Volume::Directory { .. } => {
                    bind(&open_source(&path)?, target)?;
                    let flags = flags(&mount.fs, purpose);
                    // For the root, `target` is a path and leads to the new mount already.
                    if mount.path.is_none() && flags != MountFlags::empty() {
                        restrict(target, flags)
                    } else {
                        Ok(())
                    }
                }
                Volume::Image { .. } | Volume::File { .. } => {
                    let options = options(&mount.fs, purpose);
                    image::mount(&path, target, &options)
                }
            }
        }
        MountSource::Allocate { .. } => {
            Err(Failure::new(format!("{}: '{}' names no volume", mount.key, mount.fs.source)))
        }
    }
}

/// The options for mount(8).
fn options(fs: &RootFs, purpose: MountFor) -> Vec<&str> {
    let mut options: Vec<&str> = fs.mount_options.iter().map(String::as_str).collect();
    match fs.acl {
        Some(true) => options.push("acl"),
        Some(false) => options.push("noacl"),
        None => {}
    }
    if purpose != MountFor::Start {
        options.extend(["nosuid", "nodev"]);
    }
    match purpose {
        MountFor::Setup => {}
        MountFor::Host | MountFor::Start if fs.read_only => options.push("ro"),
        MountFor::Host | MountFor::Start if fs.quota => options.push(QUOTA),
        MountFor::Host | MountFor::Start => {}
    }
    options
}

/// The same for bind mounts, where only these have a meaning.
fn flags(fs: &RootFs, purpose: MountFor) -> MountFlags {
    let mut flags = MountFlags::empty();
    for option in &fs.mount_options {
        flags |= match option.as_str() {
            "noatime" => MountFlags::NOATIME,
            "nodev" => MountFlags::NODEV,
            "noexec" => MountFlags::NOEXEC,
            "nosuid" => MountFlags::NOSUID,
            _ => MountFlags::empty(),
        };
    }
    if purpose != MountFor::Start {
        flags |= MountFlags::NOSUID | MountFlags::NODEV;
    }
    if purpose != MountFor::Setup && fs.read_only {
        flags |= MountFlags::RDONLY;
    }
    flags
}

/// Opens a directory of the host; a symlink anywhere in its path is refused, as the real pct does.
fn open_source(path: &Path) -> NodeResult<OwnedFd> {
    let open = |resolve| {
        rustix::fs::openat2(rustix::fs::CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), resolve)
    };
    match open(ResolveFlags::NO_SYMLINKS) {
        Ok(fd) => match rustix::fs::fstat(&fd).map(|stat| FileType::from_raw_mode(stat.st_mode)) {
            Ok(FileType::Directory) => Ok(fd),
            _ => Err(Failure::new(format!("'{}' is not a directory", path.display()))),
        },
        Err(rustix::io::Errno::LOOP) => {
            Err(Failure::new(format!("symlink encountered in the path '{}'", path.display())))
        }
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => {
            Err(Failure::new(format!("directory '{}' does not exist", path.display())))
        }
        Err(errno) => Err(Failure::io("can't open", path, &errno.into())),
    }
}

fn bind(source: &OwnedFd, target: &Path) -> NodeResult<()> {
    rustix::mount::mount_bind(fd_path(source), target)
        .map_err(|errno| Failure::io("can't bind a directory to", target, &errno.into()))
}

fn restrict(mounted: &Path, flags: MountFlags) -> NodeResult<()> {
    rustix::mount::mount_remount(mounted, flags | MountFlags::BIND, "")
        .map_err(|errno| Failure::io("can't set the mount options of", mounted, &errno.into()))
}

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

/// Unmounts one file system. A child of another thread holds all that this process has open from its fork until its
/// program runs: what is in use is tried again for a moment.
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
    // The table has real paths.
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    Ok(text.lines().filter_map(mount_point).filter(|mounted| mounted.starts_with(&path)).collect())
}

/// Returns whether something is mounted at a path, symlinks resolved.
///
/// # Errors
/// When the mounts cannot be read.
pub(super) fn is_mounted(path: &Path) -> NodeResult<bool> {
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

    #[test]
    fn what_lies_in_something_of_the_host_is_not_the_containers_own() {
        let mut config = ContainerConfig::default();
        for (key, value) in [
            ("rootfs", "/dev/sdz,size=1G"),
            ("mp0", "/srv/shared,mp=/srv"),
            ("mp1", "local:101/vm-101-disk-1.raw,mp=/srv/data"),
            ("mp2", "local:101/vm-101-disk-2.raw,mp=/srv2"),
            ("mp3", "/dev/sdy,mp=/srv2/device"),
            ("mp4", "local:101/vm-101-disk-3.raw,mp=/data/"),
            ("mp5", "local:101/vm-101-disk-4.raw,mp=srv"),
            ("mp6", "local:101/vm-101-disk-5.raw,mp=/srv2/device/x/y"),
        ] {
            config.main.set(key, value);
        }
        assert_eq!(own_paths(&config).unwrap(), [Path::new("/data"), Path::new("/srv2")]);
        let all = wanted(&config).unwrap();
        let own: Vec<&str> =
            all.iter().filter(|mount| is_own(mount, &all)).map(|mount| &*mount.key).collect();
        assert_eq!(own, ["rootfs", "mp4", "mp2"]);
    }

    #[test]
    fn a_symlink_in_a_bind_source_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::os::unix::fs::symlink("real", dir.path().join("link")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        assert!(open_source(&dir.path().join("real")).is_ok());
        for (name, text) in [
            ("link", "symlink encountered in the path '{}'"),
            ("missing", "directory '{}' does not exist"),
            ("file", "'{}' is not a directory"),
        ] {
            let path = dir.path().join(name);
            assert_eq!(open_source(&path).unwrap_err().text, text.replace("{}", &path.display().to_string()));
        }
    }
}
