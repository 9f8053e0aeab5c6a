//! Where the standalone node keeps its files: one root, laid out as on a Proxmox VE node.

use std::path::{Path, PathBuf};

use pvect_core::{NodeName, Vmid};

/// Returns the canonical path of a root: symlinks are resolved, as far as the path exists.
///
/// LXC finds a running container by the path that was given at its start. With another path to the same root it would
/// seem stopped and could be started twice.
pub fn real_root(root: &Path) -> PathBuf {
    let mut missing = Vec::new();
    for existing in root.ancestors() {
        if let Ok(real) = existing.canonicalize() {
            return missing.iter().rev().fold(real, |path, name| path.join(name));
        }
        missing.extend(existing.file_name());
    }
    root.to_owned()
}

/// The paths of one standalone node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layout {
    root: PathBuf,
    node: NodeName,
}

impl Layout {
    /// The root when none is chosen.
    pub const DEFAULT_ROOT: &'static str = "/var/lib/pvect";

    /// Makes the layout of a node below a root (an absolute path).
    pub fn new(root: impl Into<PathBuf>, node: NodeName) -> Self {
        Self { root: root.into(), node }
    }

    /// The node's name.
    pub fn node(&self) -> &NodeName {
        &self.node
    }

    /// The root itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `etc/pve`: what a Proxmox VE node has there.
    pub fn pve(&self) -> PathBuf {
        self.root.join("etc/pve")
    }

    /// `etc/pve/nodes/<node>/lxc`: the configurations.
    pub fn configs(&self) -> PathBuf {
        self.root.join("etc/pve/nodes").join(self.node.as_str()).join("lxc")
    }

    /// The configuration of one container.
    pub fn config(&self, vmid: Vmid) -> PathBuf {
        self.configs().join(format!("{vmid}.conf"))
    }

    /// `etc/pve/datacenter.cfg`: settings of the whole node.
    pub fn datacenter_cfg(&self) -> PathBuf {
        self.root.join("etc/pve/datacenter.cfg")
    }

    /// `etc/pve/ids.cfg`: the host's ids of unprivileged containers.
    pub fn ids_cfg(&self) -> PathBuf {
        self.root.join("etc/pve/ids.cfg")
    }

    /// `run/lock/pvect-ids.lock`: held while `ids.cfg` is changed.
    pub fn ids_lock(&self) -> PathBuf {
        self.root.join("run/lock/pvect-ids.lock")
    }

    /// `etc/pve/storage.cfg`.
    pub fn storage_cfg(&self) -> PathBuf {
        self.root.join("etc/pve/storage.cfg")
    }

    /// `lib/lxc`: what `lxc-start -P` is given.
    pub fn lxc(&self) -> PathBuf {
        self.root.join("lib/lxc")
    }

    /// `lib/lxc/<vmid>`: the generated LXC configuration and the mount of the root file system.
    pub fn container(&self, vmid: Vmid) -> PathBuf {
        self.lxc().join(vmid.to_string())
    }

    /// `lib/lxc/<vmid>/rootfs`: where the root file system is mounted.
    pub fn rootfs(&self, vmid: Vmid) -> PathBuf {
        self.container(vmid).join("rootfs")
    }

    /// `vz`: the path of the storage `local`.
    pub fn local_storage(&self) -> PathBuf {
        self.root.join("vz")
    }

    /// `run/lock/lxc/pve-config-<vmid>.lock`: the lock file that each change of a container holds.
    pub fn config_lock(&self, vmid: Vmid) -> PathBuf {
        self.root.join("run/lock/lxc").join(format!("pve-config-{vmid}.lock"))
    }

    /// `run/lock/lxc/pvect-operation-<vmid>.lock`: held by a command that set the lock value of a configuration and
    /// works on without the lock file. (An extension: with the real pct only the task shows this.)
    pub fn operation_lock(&self, vmid: Vmid) -> PathBuf {
        self.root.join("run/lock/lxc").join(format!("pvect-operation-{vmid}.lock"))
    }

    /// `run/pve`: stderr and warnings of starts.
    pub fn run_dir(&self) -> PathBuf {
        self.root.join("run/pve")
    }

    /// `run/pve/bin`: links by which hook scripts find the node's own `pct`.
    pub fn programs(&self) -> PathBuf {
        self.run_dir().join("bin")
    }

    /// `etc/pve/firewall/<vmid>.fw`: the rules of a container's firewall. This node applies the sets
    /// `ipfilter-net[n]` and keeps the rest.
    pub fn firewall(&self, vmid: Vmid) -> PathBuf {
        self.root.join("etc/pve/firewall").join(format!("{vmid}.fw"))
    }

    /// `etc/pve/network.cfg`: the bridges that the node makes itself.
    pub fn network_cfg(&self) -> PathBuf {
        self.root.join("etc/pve/network.cfg")
    }

    /// `run/network`: files of the services for those bridges. Their DHCP server runs as a user of its own and reads
    /// them.
    pub fn network_run(&self) -> PathBuf {
        self.root.join("run/network")
    }

    /// `lib/network/<bridge>.leases`: the addresses that DHCP gave.
    pub fn network_leases(&self, bridge: &str) -> PathBuf {
        self.root.join("lib/network").join(format!("{bridge}.leases"))
    }

    /// `lib/network/<bridge>.addresses`: the addresses that the node tells the DHCP server to give.
    pub fn network_addresses(&self, bridge: &str) -> PathBuf {
        self.root.join("lib/network").join(format!("{bridge}.addresses"))
    }

    /// `log/tasks`: task logs and their index.
    pub fn tasks(&self) -> PathBuf {
        self.root.join("log/tasks")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_has_one_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let real = dir.path().canonicalize().unwrap();
        std::fs::create_dir(real.join("root")).unwrap();
        std::os::unix::fs::symlink(real.join("root"), real.join("link")).unwrap();
        for (path, expected) in [
            ("root", "root"),
            ("link", "root"),
            ("./root/", "root"),
            ("root/../link", "root"),
            ("link/new/below", "root/new/below"),
            ("new", "new"),
        ] {
            assert_eq!(real_root(&real.join(path)), real.join(expected), "{path}");
        }
    }
}
