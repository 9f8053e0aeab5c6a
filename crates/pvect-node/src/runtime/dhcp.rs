//! Addresses by DHCP for interfaces that the host manages (`host-managed=1`): those of containers without an init system,
//! such as OCI images.
//!
//! The client asks once, at the start, from outside of the container and in its network namespace. It does not stay to
//! renew the lease, unlike the real pct's dhclient: nothing of the host lives in a container's namespaces, and nothing is
//! left by one that ends. Source: udhcpc's README, pve-container's `manage_dhclient`.

use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use pvect_core::property::{Ipv4Config, Ipv6Config, NetInterface};
use pvect_core::{ContainerConfig, Vmid};

use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, Output};

/// What udhcpc calls with an event and the lease in variables.
const SCRIPT: &str = r#"#!/bin/sh
case "$1" in
deconfig)
    ip -4 address flush dev "$interface"
    ip link set dev "$interface" up
    ;;
bound|renew)
    ip -4 address flush dev "$interface"
    ip address add "$ip/${mask:-24}" dev "$interface"
    for gateway in $router; do
        ip route replace default via "$gateway" dev "$interface"
        break
    done
    ;;
esac
"#;

/// How often it asks, and the seconds between.
const TRIES: &str = "4";
const PAUSE: &str = "2";

/// Gets the addresses of a running container. A failure is a warning: the container runs without an address.
pub(super) fn ask(node: &Node, vmid: Vmid, config: &ContainerConfig, output: &mut Output<'_>) {
    for (_, key, value) in config.main.family("net") {
        let Ok(net) = NetInterface::parse(key, value) else { continue };
        if !net.host_managed || net.link_down {
            continue;
        }
        if net.ip6 == Some(Ipv6Config::Dhcp) {
            output.warning(format!("{key}: the standalone node gets no IPv6 address by DHCP"));
        }
        if net.ip == Some(Ipv4Config::Dhcp) {
            if let Err(failure) = lease(node, vmid, config, &net.name) {
                output.warning(format!("{key}: no address by DHCP - {}", failure.text));
            }
        }
    }
}

/// Asks for one interface's address and sets it.
pub(super) fn lease(node: &Node, vmid: Vmid, config: &ContainerConfig, interface: &str) -> NodeResult<()> {
    let client = client(Path::new("/"))?;
    let place = super::opened(vmid, super::init(node, vmid)?.namespace("net"))?;
    let script = node.layout.container(vmid).join("dhcp");
    write(&script).map_err(|error| Failure::io("can't write", &script, &error))?;
    let name = format!("hostname:{}", config.name(vmid));
    Tool::new("nsenter", "util-linux")
        .arg(format!("--net={}", super::path_of(&place)))
        .arg("--")
        .args(client)
        // udhcpc ends once it has a lease, or when it cannot get one.
        .args(["-i", interface, "-q", "-n", "-f", "-t", TRIES, "-T", PAUSE, "-x", &name, "-s"])
        .arg(&script)
        .run()
}

/// The words that begin a call of udhcpc.
fn client(root: &Path) -> NodeResult<Vec<PathBuf>> {
    let find = |name: &str| {
        let places = ["usr/sbin", "usr/bin", "sbin", "bin"].map(|place| root.join(place).join(name));
        places.into_iter().find(|path| path.is_file())
    };
    match (find("udhcpc"), find("busybox")) {
        (Some(client), _) => Ok(vec![client]),
        (None, Some(busybox)) => Ok(vec![busybox, "udhcpc".into()]),
        (None, None) => Err(Failure::not_installed("udhcpc", "udhcpc")),
    }
}

fn write(script: &Path) -> std::io::Result<()> {
    // A killed start of a container may have left the file behind.
    match std::fs::remove_file(script) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o700).open(script)?;
    std::io::Write::write_all(&mut file, SCRIPT.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_found() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(client(dir.path()).unwrap_err().text, "udhcpc is not installed: apt-get install udhcpc");
        std::fs::create_dir_all(dir.path().join("bin")).unwrap();
        std::fs::create_dir_all(dir.path().join("usr/sbin")).unwrap();
        std::fs::write(dir.path().join("bin/busybox"), "").unwrap();
        assert_eq!(client(dir.path()).unwrap(), [dir.path().join("bin/busybox"), "udhcpc".into()]);
        std::fs::write(dir.path().join("usr/sbin/udhcpc"), "").unwrap();
        assert_eq!(client(dir.path()).unwrap(), [dir.path().join("usr/sbin/udhcpc")]);
    }

    #[test]
    fn the_script_is_written_anew() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("dhcp");
        std::fs::write(&path, "old").unwrap();
        write(&path).unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), SCRIPT);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o700);
    }
}
