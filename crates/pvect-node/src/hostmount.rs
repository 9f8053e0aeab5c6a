//! Mounts a container's volumes on the host, for `mount`, `df` and `fstrim`.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};

use pvect_core::property::MountSource;
use pvect_core::{ContainerConfig, Vmid, VolumeId};
use pvect_native::NativeReader;

use crate::error::os_text;
use crate::storage::MountFor;
use crate::{Failure, FailureKind, Node, NodeResult, Output, runtime, storage};

/// The status of the real pct when a file is missing or a call not permitted: the errno that was left over in its Perl.
const ENOENT: u8 = 2;
const EPERM: u8 = 1;

/// Mounts all volumes at `lib/lxc/<vmid>/rootfs`, in the thread's mount namespace, and returns that path.
///
/// It is mounted `nosuid` and `nodev`, and only root can reach it: the guest's set-user-id files and device nodes would
/// otherwise work for every user of the host.
///
/// # Errors
/// `volume '<id>' does not exist` (2). For anything later `mounting container failed` goes to stderr first, and nothing
/// stays mounted; for write-protected base images the text is that of losetup(8) and the status 1, as in the real pct.
pub fn mount(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    output: &mut Output<'_>,
) -> NodeResult<PathBuf> {
    let root = node.layout.rootfs(vmid);
    let images = images(node, config)?;
    runtime::make_directory(node, vmid, config)?;
    let mounted = images
        .iter()
        .try_for_each(|image| refuse_protected(image, output))
        .and_then(|()| storage::mount_all_for(node, vmid, config, &root, MountFor::Host));
    if mounted.is_err() {
        output.warn("mounting container failed");
    }
    mounted.map(|()| root)
}

/// Returns the paths of a configuration's volumes.
///
/// # Errors
/// `volume '<id>' does not exist` (2) and other failures of [`storage::volume_path`].
fn images(node: &Node, config: &ContainerConfig) -> NodeResult<Vec<PathBuf>> {
    let volumes = config.volumes();
    let ids = volumes.iter().filter_map(|(_, mount)| match &mount.fs.source {
        MountSource::Volume(text) => Some(existing(node, text)),
        MountSource::Allocate { .. } | MountSource::Device(_) | MountSource::Bind(_) => None,
    });
    ids.collect()
}

/// Returns the path of a volume; a missing one ends with the status 2.
///
/// # Errors
/// As [`storage::volume_path`], and when the text is not a volume id.
pub fn existing(node: &Node, text: &str) -> NodeResult<PathBuf> {
    let volume: VolumeId =
        text.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{text}'")))?;
    storage::volume_path(node, &volume).map_err(|failure| match failure.kind {
        FailureKind::NoVolume { .. } | FailureKind::NoStorage { .. } => failure.exiting(ENOENT),
        _ => failure,
    })
}

/// An immutable image cannot be attached to a writable loop device.
fn refuse_protected(image: &Path, output: &mut Output<'_>) -> NodeResult<()> {
    if !image.is_file() {
        return Ok(());
    }
    match OpenOptions::new().read(true).write(true).open(image) {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => {
            let image = image.display();
            output.warn(format!("losetup: {image}: failed to set up loop device: {}", os_text(&error)));
            let text = format!("command 'losetup --show -f {image}' failed: exit code 1");
            Err(Failure::with_exit(text, EPERM))
        }
        _ => Ok(()),
    }
}

/// Returns the process id of a container's init as the host sees it; `None` when it does not run.
pub fn init_pid(node: &Node, vmid: Vmid) -> Option<u32> {
    reader(node).init_pid(vmid)
}

/// Returns the reader of this node's containers.
pub fn reader(node: &Node) -> NativeReader {
    NativeReader::new(node.layout.lxc(), node.layout.configs())
}

/// Returns whether LXC knows a container: its configuration has been written by a start.
pub fn is_known_to_lxc(node: &Node, vmid: Vmid) -> bool {
    node.layout.container(vmid).join("config").is_file()
}
