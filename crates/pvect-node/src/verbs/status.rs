//! `pct status`: shows the state of a container.

use std::collections::BTreeMap;

use pvect_core::property::RootFs;
use pvect_core::{Call, ContainerConfig, RunState, Status, Vmid};

use crate::{Node, NodeResult, Output, runtime, store};

/// The size of the root file system when none is recorded. Source: `vmstatus` of pve-container.
const ASSUMED_DISK: u64 = 4 << 30;

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

/// Returns the hostname, or `CT<vmid>`, without white space.
pub(super) fn display_name(config: &ContainerConfig, vmid: Vmid) -> String {
    config.name(vmid).split_whitespace().collect()
}

/// Makes the status record of a container.
pub fn status_record(node: &Node, vmid: Vmid, config: &ContainerConfig) -> Status {
    let running = runtime::is_running(node, vmid);
    let main = &config.main;
    let size = main.options.get("rootfs").and_then(|text| RootFs::parse(text).ok()).and_then(|fs| fs.size);
    Status {
        vmid,
        status: if running { RunState::Running } else { RunState::Stopped },
        name: Some(display_name(config, vmid)),
        lock: config.lock(),
        tags: main.options.get("tags").cloned(),
        template: main.is_set("template"),
        cpus: Some(main.cores().map(f64::from).or(main.cpulimit()).unwrap_or_else(host_cpus)),
        mem: Some(0),
        maxmem: Some(main.memory_mib().saturating_mul(1 << 20)),
        swap: Some(0),
        maxswap: Some(main.swap_mib().saturating_mul(1 << 20)),
        disk: Some(0),
        maxdisk: Some(size.map_or(ASSUMED_DISK, |size| size.0)),
        diskread: Some(0),
        diskwrite: Some(0),
        netin: Some(0),
        netout: Some(0),
        uptime: Some(0),
        pid: None,
        other: BTreeMap::from([("type".to_owned(), "lxc".to_owned())]),
    }
}

fn host_cpus() -> f64 {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let count = text.lines().filter(|line| line.starts_with("processor")).count();
    u32::try_from(count.max(1)).map_or(1.0, f64::from)
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
