//! What a configuration needs before the one that LXC is given can be made of it. `set` looks for it when it has written,
//! and a start before it begins.
//!
//! Source: `update_lxc_config` of pve-container, which finds the first of these that is missing.

use std::path::Path;

use pvect_core::ContainerConfig;
use pvect_core::property::NetInterface;
use pvect_core::schema::check as values;

use crate::network::{Kernel, is_made_here};
use crate::{Failure, Node, NodeResult};

/// Where the kernel lists the network interfaces.
const INTERFACES: &str = "/sys/class/net";

/// Checks that the configuration that LXC is given can be made.
///
/// # Errors
/// `missing 'arch' - internal error`, or the first value that cannot be parsed, or `bridge '<name>' does not exist`.
pub(crate) fn check(node: &Node, config: &ContainerConfig) -> NodeResult<()> {
    check_values(config)?;
    let interfaces = interfaces(config);
    if interfaces.is_empty() {
        // What is wrong with the node's bridges does not concern it.
        return Ok(());
    }
    let made_here = is_made_here(node, Kernel::default())?;
    for (key, text) in interfaces {
        values::stored(key, text).map_err(Failure::new)?;
        let Ok(net) = NetInterface::parse(key, text) else { continue };
        // The start makes this bridge itself.
        if !net.bridge.as_deref().is_some_and(&made_here) {
            check_mtu(Path::new(INTERFACES), key, net.bridge.as_deref(), net.mtu)?;
        }
    }
    Ok(())
}

fn check_values(config: &ContainerConfig) -> NodeResult<()> {
    let stored = |key| config.main.options.get(key).filter(|text| pvect_core::perl::is_true(text));
    for key in ["arch", "ostype"] {
        if stored(key).is_none() {
            return Err(Failure::new(format!("missing '{key}' - internal error")));
        }
    }
    match config.main.options.get("rootfs") {
        Some(text) => values::stored("rootfs", text).map(drop).map_err(Failure::new),
        None => Err(Failure::new("missing 'rootfs' configuration")),
    }
}

/// The interfaces, by key as a text.
fn interfaces(config: &ContainerConfig) -> Vec<(&str, &str)> {
    let nets = config.main.family("net").into_iter().map(|(_, key, text)| (key, text));
    let mut nets: Vec<(&str, &str)> = nets.collect();
    nets.sort_unstable();
    nets
}

/// Checks that a bridge exists and allows the MTU, if one is set.
///
/// # Errors
/// `bridge '<name>' does not exist` (2), `net0: MTU size '<size>' is bigger than bridge MTU '<size>'`.
pub(crate) fn check_mtu(
    interfaces: &Path,
    key: &str,
    bridge: Option<&str>,
    mtu: Option<u16>,
) -> NodeResult<()> {
    let bridge = bridge.unwrap_or_default();
    let missing = || Failure::with_exit(format!("bridge '{bridge}' does not exist"), 2);
    if bridge.is_empty() || matches!(bridge, "." | "..") {
        return Err(missing());
    }
    let limit = std::fs::read_to_string(interfaces.join(bridge).join("mtu")).map_err(|_| missing())?;
    let limit = limit.trim();
    match (mtu, limit.parse::<u32>()) {
        (Some(mtu), Ok(most)) if u32::from(mtu) > most => {
            Err(Failure::new(format!("{key}: MTU size '{mtu}' is bigger than bridge MTU '{limit}'")))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_thing_that_is_missing_is_named() {
        let text = |lines: &[(&str, &str)]| {
            let mut config = ContainerConfig::default();
            lines.iter().for_each(|(key, value)| config.main.set(key, *value));
            check_values(&config).map_err(|failure| failure.text)
        };
        let (arch, ostype) = (("arch", "amd64"), ("ostype", "alpine"));
        assert_eq!(text(&[arch, ostype, ("rootfs", "local:101/vm-101-disk-0.raw")]), Ok(()));
        for (lines, words) in [
            (&[][..], "missing 'arch' - internal error"),
            (&[arch], "missing 'ostype' - internal error"),
            (&[arch, ostype], "missing 'rootfs' configuration"),
        ] {
            assert_eq!(text(lines), Err(words.to_owned()));
        }
    }

    #[test]
    fn a_container_without_interfaces_needs_no_bridges() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        crate::store::ensure_root(&node).unwrap();
        std::fs::write(node.layout.network_cfg(), "bridge: a/b\n").unwrap();
        let mut config = ContainerConfig::default();
        for (key, value) in [("arch", "amd64"), ("ostype", "alpine"), ("rootfs", "local:101/x.raw")] {
            config.main.set(key, value);
        }
        assert_eq!(check(&node, &config), Ok(()));
        config.main.set("net0", "name=eth0,bridge=vmbr0");
        assert!(check(&node, &config).is_err());
    }

    #[test]
    fn bridges_are_looked_at() {
        let sys = tempfile::tempdir().unwrap();
        std::fs::create_dir(sys.path().join("vmbr0")).unwrap();
        std::fs::write(sys.path().join("vmbr0/mtu"), "1500\n").unwrap();
        let of = |bridge, mtu| check_mtu(sys.path(), "net0", bridge, mtu).map_err(|failure| failure.text);
        assert_eq!(of(Some("vmbr0"), Some(1500)), Ok(()));
        for bridge in ["", "..", "nosuch"] {
            assert_eq!(of(Some(bridge), None), Err(format!("bridge '{bridge}' does not exist")));
        }
        assert_eq!(of(None, None), Err("bridge '' does not exist".to_owned()));
    }
}
