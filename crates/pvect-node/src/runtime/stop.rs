//! Ends a container.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pvect_core::property::MountSource;
use pvect_core::{ContainerConfig, Vmid};
use pvect_native::{Cgroups, CommandSocket, Names};

use super::{PATH, StopMode, cannot_run, cgroups, hookscript, names, reader};
use crate::interrupt::Interrupt;
use crate::process::{self, Process};
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, Output, image, storage};

/// How long killed processes, and what belongs to them, may take to be gone.
const GONE_TIME: Duration = Duration::from_secs(30);
/// How long the kernel may take to write and unmount the container's images, which takes long on a busy disk.
const WRITE_TIME: Duration = Duration::from_secs(180);
/// How often signals are checked while the monitor ends.
const LOOK: Duration = Duration::from_millis(100);
/// How often to check for what the monitor leaves behind.
const STEP: Duration = Duration::from_millis(1);

/// See [`super::stop()`].
pub(super) fn stop(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    mode: StopMode,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let interrupt = Interrupt::watch();
    if !super::is_running(node, vmid) {
        return Ok(());
    }
    hookscript::run_or_warn(node, vmid, config, "pre-stop", output);
    end(node, vmid, config, mode, output, Some(&interrupt))
}

/// Ends all processes of a container and waits until they are gone; without an interrupt, signals change nothing.
pub(super) fn end(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    mode: StopMode,
    output: &mut Output<'_>,
    interrupt: Option<&Interrupt>,
) -> NodeResult<()> {
    let lxc_path = node.layout.lxc();
    let (cgroup_root, names) = (Cgroups::new("/sys/fs/cgroup"), names(node));
    // A killed backup leaves the container frozen, and frozen processes do not end.
    let _ = super::thaw(node, vmid);
    let init = reader(node).init_pid(vmid);
    let monitor = init.and_then(parent).map(Process::of);
    // Keep the connection open: it closes when the monitor ends.
    if let Ok(mut socket) = CommandSocket::connect(&lxc_path, vmid) {
        match mode {
            StopMode::Kill => kill(&mut socket),
            StopMode::Shutdown { timeout, then_kill } => {
                if !shut_down(&lxc_path, vmid, timeout, interrupt)? {
                    if !then_kill {
                        return Err(not_shut_down(vmid, timeout, output));
                    }
                    kill(&mut socket);
                }
            }
        }
        let deadline = Instant::now() + GONE_TIME;
        while socket.wait_closed(Some(LOOK)).is_err() {
            interrupt.map_or(Ok(()), Interrupt::check)?;
            if Instant::now() >= deadline {
                return Err(Failure::new("container did not stop"));
            }
        }
    }
    let deadline = Instant::now() + GONE_TIME;
    if let Some(monitor) = monitor {
        monitor.wait_until(deadline);
    }
    // If the monitor was killed, its container may still be running.
    cgroups::kill(&cgroup_root, &names, vmid);
    wait_until(deadline, || {
        cgroups::remove(&cgroup_root, &names, vmid);
        !cgroups::exist(&cgroup_root, &names, vmid)
    });
    remove_devices(&names, vmid, deadline);
    // The kernel unmounts some time after the last process of a mount namespace has ended; nobody may use an image
    // before that.
    let images = images(node, config);
    let deadline = Instant::now() + WRITE_TIME;
    let is_free = || !images.iter().any(|file| image::is_attached(file));
    let free = wait_until(deadline, || is_free() || interrupt.is_some_and(Interrupt::came));
    interrupt.map_or(Ok(()), Interrupt::check)?;
    if !free {
        return Err(Failure::new("the container's images are still in use"));
    }
    match cgroups::exist(&cgroup_root, &names, vmid) {
        true => Err(Failure::new("container did not stop")),
        false => Ok(()),
    }
}

/// Ends the control groups of a container whose monitor is gone.
pub(super) fn end_cgroups(root: &Cgroups, names: &Names, vmid: Vmid) -> NodeResult<()> {
    cgroups::kill(root, names, vmid);
    let gone = wait_until(Instant::now() + GONE_TIME, || {
        cgroups::remove(root, names, vmid);
        !cgroups::exist(root, names, vmid)
    });
    if gone { Ok(()) } else { Err(Failure::new(format!("the control groups of CT {vmid} are still in use"))) }
}

fn wait_until(deadline: Instant, mut done: impl FnMut() -> bool) -> bool {
    while !done() {
        if Instant::now() >= deadline {
            return false;
        }
        std::thread::sleep(STEP);
    }
    true
}

/// The image files of a configuration.
fn images(node: &Node, config: &ContainerConfig) -> Vec<PathBuf> {
    let volumes = config.volumes();
    let ids = volumes.iter().filter_map(|(_, point)| match &point.fs.source {
        MountSource::Volume(text) => text.parse().ok(),
        _ => None,
    });
    let paths = ids.filter_map(|id| storage::volume_path(node, &id).ok());
    paths.filter(|path| path.is_file()).map(|path| path.canonicalize().unwrap_or(path)).collect()
}

/// The parent of a process: of init, the LXC monitor. Source: proc_pid_status(5).
fn parent(pid: u32) -> Option<u32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let parent = text.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()?;
    (parent > 1).then_some(parent)
}

/// Runs lxc-stop; returns whether it succeeded.
fn lxc_stop(
    lxc_path: &Path,
    vmid: Vmid,
    options: &[&str],
    interrupt: Option<&Interrupt>,
) -> NodeResult<bool> {
    let child = Command::new("lxc-stop")
        .arg("-P")
        .arg(lxc_path)
        .args(["-n", &vmid.to_string()])
        .args(options)
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| cannot_run("lxc-stop", &error))?;
    Ok(process::wait(child, interrupt, Duration::ZERO)?.success())
}

/// Has the monitor kill the container's init, and with it all of its processes.
fn kill(socket: &mut CommandSocket) {
    // Ignore an error: the container may have just ended, which the end of the connection will show.
    let _ = socket.kill();
}

/// Asks the container to shut down; returns whether it has within the time.
fn shut_down(
    lxc_path: &Path,
    vmid: Vmid,
    timeout: Duration,
    interrupt: Option<&Interrupt>,
) -> NodeResult<bool> {
    // For lxc-stop 0 means not to wait.
    let seconds = timeout.as_secs().to_string();
    let stopped = lxc_stop(lxc_path, vmid, &["--nokill", "--timeout", &seconds], interrupt)?;
    Ok((stopped && !timeout.is_zero()) || CommandSocket::connect(lxc_path, vmid).is_err())
}

fn not_shut_down(vmid: Vmid, timeout: Duration, output: &mut Output<'_>) -> Failure {
    let seconds = timeout.as_secs();
    output.line(format!("command 'lxc-stop -n {vmid} --nokill --timeout {seconds}' failed: exit code 1"));
    Failure::new("container did not stop")
}

/// Waits until the network devices are gone, which the kernel removes with the network namespace some time after
/// the last process; then removes what is left.
fn remove_devices(names: &Names, vmid: Vmid, deadline: Instant) {
    /// The kernel needs some milliseconds.
    const PATIENCE: Duration = Duration::from_secs(2);
    wait_until(deadline.min(Instant::now() + PATIENCE), || devices(names, vmid).is_empty());
    for device in devices(names, vmid) {
        let _ = Tool::new("ip", "iproute2").args(["link", "delete", "dev", &device]).run();
    }
}

fn devices(names: &Names, vmid: Vmid) -> Vec<String> {
    let entries = std::fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    let all = entries.filter_map(|entry| entry.file_name().into_string().ok());
    all.filter(|device| names.is_device(vmid, device)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_parent_is_found() {
        let ours = Some(std::os::unix::process::parent_id()).filter(|pid| *pid > 1);
        assert_eq!(parent(std::process::id()), ours);
        assert_eq!(parent(0), None);
    }
}
