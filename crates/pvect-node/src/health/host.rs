//! What is left of a container outside the node's files: control groups, devices, mounts.

use std::path::{Path, PathBuf};

use pvect_core::Vmid;
use pvect_native::{CommandSocket, Names};

use super::{Action, Finding, Host, Kind, names};
use crate::{Node, NodeResult, storage};

/// Where Proxmox VE runs its containers; the cgroups and devices of our default root have the same names.
const PROXMOX: &str = "/var/lib/lxc";

/// Whether a cgroup or device with one of our names may belong to a container of Proxmox VE on the same machine.
fn is_another_nodes(ours: &Names, vmid: Vmid) -> bool {
    let theirs = Names::new(PROXMOX);
    ours.lxc_path() != Path::new(PROXMOX)
        && ours.cgroup(vmid) == theirs.cgroup(vmid)
        && CommandSocket::connect(Path::new(PROXMOX), vmid).is_ok()
}

/// The cgroups of a container that does not run.
pub(super) fn cgroups(node: &Node, host: &Host, vmid: Vmid) -> Option<Finding> {
    let ours = Names::new(node.layout.lxc());
    let groups = [ours.cgroup(vmid), ours.monitor_cgroup(vmid)];
    let mut paths = host
        .cgroups()
        .hierarchies()
        .into_iter()
        .flat_map(|hierarchy| groups.iter().map(move |group| hierarchy.join(group)).collect::<Vec<_>>());
    let first = paths.find(|path| path.is_dir())?;
    if is_another_nodes(&ours, vmid) {
        return None;
    }
    let what = format!("CT {vmid} is not running but has control groups");
    let finding = Finding::new(Kind::Cgroup, Some(vmid), first.display(), what);
    Some(finding.by("kill the processes in them, remove them", Action::KillCgroups))
}

/// The network devices of a container that does not run.
pub(super) fn devices(node: &Node, host: &Host, vmid: Vmid) -> Vec<Finding> {
    let ours = Names::new(node.layout.lxc());
    let all = names(&host.sys.join("class/net"));
    let devices: Vec<String> = all.into_iter().filter(|device| ours.is_device(vmid, device)).collect();
    if devices.is_empty() || is_another_nodes(&ours, vmid) {
        return Vec::new();
    }
    let finding = |device: String| {
        let what = format!("CT {vmid} is not running but has the network device {device}");
        let finding = Finding::new(Kind::Device, Some(vmid), &device, what);
        finding.by("remove the device", Action::RemoveDevice(device))
    };
    devices.into_iter().map(finding).collect()
}

/// What is mounted at and below a container's `rootfs` in this mount namespace.
pub(super) fn mounted(node: &Node, host: &Host, vmid: Vmid) -> NodeResult<Vec<PathBuf>> {
    storage::mounted_below_in(&host.proc.join("thread-self/mountinfo"), &node.layout.rootfs(vmid))
}

/// Mounts of a container that is not locked as mounted.
pub(super) fn mounts(node: &Node, host: &Host, vmid: Vmid) -> NodeResult<Option<Finding>> {
    let mounted = mounted(node, host, vmid)?;
    let Some(first) = mounted.first() else { return Ok(None) };
    let what = format!("CT {vmid} is mounted on the host and not locked as mounted");
    let finding = Finding::new(Kind::Mount, Some(vmid), first.display(), what);
    Ok(Some(finding.by("unmount it", Action::Unmount)))
}

/// Loop devices on the images of a container that does not run, and that are not mounted here.
pub(super) fn loop_devices(node: &Node, host: &Host, vmid: Vmid) -> NodeResult<Vec<Finding>> {
    if !mounted(node, host, vmid)?.is_empty() {
        return Ok(Vec::new());
    }
    let images: Vec<PathBuf> = super::volumes_of(node, vmid)?
        .into_iter()
        .map(|(_, path)| path.canonicalize().unwrap_or(path))
        .filter(|path| path.is_file())
        .collect();
    let block = host.sys.join("block");
    let mut found = Vec::new();
    for name in names(&block).into_iter().filter(|name| name.starts_with("loop")) {
        let Ok(file) = std::fs::read_to_string(block.join(&name).join("loop/backing_file")) else { continue };
        let file = Path::new(file.trim_end_matches('\n'));
        if images.iter().any(|image| image == file) {
            let what = format!("CT {vmid} is not running but {} is on a loop device", file.display());
            let device = Path::new("/dev").join(&name);
            let finding = Finding::new(Kind::LoopDevice, Some(vmid), device.display(), what);
            found.push(finding.by("detach it", Action::Detach(device)));
        }
    }
    Ok(found)
}

/// The directory of a container that does not exist.
pub(super) fn directory(node: &Node, vmid: Vmid) -> Option<Finding> {
    let path = node.layout.container(vmid);
    path.is_dir().then(|| {
        let what = format!("there is no CT {vmid}");
        let finding = Finding::new(Kind::Directory, Some(vmid), path.display(), what);
        finding.by("remove the directory, if nothing is in its rootfs", Action::RemoveDirectory)
    })
}
