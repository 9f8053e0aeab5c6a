//! One file for each verb. A verb takes the checked call and returns the exit status.

mod config;
mod console;
mod create;
mod destroy;
mod enter;
mod exec;
mod help;
mod list;
mod listsnapshot;
mod pending;
mod pull;
mod push;
mod reboot;
mod set;
mod shutdown;
mod start;
mod status;
mod stop;
mod unlock;

use pvect_core::{Call, Verb};

use crate::{Failure, Node, NodeResult, Output};

/// Runs the call's verb.
///
/// # Errors
/// The text and status that pct ends with.
pub fn dispatch(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    match call.verb() {
        Verb::Config => config::run(node, call, output),
        Verb::Console => console::run(node, call, output),
        Verb::Create => create::run(node, call, output),
        Verb::Destroy => destroy::run(node, call, output),
        Verb::Enter => enter::run(node, call, output),
        Verb::Exec => exec::run(node, call, output),
        Verb::Help => help::run(node, call, output),
        Verb::List => list::run(node, call, output),
        Verb::Listsnapshot => listsnapshot::run(node, call, output),
        Verb::Pending => pending::run(node, call, output),
        Verb::Pull => pull::run(node, call, output),
        Verb::Push => push::run(node, call, output),
        Verb::Reboot => reboot::run(node, call, output),
        Verb::Set => set::run(node, call, output),
        Verb::Shutdown => shutdown::run(node, call, output),
        Verb::Start => start::run(node, call, output),
        Verb::Status => status::run(node, call, output),
        Verb::Stop => stop::run(node, call, output),
        Verb::Unlock => unlock::run(node, call, output),
        other => Err(Failure::new(format!("the standalone node cannot do 'pct {other}' yet"))),
    }
}
