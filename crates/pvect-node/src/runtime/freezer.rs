//! Freezes and thaws a running container, by its cgroup.
//!
//! Not through lxc-freeze: what was frozen by one that got killed, lxc-unfreeze takes for running, and leaves so.
//! Source: cgroup-v1/freezer-subsystem.rst and cgroup-v2.rst of the kernel.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use pvect_core::Vmid;
use pvect_native::{Cgroups, Version};

use crate::interrupt::Interrupt;
use crate::{Failure, Node, NodeResult};

/// How long freezing may take: a process in uninterruptible sleep is waited for.
const LIMIT: Duration = Duration::from_secs(30);
const STEP: Duration = Duration::from_millis(3);

/// The path and version of a container's freezer.
struct Freezer {
    version: Version,
    cgroup: PathBuf,
}

impl Freezer {
    fn of(node: &Node, cgroups: &Cgroups, vmid: Vmid) -> Option<Self> {
        let name = super::names(node).cgroup(vmid);
        // On version 2 the freezer is not a controller but part of every cgroup.
        let (version, root) = match cgroups.is_unified() {
            false => match cgroups.controller("freezer") {
                Some(controller) => (controller.version, controller.path),
                None => (Version::V2, cgroups.unified()?),
            },
            true => (Version::V2, cgroups.unified()?),
        };
        Some(Self { version, cgroup: root.join(name) })
    }

    fn set(&self, frozen: bool) -> NodeResult<()> {
        let (file, text) = match (self.version, frozen) {
            (Version::V1, true) => ("freezer.state", "FROZEN"),
            (Version::V1, false) => ("freezer.state", "THAWED"),
            (Version::V2, true) => ("cgroup.freeze", "1"),
            (Version::V2, false) => ("cgroup.freeze", "0"),
        };
        let path = self.cgroup.join(file);
        std::fs::write(&path, text).map_err(|error| Failure::io("can't write", &path, &error))
    }

    fn is_frozen(&self) -> bool {
        let read = |file: &str| std::fs::read_to_string(self.cgroup.join(file)).unwrap_or_default();
        match self.version {
            Version::V1 => read("freezer.state").trim() == "FROZEN",
            Version::V2 => read("cgroup.events").lines().any(|line| line == "frozen 1"),
        }
    }
}

/// Freezes all processes of a running container and returns when they stand still.
///
/// # Errors
/// When the kernel refuses, or they do not stand still in time; `interrupted by signal`. It is thawed then.
pub(crate) fn freeze(node: &Node, vmid: Vmid, interrupt: &Interrupt) -> NodeResult<()> {
    let cgroups = Cgroups::new("/sys/fs/cgroup");
    let freezer = Freezer::of(node, &cgroups, vmid);
    let freezer = freezer.ok_or_else(|| Failure::new("this machine has no cgroup freezer"))?;
    freezer.set(true)?;
    let deadline = Instant::now() + LIMIT;
    while !freezer.is_frozen() {
        let stopped = match Instant::now() >= deadline {
            true => Err(Failure::new(format!("CT {vmid} cannot be frozen"))),
            false => interrupt.check(),
        };
        if stopped.is_err() {
            let _ = freezer.set(false);
            return stopped;
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

/// Thaws a container; one that does not run, or is not frozen, is fine.
///
/// # Errors
/// When the kernel refuses.
pub(crate) fn thaw(node: &Node, vmid: Vmid) -> NodeResult<()> {
    match Freezer::of(node, &Cgroups::new("/sys/fs/cgroup"), vmid) {
        Some(freezer) if freezer.cgroup.is_dir() => freezer.set(false),
        _ => Ok(()),
    }
}
