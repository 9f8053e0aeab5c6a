//! What is to be done when a container has ended, however it did: by a command, by itself, or to boot again.
//!
//! LXC's monitor runs `pvect __node post-stop` as a hook then. Source: `lxc-pve-poststop-hook` of pve-container.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pvect_core::{Call, Verb, Vmid};

use crate::helper_verbs::START_AGAIN;
use crate::mark::{self, Phase};
use crate::{Failure, Node, NodeResult, Output, network, pending, runtime, storage, store, verbs};

/// How long whoever holds a container's lock file may go on.
const LOCK_TIME: Duration = Duration::from_secs(10);
/// How often it is tried again.
const STEP: Duration = Duration::from_millis(50);
/// How long the rest of a container may take to be gone before it is started again, seconds.
const GONE_SECONDS: u64 = 60;

/// What the hook's end tells LXC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It ends, or boots again by itself.
    AsItWants,
    /// It must not boot again by itself: it is started again, with what has changed since its start.
    StartAgain,
}

/// Brings pending changes into force, unless a command that ends or starts the container sees to that, and runs the hook
/// script.
///
/// # Errors
/// When the configuration cannot be read; what the hook script ended with.
pub(crate) fn post_stop(node: &Node, vmid: Vmid) -> NodeResult<Verdict> {
    let (mut out, mut err) = (std::io::sink(), std::io::sink());
    let output = &mut Output::new(&mut out, &mut err);
    let held = lock(node, vmid, output);
    if held.is_some() {
        pending::after_end(node, vmid, output);
        network::refresh(node, output);
    }
    let config = store::load(node, vmid)?.config;
    let boots_again = std::env::var_os("LXC_TARGET").is_some_and(|target| target == "reboot");
    if boots_again && held.is_some() && !runtime::is_as_started(node, vmid, &config) {
        start_again_later(node, vmid)?;
        return Ok(Verdict::StartAgain);
    }
    drop(held);
    runtime::run_hookscript(node, vmid, &config, "post-stop", output)?;
    Ok(Verdict::AsItWants)
}

/// Takes the container's lock file; `None` when a command holds it that sees to the rest, or holds it too long.
fn lock(node: &Node, vmid: Vmid, output: &mut Output<'_>) -> Option<store::ConfigLock> {
    let deadline = Instant::now() + LOCK_TIME;
    let is_seen_to = || [Phase::Starting, Phase::Ending].iter().any(|phase| mark::is_set(node, vmid, *phase));
    while !is_seen_to() && Instant::now() < deadline {
        if let Ok(held) = store::lock(node, vmid, 0, output) {
            return Some(held);
        }
        std::thread::sleep(STEP);
    }
    None
}

/// Starts the process that starts the container again. It must hold nothing of the monitor's, which waits for no one.
fn start_again_later(node: &Node, vmid: Vmid) -> NodeResult<()> {
    Command::new(&node.helper)
        .args(["__node", START_AGAIN])
        .arg(node.layout.root())
        .args([node.name.as_str(), &vmid.to_string()])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|error| Failure::new(format!("can't start the container again - {error}")))
}

/// Starts a container again as soon as nothing of it is left.
///
/// The mounts of the monitor's namespace, which is this process's too, are taken away: those of the start are in one that
/// is made from it, and sees what is mounted on the host.
///
/// # Errors
/// When this process cannot leave the monitor's control groups; when the container does not end; those of the start.
pub(crate) fn start_again(node: &Node, vmid: Vmid) -> NodeResult<()> {
    let _ = rustix::process::setsid();
    leave_monitor()
        .map_err(|error| Failure::new(format!("can't leave the monitor of CT {vmid} - {error}")))?;
    let (mut out, mut err) = (std::io::sink(), std::io::sink());
    let output = &mut Output::new(&mut out, &mut err);
    {
        let _held = store::lock(node, vmid, GONE_SECONDS, output)?;
        let deadline = Instant::now() + Duration::from_secs(GONE_SECONDS);
        while runtime::is_running(node, vmid) && Instant::now() < deadline {
            std::thread::sleep(STEP);
        }
        storage::unmount_all(&node.layout.rootfs(vmid))?;
        runtime::finish(node, vmid, &store::load(node, vmid)?.config)?;
    }
    verbs::dispatch(node, &Call::on(Verb::Start, vmid), output).map(drop)
}

/// Leaves the control groups of the monitor, which are ended before a start.
fn leave_monitor() -> std::io::Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let unified = root.join("cgroup.procs");
    if unified.exists() {
        return std::fs::write(unified, "0");
    }
    // One hierarchy for each controller.
    let hierarchies = std::fs::read_dir(root)?.flatten().map(|entry| entry.path().join("cgroup.procs"));
    hierarchies.filter(|file| file.exists()).try_for_each(|file| std::fs::write(file, "0"))
}
