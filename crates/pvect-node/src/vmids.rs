//! Which numbers containers have.

use std::fs;
use std::io::ErrorKind;

use pvect_core::Vmid;

use crate::{Failure, Node, NodeResult};

/// Returns the vmids that have a configuration, ascending. Files with other names are skipped.
///
/// # Errors
/// When the directory cannot be read; a missing one is an empty list.
pub fn all(node: &Node) -> NodeResult<Vec<Vmid>> {
    numbers(node).map(|numbers| numbers.vmids)
}

/// The numbers that have a configuration, each list ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Numbers {
    /// Numbers that a container cannot have, from 1 to 99.
    pub strays: Vec<u32>,
    /// Containers.
    pub vmids: Vec<Vmid>,
}

/// As [`all`], with the numbers below 100, which Proxmox VE also lists.
///
/// # Errors
/// As [`all`].
pub(crate) fn numbers(node: &Node) -> NodeResult<Numbers> {
    let directory = node.layout.configs();
    let entries = match fs::read_dir(&directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Numbers::default()),
        Err(error) => return Err(Failure::io("can't read", &directory, &error)),
    };
    let mut numbers = Numbers::default();
    for entry in entries {
        let entry = entry.map_err(|error| Failure::io("can't read", &directory, &error))?;
        let name = entry.file_name();
        let Some(number) = name.to_str().and_then(|name| name.strip_suffix(".conf")) else { continue };
        match number.parse::<Vmid>() {
            Ok(vmid) => numbers.vmids.push(vmid),
            Err(_) if number.starts_with('0') || number.starts_with('+') => {}
            Err(_) => numbers.strays.extend(number.parse::<u32>().ok().filter(|number| *number < 100)),
        }
    }
    numbers.vmids.sort_unstable();
    numbers.strays.sort_unstable();
    Ok(numbers)
}

/// Checks that no container and no virtual machine of the cluster has a vmid.
///
/// # Errors
/// `CT <vmid> already exists on node '<node>'`, `VM ...` for a virtual machine's (2).
pub fn check_unused(node: &Node, vmid: Vmid) -> NodeResult<()> {
    let nodes = node.layout.root().join("etc/pve/nodes");
    let entries = match fs::read_dir(&nodes) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Failure::io("can't read", &nodes, &error)),
    };
    for entry in entries.flatten() {
        for (directory, kind) in [("lxc", "CT"), ("qemu-server", "VM")] {
            let path = entry.path().join(directory).join(format!("{vmid}.conf"));
            if fs::symlink_metadata(path).is_ok() {
                let name = entry.file_name();
                return Err(exists(kind, vmid, &name.to_string_lossy()));
            }
        }
    }
    Ok(())
}

/// `CT <vmid> already exists on node '<node>'` (2).
pub(crate) fn exists(kind: &str, vmid: Vmid, node: &str) -> Failure {
    Failure::with_exit(format!("{kind} {vmid} already exists on node '{node}'"), 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        fs::create_dir_all(node.layout.configs()).unwrap();
        (dir, node)
    }

    fn vmid(text: &str) -> Vmid {
        text.parse().unwrap()
    }

    #[test]
    fn ids_are_unique_in_the_cluster() {
        let (dir, node) = node();
        for path in ["other/lxc/201.conf", "vm/qemu-server/202.conf"] {
            let path = dir.path().join("etc/pve/nodes").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let text = |id: &str| check_unused(&node, vmid(id)).unwrap_err().text;
        assert_eq!(text("201"), "CT 201 already exists on node 'other'");
        assert_eq!(text("202"), "VM 202 already exists on node 'vm'");
        assert!(check_unused(&node, vmid("203")).is_ok());
    }

    #[test]
    fn only_configurations_are_listed() {
        let (_dir, node) = node();
        for name in
            ["1000.conf", "101.conf", "99.conf", "0101.conf", "x.conf", ".tmp-1", "102", "103.conf.bak"]
        {
            fs::write(node.layout.configs().join(name), "").unwrap();
        }
        assert_eq!(
            numbers(&node).unwrap(),
            Numbers { strays: vec![99], vmids: vec![vmid("101"), vmid("1000")] }
        );
    }
}
