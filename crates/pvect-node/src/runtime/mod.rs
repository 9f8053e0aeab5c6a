//! Running containers: the generated LXC configuration, start, stop, limits, processes inside.
//!
//! A container runs under LXC's monitor (`lxc-start -d`). Its file systems are mounted in a mount namespace that is
//! made for the monitor and ends with it: whatever happens to us or to it, no mount and no loop device is left.

mod apparmor;
mod attach;
mod cgroups;
mod devices;
mod dhcp;
mod environment;
mod freezer;
mod granted;
mod hook_path;
mod hookscript;
mod hotplug;
mod limits;
mod live;
mod lxc_config;
mod mount_hooks;
mod network;
mod overlaps;
mod quota;
mod reachable;
mod seccomp;
mod shell_words;
mod small_file_system;
mod start;
mod startable;
mod stop;
mod user_namespace;

use std::fs::OpenOptions;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::time::Duration;

use pvect_core::{ContainerConfig, Vmid};
use pvect_native::{Init, Names, NativeReader};

pub use attach::{Environment, attach, console};
pub(crate) use freezer::{freeze, thaw};
pub(crate) use hookscript::run as run_hookscript;
pub(crate) use start::start;
pub(crate) use startable::{check as check_startable, check_mtu};
pub(crate) use user_namespace::hide_id_map_tools;

use crate::idmap::IdMap;
use crate::{Failure, Node, NodeResult, Output};
use lxc_config::Reader;
use lxc_config::host::Host;

/// The search path for programs that are run here; that of the real pct.
const PATH: &str = "/sbin:/bin:/usr/sbin:/usr/bin";

/// What LXC's programs read.
const CONFIG: &str = "config";
/// What lxc-start reads.
const START_CONFIG: &str = "start.conf";

/// The mode of generated files: `env` has secrets.
const FILE_MODE: u32 = 0o640;
/// The mode of a container's directory, whose group is that of the container's root.
pub(crate) const DIRECTORY_MODE: u32 = 0o710;

/// Whether AppArmor confines the containers of this machine.
pub(crate) fn is_confining() -> bool {
    apparmor::is_confining()
}

/// Returns a reader of the node's containers.
pub fn reader(node: &Node) -> NativeReader {
    NativeReader::new(node.layout.lxc(), node.layout.configs())
}

/// Returns the addresses of a running container's interfaces, as `ip -j address` shows them in the network namespace of
/// its init.
///
/// # Errors
/// When `ip` is missing or the container has just ended; why the holder of its socket is not trusted.
pub fn addresses(node: &Node, vmid: Vmid) -> NodeResult<String> {
    let place = opened(vmid, init(node, vmid)?.namespace("net"))?;
    let mut text = String::new();
    let tool =
        crate::tool::Tool::new("nsenter", "util-linux").args([&format!("--net={}", path_of(&place)), "--"]);
    tool.args(["ip", "-j", "address"]).stream(&mut |line| text += line)?;
    Ok(text)
}

fn names(node: &Node) -> Names {
    Names::new(node.layout.lxc())
}

/// Returns whether the container's LXC monitor runs.
pub fn is_running(node: &Node, vmid: Vmid) -> bool {
    reader(node).is_running(vmid)
}

/// Refuses a container whose command socket somebody else holds.
///
/// # Errors
/// `somebody else holds the socket of CT <vmid> (uid <uid>, pid <pid>); end that process`.
pub fn refuse_foreign(node: &Node, vmid: Vmid) -> NodeResult<()> {
    match reader(node).foreign(vmid) {
        Some(foreign) => Err(Failure::new(format!("{foreign}; end that process"))),
        None => Ok(()),
    }
}

/// Opens a handle of a container's init, which was found in the container's own cgroup.
///
/// # Errors
/// `CT <vmid> not running`; why the holder of its socket, or the process that it names, is not trusted.
pub(crate) fn init(node: &Node, vmid: Vmid) -> NodeResult<Init> {
    opened(vmid, reader(node).init(vmid))
}

/// The failure when a container's init, or something that belongs to it, cannot be used.
pub(crate) fn opened<T>(vmid: Vmid, result: std::io::Result<T>) -> NodeResult<T> {
    use std::io::ErrorKind;
    result.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused | ErrorKind::NotFound => Failure::new(format!("CT {vmid} not running")),
        ErrorKind::WouldBlock => Failure::new(format!("the monitor of CT {vmid} does not answer")),
        _ => Failure::new(format!("CT {vmid}: {}", crate::error::os_text(&error))),
    })
}

/// A path by which this process and its children can open the same file again, whatever has happened to its name.
pub(crate) fn path_of(open: impl AsFd) -> String {
    format!("/proc/{}/fd/{}", std::process::id(), open.as_fd().as_raw_fd())
}

/// Kills what runs in the control groups of a container whose monitor is gone, and removes them.
///
/// # Errors
/// When they are still there after some seconds.
pub(crate) fn end_cgroups(cgroups: &pvect_native::Cgroups, node: &Node, vmid: Vmid) -> NodeResult<()> {
    stop::end_cgroups(cgroups, &names(node), vmid)
}

/// How a container is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// All processes are killed.
    Kill,
    /// Init is asked to shut down; after the time it is killed if `then_kill`, otherwise that is an error.
    Shutdown {
        /// How long it may take.
        timeout: Duration,
        /// Whether to kill it after that time.
        then_kill: bool,
    },
}

/// Stops a container and returns when nothing of it runs and its mounts, cgroups and network devices are gone. It is
/// not an error if it does not run.
///
/// # Errors
/// `container did not stop` when it does not end in time; `interrupted by signal`.
pub fn stop(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    mode: StopMode,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    stop::stop(node, vmid, config, mode, output)
}

/// Brings one changed or deleted option (`value` is `None`) into force on a running container.
///
/// `config` is the configuration with the old value, or with the new one already. What is written is read back.
/// Returns `false` when the option cannot change while it runs: it then stays pending.
///
/// # Errors
/// When the change was tried and failed; nothing is changed then.
pub fn hotplug(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    key: &str,
    value: Option<&str>,
) -> NodeResult<bool> {
    hotplug::hotplug(node, vmid, config, key, value)
}

/// Removes a mount point again that [`hotplug()`] added, because another change of the same call failed.
///
/// # Errors
/// When it is not mounted.
pub fn unplug_mount(
    node: &Node,
    vmid: Vmid,
    key: &str,
    point: &pvect_core::property::MountPoint,
) -> NodeResult<()> {
    live::unmount(node, vmid, key, point)
}

/// Writes `lib/lxc/<vmid>/config` and `start.conf`, the LXC configuration, and what belongs to it.
///
/// # Errors
/// When an option cannot be expressed or the file cannot be written.
pub fn write_lxc_config(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<()> {
    let directory = make_directory(node, vmid, config)?;
    let host = Host::of_this_machine(names(node));
    if seccomp::is_generated(config) {
        write(
            &directory.join(seccomp::FILE),
            &seccomp::rules(&host.share, host.syscalld.as_deref(), config)?,
        )?;
    }
    let hook = config
        .main
        .options
        .contains_key("hookscript")
        .then(|| shell_words::hook(node, crate::helper_verbs::POST_STOP, vmid))
        .transpose()?;
    environment::prepare(&directory, config)?;
    for (name, reader) in [(CONFIG, Reader::Other), (START_CONFIG, Reader::Start)] {
        let text = lxc_config::text(&host, &directory, vmid, config, hook.as_deref(), reader)?;
        write(&directory.join(name), &text)?;
    }
    Ok(())
}

/// Removes what [`write_lxc_config`] made for LXC's programs; it holds the values of `env`.
///
/// # Errors
/// When a file cannot be removed.
pub(crate) fn remove_lxc_config(node: &Node, vmid: Vmid) -> NodeResult<()> {
    for name in [CONFIG, START_CONFIG] {
        let path = node.layout.container(vmid).join(name);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Failure::io("can't remove", &path, &error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Makes `lib/lxc/<vmid>` and `rootfs` in it, and returns the first.
///
/// Only the host's root and the container's root can enter it, whatever the umask says: what is mounted there on the
/// host belongs to the guest, and its configuration has the values of `env`.
///
/// # Errors
/// When they cannot be made.
pub(crate) fn make_directory(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
) -> NodeResult<std::path::PathBuf> {
    let (directory, rootfs) = (node.layout.container(vmid), node.layout.rootfs(vmid));
    crate::files::make_directories(&directory, 0o700)?;
    let group = IdMap::of(config).root().1;
    std::os::unix::fs::chown(&directory, Some(0), Some(group))
        .map_err(|error| Failure::io("can't change the owner of", &directory, &error))?;
    std::fs::set_permissions(&directory, std::fs::Permissions::from_mode(DIRECTORY_MODE))
        .map_err(|error| Failure::io("can't change the mode of", &directory, &error))?;
    crate::files::make_directories(&rootfs, 0o755)?;
    Ok(directory)
}

/// Replaces a generated file. It is not synced, because each start makes it again.
fn write(path: &std::path::Path, text: &str) -> NodeResult<()> {
    let temporary = path.with_extension("tmp");
    // An old file may be readable for others, or somebody may have it open.
    let _ = std::fs::remove_file(&temporary);
    let create = || OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&temporary);
    create()
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&temporary, path))
        .map_err(|error| Failure::io("can't write", path, &error))
}

/// The failure of a program of LXC that cannot be run.
fn cannot_run(name: &str, error: &std::io::Error) -> Failure {
    match error.kind() {
        std::io::ErrorKind::NotFound => Failure::not_installed(name, "lxc"),
        _ => Failure::new(format!("can't run {name} - {}", crate::error::os_text(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_names_its_package() {
        let failure = cannot_run("lxc-start", &std::io::ErrorKind::NotFound.into());
        assert_eq!(failure.text, "lxc-start is not installed: apt-get install lxc");
    }
}
