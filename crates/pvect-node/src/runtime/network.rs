//! The host's side of a running container's network.

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};
use pvect_core::{ContainerConfig, Vmid};

use super::lxc_config::Host;
use super::{names, reader};
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, Output};

/// Bytes a second of a rate, which is in MB/s.
const MEGABYTE: f64 = 1024.0 * 1024.0;
/// The smallest burst, bytes. Source: Proxmox VE.
const BURST_MIN: f64 = 1024.0 * 1024.0;

fn ip(words: &[&str]) -> NodeResult<()> {
    Tool::new("ip", "iproute2").args(words).run()
}

/// `ip` in the network namespace of a process.
fn ip_inside(pid: u32, words: &[&str]) -> NodeResult<()> {
    Tool::new("nsenter", "util-linux")
        .args([&format!("--net=/proc/{pid}/ns/net"), "--", "ip"])
        .args(words)
        .run()
}

/// Does what LXC does not: links that are to be down, rates.
///
/// # Errors
/// When a link cannot be taken down. A rate that cannot be set is a warning.
pub(super) fn after_start(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let names = names(node);
    for (index, key, value) in config.main.family("net") {
        let Ok(net) = NetInterface::parse(key, value) else { continue };
        let device = names.device(vmid, index);
        if net.link_down {
            ip(&["link", "set", "dev", &device, "down"])?;
        }
        if let Err(failure) = limit_rate(&device, &net) {
            output.line(format!("WARN: {key}: can't limit the rate - {}", failure.text));
        }
    }
    Ok(())
}

/// Limits both directions of a device, where a rate is set.
fn limit_rate(device: &str, net: &NetInterface) -> NodeResult<()> {
    let rate: Option<f64> = net.rate.as_deref().and_then(|rate| rate.parse().ok());
    let Some(rate) = rate.filter(|rate| *rate > 0.0) else { return Ok(()) };
    let bytes = rate * MEGABYTE;
    let (rate, burst) = (format!("{bytes:.0}bps"), format!("{:.0}b", bytes.max(BURST_MIN)));
    let tc = |words: &[&str]| Tool::new("tc", "iproute2").args(words).run();
    // To the container and from it; one direction is limited even where the kernel cannot limit the other.
    let to = tc(&[
        "qdisc", "add", "dev", device, "root", "tbf", "rate", &rate, "latency", "100ms", "burst", &burst,
    ]);
    let filter = ["filter", "add", "dev", device, "parent", "ffff:", "prio", "50", "basic"];
    let from = tc(&["qdisc", "add", "dev", device, "handle", "ffff:", "ingress"]).and_then(|()| {
        tc(&[&filter[..], &["police", "rate", &rate, "burst", &burst, "mtu", "64kb", "drop"]].concat())
    });
    to.and(from)
}

/// Adds, changes or removes an interface of a running container. Returns `false` when that needs a restart.
///
/// # Errors
/// `bridge '<name>' does not exist`, or what `ip` says; what was made is removed again.
pub(super) fn hotplug(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    key: &str,
    index: u16,
    value: Option<&str>,
) -> NodeResult<bool> {
    let device = names(node).device(vmid, index);
    let is_there = std::path::Path::new("/sys/class/net").join(&device).exists();
    let Some(value) = value else {
        if is_there {
            ip(&["link", "delete", "dev", &device])?;
        }
        return Ok(true);
    };
    let net = parse(key, value)?;
    if net.tag.is_some() || !net.trunks.is_empty() || net.rate.is_some() || net.firewall {
        return Ok(false);
    }
    let host = Host::of_this_machine(names(node));
    let bridge_mtu = net.bridge.as_deref().map(|bridge| host.bridge_mtu(bridge)).transpose()?;
    let mtu = net.mtu.map(u32::from).or(bridge_mtu);
    let old = config.main.options.get(key).and_then(|old| NetInterface::parse(key, old).ok());
    if !is_there {
        let pid =
            reader(node).init_pid(vmid).ok_or_else(|| Failure::new(format!("CT {vmid} not running")))?;
        let added = add(&device, &net, mtu, pid);
        if added.is_err() {
            let _ = ip(&["link", "delete", "dev", &device]);
        }
        return added.map(|()| true);
    }
    // The same interface on another bridge, or its link up or down: all else needs a restart of the guest's network.
    let Some(old) = old else { return Ok(false) };
    let (bridge, written) = (net.bridge.clone(), net.written.clone());
    if (NetInterface { bridge, link_down: net.link_down, written, ..old }) != net {
        return Ok(false);
    }
    attach(&device, &net)?;
    Ok(true)
}

fn parse(key: &str, value: &str) -> NodeResult<NetInterface> {
    NetInterface::parse(key, value).map_err(|_| Failure::new(format!("unable to parse {key} '{value}'")))
}

/// Puts a device into its bridge and sets its link.
fn attach(device: &str, net: &NetInterface) -> NodeResult<()> {
    match &net.bridge {
        Some(bridge) if !net.link_down => {
            ip(&["link", "set", "dev", device, "master", bridge])?;
            ip(&["link", "set", "dev", device, "up"])
        }
        _ => {
            ip(&["link", "set", "dev", device, "nomaster"])?;
            ip(&["link", "set", "dev", device, "down"])
        }
    }
}

fn add(device: &str, net: &NetInterface, mtu: Option<u32>, pid: u32) -> NodeResult<()> {
    let mtu = mtu.unwrap_or(1500).to_string();
    let mut words = vec!["link", "add", "dev", device, "mtu", &mtu, "type", "veth", "peer"];
    let pid_text = pid.to_string();
    words.extend(["name", net.name.as_str(), "mtu", &mtu, "netns", &pid_text]);
    if let Some(hwaddr) = &net.hwaddr {
        words.extend(["address", hwaddr]);
    }
    ip(&words)?;
    attach(device, net)?;
    ip_inside(pid, &["link", "set", "dev", &net.name, "up"])?;
    // The guest's own files are written at its next start; until then its kernel has the addresses.
    if let Some(Ipv4Config::Static(address, prefix)) = net.ip {
        ip_inside(pid, &["address", "add", &format!("{address}/{prefix}"), "dev", &net.name])?;
    }
    if let Some(Ipv6Config::Static(address, prefix)) = net.ip6 {
        ip_inside(pid, &["address", "add", &format!("{address}/{prefix}"), "dev", &net.name])?;
    }
    if let Some(gateway) = net.gw {
        ip_inside(pid, &["route", "replace", "default", "via", &gateway.to_string(), "dev", &net.name])?;
    }
    if let Some(gateway) = net.gw6 {
        let gateway = gateway.to_string();
        ip_inside(pid, &["-6", "route", "replace", "default", "via", &gateway, "dev", &net.name])?;
    }
    Ok(())
}
