//! `pct migrate`, `pct remote-migrate`: refused. The standalone node has no other node to hand a container to.

use pvect_core::{Call, Verb};

use crate::usage::report::bad_parameters;
use crate::{Failure, Node, NodeResult, Output, store};

/// The exit status when a call is refused before the container is checked.
const REFUSED_EXIT: u8 = 2;

/// Refuses to move a container to another node; what the real pct refuses first is refused in its words.
///
/// # Errors
/// Always: the text and status that pct ends with, or why this node cannot do it.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    if call.verb() == Verb::Migrate {
        let target = call.args().get(1).map(String::as_str).unwrap_or_default();
        if is_this_node(node, target) {
            return Err(bad_parameters(Verb::Migrate, &["target"], "target is local node."));
        }
        check_node(node, target)?;
    }
    store::load_telling(node, vmid, output)?;
    Err(Failure::new(format!(
        "can't migrate CT {vmid}: the standalone node '{}' is not a member of a cluster; move it with a backup and a restore",
        node.name
    )))
}

/// Returns whether a name is this node's.
pub(super) fn is_this_node(node: &Node, name: &str) -> bool {
    name == node.name.as_str() || name == "localhost"
}

/// Checks that a node's directory is there.
///
/// # Errors
/// `no such cluster node '<name>'`.
pub(super) fn check_node(node: &Node, name: &str) -> NodeResult<()> {
    match node.layout.root().join("etc/pve/nodes").join(name).is_dir() {
        true => Ok(()),
        false => Err(Failure::with_exit(format!("no such cluster node '{name}'"), REFUSED_EXIT)),
    }
}
