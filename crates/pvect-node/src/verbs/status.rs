//! `pct status`: shows the state of a container.

use pvect_core::{Call, ContainerConfig, Status, Vmid};
use pvect_native::NativeReader;

use crate::{Node, NodeResult, Output, store, verified};

/// Shows the state of a container. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let status = asked(node, vmid, output)?;
    if call.get("verbose") == Some("1") {
        output.text(status.to_output());
    } else {
        output.line(format!("status: {}", status.status));
    }
    Ok(0)
}

/// `pct status N --output-format json`, an extension: the record of `--verbose` as an object.
///
/// # Errors
/// As [`run`].
pub fn run_json(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let status = asked(node, vmid, output)?;
    output.line(super::json(&status)?);
    Ok(0)
}

fn asked(node: &Node, vmid: Vmid, output: &mut Output<'_>) -> NodeResult<Status> {
    let config = store::load_telling(node, vmid, output)?.config;
    let status = status_record(node, vmid, &config);
    verified::counted(&config, status.pid.is_some(), output)?;
    Ok(status)
}

/// Makes the status record of a container.
pub fn status_record(node: &Node, vmid: Vmid, config: &ContainerConfig) -> Status {
    reader(node).status(vmid, config)
}

/// The reader of this node's containers.
pub(super) fn reader(node: &Node) -> NativeReader {
    NativeReader::new(node.layout.lxc(), node.layout.configs())
}
