//! Cgroups that a container left behind.

use std::path::Path;

use pvect_core::Vmid;
use pvect_native::{Cgroups, Names};

/// Removes the cgroups of a container that does not run. A monitor that was killed leaves them, and LXC refuses to
/// start in cgroups that exist.
///
/// Cgroups that still have processes stay, because the kernel does not remove them.
pub(super) fn remove(cgroups: &Cgroups, names: &Names, vmid: Vmid) {
    for hierarchy in cgroups.hierarchies() {
        for cgroup in [names.cgroup(vmid), names.monitor_cgroup(vmid)] {
            remove_tree(&hierarchy.join(cgroup));
        }
    }
}

/// Returns whether there is a cgroup of the container.
pub(super) fn exist(cgroups: &Cgroups, names: &Names, vmid: Vmid) -> bool {
    let found =
        |cgroup: String| cgroups.hierarchies().iter().any(|hierarchy| hierarchy.join(&cgroup).exists());
    found(names.cgroup(vmid)) || found(names.monitor_cgroup(vmid))
}

/// Kills what still runs in the container's cgroups. Only for a container whose monitor is gone.
pub(super) fn kill(cgroups: &Cgroups, names: &Names, vmid: Vmid) {
    let mut found = std::collections::BTreeSet::new();
    for hierarchy in cgroups.hierarchies() {
        collect(&hierarchy.join(names.cgroup(vmid)), &mut found);
    }
    for pid in found {
        if let Some(pid) = rustix::process::Pid::from_raw(pid) {
            // It may have ended meanwhile.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn collect(cgroup: &Path, found: &mut std::collections::BTreeSet<i32>) {
    let text = std::fs::read_to_string(cgroup.join("cgroup.procs")).unwrap_or_default();
    found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|pid| *pid > 1));
    for child in children(cgroup) {
        collect(&child, found);
    }
}

fn children(cgroup: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(cgroup).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn remove_tree(cgroup: &Path) {
    for child in children(cgroup) {
        remove_tree(&child);
    }
    // A cgroup is removed by rmdir alone; its files cannot be removed.
    let _ = std::fs::remove_dir(cgroup);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_removed_in_every_hierarchy() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["memory/lxc/101/ns", "cpu/lxc/101/ns/x", "cpu/lxc.monitor/101", "cpu/lxc/102"] {
            std::fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        let (cgroups, names) = (Cgroups::new(dir.path()), Names::new("/var/lib/lxc"));
        let vmid = "101".parse().unwrap();
        assert!(exist(&cgroups, &names, vmid));
        remove(&cgroups, &names, vmid);
        assert!(!exist(&cgroups, &names, vmid));
        assert!(dir.path().join("cpu/lxc/102").exists());
    }
}
