//! Mounts one source at a directory: a volume, a device or a directory of the host.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

use pvect_core::VolumeId;
use pvect_core::property::{MountSource, RootFs};
use rustix::fs::{FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::MountFlags;

use super::{MountFor, Wanted};
use crate::storage::dir::Volume;
use crate::storage::{locate, volume_path};
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, image};

/// The options of a file system with quotas, as the real pct gives them. Source: ext4(5).
const QUOTA: &str = "usrjquota=aquota.user,grpjquota=aquota.group,jqfmt=vfsv0";

/// A path to an open directory for mount(8), which is another process. It ends with `/.` because move_mount(2), which
/// mount(8) of util-linux 2.39 and newer uses, follows no link in the last place.
pub(super) fn fd_path(fd: &OwnedFd) -> PathBuf {
    PathBuf::from(format!("/proc/{}/fd/{}/.", std::process::id(), fd.as_raw_fd()))
}

/// Whether a source is a directory to be bind-mounted, and not a file system to be mounted (a block device, an image).
pub(super) fn is_bind(node: &Node, source: &MountSource) -> NodeResult<bool> {
    Ok(match source {
        MountSource::Bind(_) => true,
        MountSource::Device(_) | MountSource::Allocate { .. } => false,
        MountSource::Volume(text) => matches!(locate(node, &volume_id(text)?)?.0, Volume::Directory { .. }),
    })
}

fn volume_id(text: &str) -> NodeResult<VolumeId> {
    text.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{text}'")))
}

pub(super) fn attach(node: &Node, mount: &Wanted, target: &Path, purpose: MountFor) -> NodeResult<()> {
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
pub(super) fn flags(fs: &RootFs, purpose: MountFor) -> MountFlags {
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
pub(super) fn open_source(path: &Path) -> NodeResult<OwnedFd> {
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

pub(super) fn restrict(mounted: &Path, flags: MountFlags) -> NodeResult<()> {
    rustix::mount::mount_remount(mounted, flags | MountFlags::BIND, "")
        .map_err(|errno| Failure::io("can't set the mount options of", mounted, &errno.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

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
