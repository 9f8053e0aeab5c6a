//! One file for each verb. A verb takes the checked call and returns the exit status.

mod bandwidth;
mod clone;
mod config;
mod console;
mod cpusets;
mod create;
pub(crate) mod delsnapshot;
mod destroy;
mod df;
mod enter;
mod exec;
mod fsck;
mod fstrim;
mod help;
mod list;
mod listsnapshot;
mod migrate;
mod mount;
mod move_volume;
mod new_container;
mod new_volumes;
mod pending;
mod pull;
mod push;
mod reboot;
mod rescan;
mod resize;
mod restore;
mod rollback;
mod set;
mod shutdown;
pub(crate) mod snapshot;
pub(crate) mod start;
mod status;
mod stop;
mod suspend;
mod template;
mod unlock;
mod unmount;

pub use config::typed;
pub use status::status_record;

use pvect_core::{Call, SnapshotName, Verb, Vmid};

use crate::rights::Denied;
use crate::{Failure, Node, NodeResult, Output, runtime};

/// The option of create and restore that says whether a backup's configuration is trusted; an extension of this node.
pub(crate) const TRUST_CONFIG: &str = "trust-config";

pub(crate) use pull::FILL;

/// Returns whether this node supports a verb. There is no other node to move a container to.
pub fn supported(verb: Verb) -> bool {
    !matches!(verb, Verb::Migrate | Verb::RemoteMigrate)
}

/// Runs the call's verb.
///
/// # Errors
/// The text and status that pct ends with.
pub fn dispatch(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    refuse_foreign(node, call)?;
    match call.verb() {
        Verb::Clone => clone::run(node, call, output),
        Verb::Config => config::run(node, call, output),
        Verb::Console => console::run(node, call, output),
        Verb::Cpusets => cpusets::run(node, call, output),
        Verb::Create => create::run(node, call, output),
        Verb::Delsnapshot => delsnapshot::run(node, call, output),
        Verb::Destroy => destroy::run(node, call, output),
        Verb::Df => df::run(node, call, output),
        Verb::Enter => enter::run(node, call, output),
        Verb::Exec => exec::run(node, call, output),
        Verb::Fsck => fsck::run(node, call, output),
        Verb::Fstrim => fstrim::run(node, call, output),
        Verb::Help => help::run(node, call, output),
        Verb::List => list::run(node, call, output),
        Verb::Listsnapshot => listsnapshot::run(node, call, output),
        Verb::Migrate | Verb::RemoteMigrate => migrate::run(node, call, output),
        Verb::Mount => mount::run(node, call, output),
        Verb::MoveVolume => move_volume::run(node, call, output),
        Verb::Pending => pending::run(node, call, output),
        Verb::Pull => pull::run(node, call, output),
        Verb::Push => push::run(node, call, output),
        Verb::Reboot => reboot::run(node, call, output),
        Verb::Rescan => rescan::run(node, call, output),
        Verb::Restore => restore::run(node, call, output),
        Verb::Resize => resize::run(node, call, output),
        Verb::Rollback => rollback::run(node, call, output),
        Verb::Set => set::run(node, call, output),
        Verb::Shutdown => shutdown::run(node, call, output),
        Verb::Snapshot => snapshot::run(node, call, output),
        Verb::Start => start::run(node, call, output),
        Verb::Status => status::run(node, call, output),
        Verb::Stop => stop::run(node, call, output),
        Verb::Suspend | Verb::Resume => suspend::run(node, call, output),
        Verb::Template => template::run(node, call, output),
        Verb::Unlock => unlock::run(node, call, output),
        Verb::Unmount => unmount::run(node, call, output),
    }
}

/// Runs a verb that was asked for JSON with `--output-format json`, an extension of this node.
///
/// # Errors
/// As [`dispatch`].
pub fn dispatch_json(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    match call.verb() {
        Verb::Config => config::run_json(node, call, output),
        Verb::List => list::run_json(node, output),
        Verb::Status => {
            refuse_foreign(node, call)?;
            status::run_json(node, call, output)
        }
        _ => dispatch(node, call, output),
    }
}

/// Refuses a container whose command socket somebody else holds: what the socket says about it cannot be trusted. Verbs
/// that only show the configuration do not ask the monitor.
fn refuse_foreign(node: &Node, call: &Call) -> NodeResult<()> {
    let asks_none = matches!(call.verb(), Verb::Config | Verb::Pending | Verb::Listsnapshot | Verb::Help);
    match call.vmid().filter(|_| !asks_none) {
        Some(vmid) => runtime::refuse_foreign(node, vmid),
        None => Ok(()),
    }
}

/// The exit status of what pct refuses once it has read the configuration: the system's error number that its
/// reading leaves behind (ENOTTY).
const AFTER_LOAD_EXIT: u8 = 25;

/// Returns the container that a call is about.
fn vmid(call: &Call) -> NodeResult<Vmid> {
    // The parser has checked it.
    call.vmid().ok_or_else(not_enough_arguments)
}

/// Returns the name of the snapshot that a call is about.
fn snapshot_name(call: &Call) -> NodeResult<SnapshotName> {
    let text = call.args().get(1).ok_or_else(not_enough_arguments)?;
    text.parse().map_err(|error| Failure::with_exit(format!("{error}"), 2))
}

/// `400 not enough arguments`.
fn not_enough_arguments() -> Failure {
    Failure::bad_request("not enough arguments")
}

/// `403 Permission check failed (pool '<name>' does not exist)`: this node has no pools to put containers in.
fn no_pool(name: &str) -> Failure {
    Denied::check(&format!("pool '{name}' does not exist")).into()
}

/// Returns whether a boolean option is given and true.
fn is_on(call: &Call, name: &str) -> bool {
    call.get(name).and_then(pvect_core::property::boolean) == Some(true)
}

fn json<T: serde::Serialize>(value: &T) -> NodeResult<String> {
    serde_json::to_string(value).map_err(|error| Failure::new(format!("can't make JSON - {error}")))
}
