//! `pct status`: shows the state of a container.

use std::collections::BTreeMap;

use pvect_core::{Call, ContainerConfig, Status, Vmid};
use pvect_native::NativeReader;

use crate::{Node, NodeResult, Output, store};

/// Shows the state of a container. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let config = store::load_telling(node, vmid, output)?.config;
    let status = status_record(node, vmid, &config);
    if call.get("verbose") == Some("1") {
        for (key, value) in fields(&status) {
            output.line(format!("{key}: {value}"));
        }
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
    let config = store::load_telling(node, vmid, output)?.config;
    output.line(super::json(&status_record(node, vmid, &config))?);
    Ok(0)
}

/// Makes the status record of a container.
pub fn status_record(node: &Node, vmid: Vmid, config: &ContainerConfig) -> Status {
    reader(node).status(vmid, config)
}

/// The reader of this node's containers.
pub(super) fn reader(node: &Node) -> NativeReader {
    NativeReader::new(node.layout.lxc(), node.layout.configs())
}

/// The fields that are set, by key.
fn fields(status: &Status) -> BTreeMap<&str, String> {
    let mut fields: BTreeMap<&str, String> =
        status.other.iter().map(|(key, value)| (key.as_str(), value.clone())).collect();
    let numbers = [
        ("mem", status.mem),
        ("maxmem", status.maxmem),
        ("swap", status.swap),
        ("maxswap", status.maxswap),
        ("disk", status.disk),
        ("maxdisk", status.maxdisk),
        ("diskread", status.diskread),
        ("diskwrite", status.diskwrite),
        ("netin", status.netin),
        ("netout", status.netout),
        ("uptime", status.uptime),
        ("pid", status.pid.map(u64::from)),
    ];
    fields.extend(numbers.into_iter().filter_map(|(key, value)| Some((key, value?.to_string()))));
    fields.insert("vmid", status.vmid.to_string());
    fields.insert("status", status.status.to_string());
    fields.extend(status.name.clone().map(|name| ("name", name)));
    fields.extend(status.lock.as_ref().map(|lock| ("lock", lock.to_string())));
    fields.extend(status.tags.clone().map(|tags| ("tags", tags)));
    fields.extend(status.template.then(|| ("template", "1".to_owned())));
    fields.extend(status.cpus.map(|cpus| ("cpus", cpus.to_string())));
    fields
}
