//! Running containers: the generated LXC configuration, start, stop, limits, processes inside.

use std::time::Duration;

use pvect_core::{ContainerConfig, Vmid};

use crate::{Failure, Node, NodeResult, Output};

/// Returns whether the container's LXC monitor runs.
pub fn is_running(_node: &Node, _vmid: Vmid) -> bool {
    false
}

/// Starts a container and returns when its init runs. The configuration lock is held by the caller.
///
/// # Errors
/// What the real pct says (`startup for container '<vmid>' failed` and the reason before it).
pub fn start(
    _node: &Node,
    _vmid: Vmid,
    _config: &ContainerConfig,
    _debug: bool,
    _output: &mut Output<'_>,
) -> NodeResult<()> {
    Err(Failure::new("not there yet"))
}

/// How a container is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopMode {
    /// All processes are killed.
    Kill,
    /// Init is asked; killed after the time if `then_kill`, else an error.
    Shutdown {
        /// How long it may take.
        timeout: Duration,
        /// What happens then.
        then_kill: bool,
    },
}

/// Ends a container and returns when nothing of it runs and its mounts are gone.
///
/// # Errors
/// When it does not end in time.
pub fn stop(
    _node: &Node,
    _vmid: Vmid,
    _config: &ContainerConfig,
    _mode: StopMode,
    _output: &mut Output<'_>,
) -> NodeResult<()> {
    Err(Failure::new("not there yet"))
}

/// Brings one changed or deleted option (`value` is `None`) into force on a running container.
///
/// Returns `false` when the option cannot change while it runs: it then stays pending.
///
/// # Errors
/// When the change was tried and failed; nothing is changed then.
pub fn hotplug(
    _node: &Node,
    _vmid: Vmid,
    _config: &ContainerConfig,
    _key: &str,
    _value: Option<&str>,
) -> NodeResult<bool> {
    Err(Failure::new("not there yet"))
}

/// Writes `lib/lxc/<vmid>/config`, the LXC configuration.
///
/// # Errors
/// When an option cannot be expressed or the file cannot be written.
pub fn write_lxc_config(_node: &Node, _vmid: Vmid, _config: &ContainerConfig) -> NodeResult<()> {
    Err(Failure::new("not there yet"))
}
