//! The host, as far as the LXC configuration depends on it.

use std::path::{Path, PathBuf};

use pvect_native::{Cgroups, Names};

use crate::runtime::apparmor::AppArmor;
use crate::runtime::seccomp;
use crate::{Failure, NodeResult};

/// What the generated text depends on besides the configuration.
#[derive(Debug, Clone)]
pub(in crate::runtime) struct Host {
    /// The names of cgroups and devices.
    pub(in crate::runtime) names: Names,
    /// The machine's cgroups.
    pub(in crate::runtime) cgroups: Cgroups,
    /// The directory of LXC's common configurations.
    pub(in crate::runtime) share: PathBuf,
    /// `/sys/class/net`.
    pub(in crate::runtime) net: PathBuf,
    /// How AppArmor can confine a container here.
    pub(in crate::runtime) apparmor: AppArmor,
    /// The hooks of LXCFS, if it runs: kind and program.
    pub(in crate::runtime) lxcfs: Vec<(&'static str, PathBuf)>,
    /// The socket of pve-lxc-syscalld, if it runs.
    pub(in crate::runtime) syscalld: Option<PathBuf>,
}

impl Host {
    /// This machine.
    pub(in crate::runtime) fn of_this_machine(names: Names) -> Self {
        Self {
            names,
            cgroups: Cgroups::new("/sys/fs/cgroup"),
            share: "/usr/share/lxc/config".into(),
            net: "/sys/class/net".into(),
            apparmor: AppArmor::of_this_machine(),
            lxcfs: own_lxcfs_hooks(),
            syscalld: seccomp::daemon(),
        }
    }

    /// The MTU of a bridge.
    ///
    /// # Errors
    /// `bridge '<name>' does not exist`.
    pub(in crate::runtime) fn bridge_mtu(&self, bridge: &str) -> NodeResult<u32> {
        let path = self.net.join(bridge);
        let missing = || Failure::new(format!("bridge '{bridge}' does not exist"));
        // Open vSwitch has bridges without that directory; LXC would not know what to do with other devices.
        if !path.join("bridge").is_dir() {
            return Err(missing());
        }
        let text = std::fs::read_to_string(path.join("mtu")).map_err(|_| missing())?;
        text.trim().parse().map_err(|_| missing())
    }

    /// Checks that a bridge supports VLANs.
    ///
    /// # Errors
    /// `net0: bridge '<name>' is not VLAN aware`; or that the kernel's bridges do not support VLANs.
    pub(in crate::runtime) fn check_vlans(&self, index: u16, bridge: &str) -> NodeResult<()> {
        let path = self.net.join(bridge).join("bridge/vlan_filtering");
        match std::fs::read_to_string(path) {
            Ok(text) if text.trim() == "1" => Ok(()),
            Ok(_) => Err(Failure::new(format!("net{index}: bridge '{bridge}' is not VLAN aware"))),
            Err(_) => {
                let failure = crate::network::no_vlans();
                Err(Failure::new(format!(
                    "net{index}: bridge '{bridge}' is not VLAN aware: {}",
                    failure.text
                )))
            }
        }
    }
}

/// The hooks of LXCFS on this machine.
pub(in crate::runtime) fn own_lxcfs_hooks() -> Vec<(&'static str, PathBuf)> {
    lxcfs_hooks(Path::new("/var/lib/lxcfs/proc"), Path::new("/usr/share/lxcfs"))
}

/// The hooks of LXCFS, as its package sets them; empty if it does not run. Its post-stop hook sleeps for half a second.
fn lxcfs_hooks(mounted: &Path, share: &Path) -> Vec<(&'static str, PathBuf)> {
    if !mounted.is_dir() {
        return Vec::new();
    }
    let hooks = [("mount", "lxc.mount.hook"), ("post-stop", "lxc.reboot.hook")];
    let hooks = hooks.into_iter().map(|(kind, name)| (kind, share.join(name)));
    hooks.filter(|(_, hook)| hook.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_of_lxcfs_stay_where_it_runs() {
        let dir = tempfile::tempdir().unwrap();
        let (mounted, share) = (dir.path().join("proc"), dir.path().join("share"));
        std::fs::create_dir(&share).unwrap();
        std::fs::write(share.join("lxc.mount.hook"), "").unwrap();
        assert_eq!(lxcfs_hooks(&mounted, &share), []);
        std::fs::create_dir(&mounted).unwrap();
        assert_eq!(lxcfs_hooks(&mounted, &share), [("mount", share.join("lxc.mount.hook"))]);
    }
}
