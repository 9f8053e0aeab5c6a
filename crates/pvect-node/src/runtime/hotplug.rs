//! Changes of a running container's limits, and which options can change at all.

use std::path::{Path, PathBuf};

use pvect_core::property::{DeviceEntry, MountPoint};
use pvect_core::{ContainerConfig, Vmid};
use pvect_native::{Cgroups, Names, Version};

use super::limits::{self, MemoryLimit, Setting};
use super::{live, names, network};
use crate::{Failure, Node, NodeResult};

/// Options that are in force as soon as they are stored. Source: pve-container's `LXC_FASTPLUG_OPTIONS`.
const IMMEDIATE: &[&str] =
    &["description", "hookscript", "hostname", "lock", "onboot", "protection", "startup", "tags"];
const MIB: u64 = 1 << 20;

/// See [`super::hotplug()`].
pub(super) fn hotplug(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    key: &str,
    value: Option<&str>,
) -> NodeResult<bool> {
    let limits = Limits::of(Cgroups::new("/sys/fs/cgroup"), &names(node), vmid);
    match key {
        "memory" | "swap" | "cpulimit" | "cpuunits" | "cores" => limits.change(key, value),
        _ if IMMEDIATE.contains(&key) => Ok(true),
        _ => match (index_of(key, "net"), value) {
            // The real pct accepts one digit only.
            (Some(10..), None) => Ok(false),
            (Some(index), _) => network::hotplug(node, vmid, config, key, index, value),
            (None, Some(value)) => plug(node, vmid, config, key, value),
            (None, None) => Ok(index_of(key, "unused").is_some()),
        },
    }
}

/// Brings a new mount point or device in; one that replaces another waits for the next start.
fn plug(node: &Node, vmid: Vmid, config: &ContainerConfig, key: &str, value: &str) -> NodeResult<bool> {
    let bad = |_| Failure::new(format!("unable to parse the value '{value}'"));
    if config.main.get(key).is_some() {
        return Ok(false);
    }
    if index_of(key, "mp").is_some() {
        let point = MountPoint::parse(key, value).map_err(bad)?;
        live::mount(node, vmid, config, key, &point)?;
        return Ok(true);
    }
    if index_of(key, "dev").is_some() {
        let entry = DeviceEntry::parse(key, value).map_err(bad)?;
        live::device(node, vmid, config, key, &entry)?;
        return Ok(true);
    }
    Ok(false)
}

fn index_of(key: &str, family: &str) -> Option<u16> {
    key.strip_prefix(family)?.parse().ok()
}

/// The cgroups of one running container.
struct Limits {
    cgroups: Cgroups,
    cgroup: String,
    seed: u32,
}

impl Limits {
    fn of(cgroups: Cgroups, names: &Names, vmid: Vmid) -> Self {
        Self { cgroups, cgroup: names.cgroup(vmid), seed: vmid.get() }
    }

    fn change(&self, key: &str, value: Option<&str>) -> NodeResult<bool> {
        let bad = || Failure::new(format!("unable to parse {key} '{}'", value.unwrap_or_default()));
        match key {
            "memory" => {
                let Some(value) = value else { return Ok(false) };
                let mib: u64 = value.parse().map_err(|_| bad())?;
                self.set_memory(Some(mib.saturating_mul(MIB)), None)?;
            }
            "swap" => {
                let mib: u64 = value.map_or(Ok(0), str::parse).map_err(|_| bad())?;
                self.set_memory(None, Some(mib.saturating_mul(MIB)))?;
            }
            "cpulimit" => {
                let limit: Option<f64> = value.map(str::parse).transpose().map_err(|_| bad())?;
                let (version, path) = self.find("cpu")?;
                for setting in limits::cpu_limit(version, limit) {
                    set(&path, setting.file, &setting.value)?;
                }
            }
            "cpuunits" => {
                let units: Option<u32> = value.map(str::parse).transpose().map_err(|_| bad())?;
                let (version, path) = self.find("cpu")?;
                let setting = limits::cpu_weight(version, units);
                set(&path, setting.file, &setting.value)?;
            }
            _ => {
                let cores: Option<u32> = value.map(str::parse).transpose().map_err(|_| bad())?;
                self.set_cores(cores)?;
            }
        }
        Ok(true)
    }

    /// The container's cgroup of a controller.
    fn find(&self, controller: &str) -> NodeResult<(Version, PathBuf)> {
        let found = self.cgroups.controller(controller);
        let found = found.map(|found| (found.version, found.path.join(&self.cgroup)));
        match found {
            Some((version, path)) if path.is_dir() => Ok((version, path)),
            Some(_) => Err(Failure::new("container not running")),
            None => Err(Failure::new(format!("the kernel has no '{controller}' cgroup controller"))),
        }
    }

    /// Changes memory, swap or both, in bytes; what is not given stays as the cgroup has it.
    fn set_memory(&self, memory: Option<u64>, swap: Option<u64>) -> NodeResult<()> {
        let (version, path) = self.find("memory")?;
        match version {
            Version::V2 => {
                if let Some(swap) = swap {
                    set(&path, "memory.swap.max", &swap.to_string())?;
                }
                if let Some(memory) = memory {
                    let high = MemoryLimit { memory, swap: 0 }.high();
                    let old = read(&path, "memory.high")?;
                    set(&path, "memory.high", &high.to_string())?;
                    set(&path, "memory.max", &memory.to_string())
                        .inspect_err(|_| drop(set(&path, "memory.high", &old)))?;
                }
                Ok(())
            }
            Version::V1 => set_memory_v1(&path, memory, swap),
        }
    }

    /// Changes the CPUs; without a number, to all that containers may use.
    fn set_cores(&self, cores: Option<u32>) -> NodeResult<()> {
        let (version, path) = self.find("cpuset")?;
        let chosen = cores.and_then(|cores| limits::cpuset(&self.cgroups, cores, self.seed));
        let all = || -> NodeResult<Setting> {
            let root = self.cgroups.controller("cpuset").map(|found| found.path);
            let cpus = root.and_then(|root| limits::available_cpus(&root, version));
            let cpus = cpus.ok_or_else(|| Failure::new("can't read the CPUs of the host"))?;
            Ok(Setting { version, file: "cpuset.cpus", value: limits::print_cpus(&cpus) })
        };
        let setting = chosen.map_or_else(all, Ok)?;
        match version {
            Version::V2 => set(&path, setting.file, &setting.value),
            Version::V1 => set_cpus_v1(&path, &setting.value),
        }
    }
}

/// On version 1 one limit applies to memory, the other to memory and swap together, and the first may never exceed the
/// second. The order of the two writes depends on that.
fn set_memory_v1(path: &Path, memory: Option<u64>, swap: Option<u64>) -> NodeResult<()> {
    const MEMORY: &str = "memory.limit_in_bytes";
    const BOTH: &str = "memory.memsw.limit_in_bytes";
    let number = |file: &str| -> NodeResult<u64> {
        read(path, file)?.parse().map_err(|_| Failure::new(format!("can't understand {file}")))
    };
    let old_memory = number(MEMORY)?;
    if !path.join(BOTH).exists() {
        // Without swap accounting there is nothing to set for swap.
        return memory.map_or(Ok(()), |memory| set(path, MEMORY, &memory.to_string()));
    }
    let old_both = number(BOTH)?;
    let memory = memory.unwrap_or(old_memory);
    let swap = swap.unwrap_or_else(|| old_both.saturating_sub(old_memory));
    let both = MemoryLimit { memory, swap }.both();
    let steps = [(MEMORY, memory, old_memory), (BOTH, both, old_both)];
    let order = if both > old_both { [steps[1], steps[0]] } else { steps };
    for (index, (file, new, _)) in order.iter().enumerate() {
        if let Err(failure) = set(path, file, &new.to_string()) {
            for (file, _, old) in order[..index].iter().rev() {
                let _ = set(path, file, &old.to_string());
            }
            return Err(failure);
        }
    }
    Ok(())
}

/// On version 1 a cgroup's CPUs must hold those of each one below it: first all get the old and the new ones from
/// the top, then only the new ones from the bottom.
fn set_cpus_v1(path: &Path, cpus: &str) -> NodeResult<()> {
    const FILE: &str = "cpuset.cpus";
    let old = read(path, FILE)?;
    let united = {
        let parse = |text: &str| limits::parse_cpus(text).unwrap_or_default();
        let mut united = [parse(&old), parse(cpus)].concat();
        united.sort_unstable();
        united.dedup();
        limits::print_cpus(&united)
    };
    set(path, FILE, &united)?;
    for child in children(path) {
        set_cpus_v1(&child, cpus)?;
    }
    set(path, FILE, cpus)
}

fn children(path: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

fn read(path: &Path, file: &str) -> NodeResult<String> {
    let path = path.join(file);
    let text = std::fs::read_to_string(&path).map_err(|error| Failure::io("can't read", &path, &error))?;
    Ok(text.trim().to_owned())
}

/// Writes a value and reads it back, because the kernel may have set another one.
fn set(path: &Path, file: &str, value: &str) -> NodeResult<()> {
    let full = path.join(file);
    std::fs::write(&full, value).map_err(|error| Failure::io("can't write", &full, &error))?;
    let now = read(path, file)?;
    if is_taken(value, &now) {
        Ok(())
    } else {
        Err(Failure::new(format!("'{}' is '{now}' after '{value}' was written", full.display())))
    }
}

/// Whether a value that was read back matches the one that was written: memory limits are rounded down to whole pages,
/// and very large ones mean no limit.
fn is_taken(written: &str, read: &str) -> bool {
    /// The largest page size of an architecture that Debian has.
    const PAGE: u64 = 65_536;
    if written == read {
        return true;
    }
    match (written.parse::<u64>(), read.parse::<u64>()) {
        (Ok(written), Ok(read)) => {
            read <= written && (written - read < PAGE || read >= i64::MAX as u64 / PAGE * PAGE)
        }
        (Ok(written), Err(_)) => read == "max" && written >= i64::MAX as u64 / PAGE * PAGE,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files that keep what is written to them, like those of the kernel.
    fn limits(files: &[(&str, &str)]) -> (tempfile::TempDir, Limits) {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = dir.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let limits =
            Limits::of(Cgroups::new(dir.path()), &Names::new("/var/lib/lxc"), "101".parse().unwrap());
        (dir, limits)
    }

    fn file(dir: &tempfile::TempDir, path: &str) -> String {
        std::fs::read_to_string(dir.path().join(path)).unwrap()
    }

    #[test]
    fn the_unified_hierarchy_is_changed() {
        let (dir, limits) = limits(&[
            ("cgroup.controllers", "cpuset cpu memory"),
            ("cpuset.cpus.effective", "0-3\n"),
            ("lxc/101/memory.high", "1\n"),
            ("lxc/101/memory.max", "1\n"),
        ]);
        assert!(limits.change("memory", Some("256")).unwrap());
        assert_eq!(file(&dir, "lxc/101/memory.max"), "268435456");
        assert_eq!(file(&dir, "lxc/101/memory.high"), "266338304");
        assert!(limits.change("swap", None).unwrap());
        assert_eq!(file(&dir, "lxc/101/memory.swap.max"), "0");
        assert!(limits.change("cpulimit", Some("2")).unwrap());
        assert_eq!(file(&dir, "lxc/101/cpu.max"), "200000 100000");
        assert!(limits.change("cpulimit", None).unwrap());
        assert_eq!(file(&dir, "lxc/101/cpu.max"), "max 100000");
        assert!(limits.change("cpuunits", None).unwrap());
        assert_eq!(file(&dir, "lxc/101/cpu.weight"), "100");
        assert!(limits.change("cores", Some("1")).unwrap());
        assert_eq!(file(&dir, "lxc/101/cpuset.cpus"), "1");
        assert!(limits.change("cores", None).unwrap());
        assert_eq!(file(&dir, "lxc/101/cpuset.cpus"), "0-3");
        assert!(!limits.change("memory", None).unwrap());
    }

    #[test]
    fn the_legacy_hierarchies_are_changed() {
        let (dir, limits) = limits(&[
            ("memory/lxc/101/memory.limit_in_bytes", "536870912\n"),
            ("memory/lxc/101/memory.memsw.limit_in_bytes", "1073741824\n"),
            ("cpu/lxc/101/cpu.shares", "1024\n"),
            ("cpuset/cpuset.cpus", "0-1\n"),
            ("cpuset/lxc/101/cpuset.cpus", "0-1\n"),
            ("cpuset/lxc/101/ns/cpuset.cpus", "0-1\n"),
        ]);
        assert!(limits.change("memory", Some("1024")).unwrap());
        assert_eq!(file(&dir, "memory/lxc/101/memory.limit_in_bytes"), "1073741824");
        assert_eq!(file(&dir, "memory/lxc/101/memory.memsw.limit_in_bytes"), "1610612736");
        assert!(limits.change("swap", Some("64")).unwrap());
        assert_eq!(file(&dir, "memory/lxc/101/memory.memsw.limit_in_bytes"), "1140850688");
        assert!(limits.change("cpulimit", Some("0.5")).unwrap());
        assert_eq!(file(&dir, "cpu/lxc/101/cpu.cfs_quota_us"), "50000");
        assert!(limits.change("cpulimit", Some("0")).unwrap());
        assert_eq!(file(&dir, "cpu/lxc/101/cpu.cfs_quota_us"), "-1");
        assert!(limits.change("cores", Some("1")).unwrap());
        assert_eq!(file(&dir, "cpuset/lxc/101/ns/cpuset.cpus"), "1");
        assert_eq!(file(&dir, "cpuset/lxc/101/cpuset.cpus"), "1");
    }

    #[test]
    fn a_container_that_has_no_cgroup_does_not_run() {
        let (_dir, limits) = limits(&[("cgroup.controllers", "memory")]);
        assert_eq!(limits.change("memory", Some("256")).unwrap_err().text, "container not running");
        assert_eq!(
            limits.change("cores", Some("1")).unwrap_err().text,
            "the kernel has no 'cpuset' cgroup controller"
        );
    }

    #[test]
    fn the_kernel_may_round() {
        for (written, read, taken) in [
            ("100000", "98304", true),
            ("100000", "4096", false),
            ("9223372036854775807", "max", true),
            ("18446744073709551615", "9223372036854771712", true),
            ("max 100000", "max 100000", true),
            ("1", "2", false),
            ("abc", "max", false),
        ] {
            assert_eq!(is_taken(written, read), taken, "{written} {read}");
        }
    }

    #[test]
    fn immediate_options_and_others() {
        let node = crate::fixture::node("/no/such/root");
        let (vmid, config) = ("101".parse().unwrap(), ContainerConfig::default());
        for (key, value, done) in [
            ("hostname", Some("x"), true),
            ("tags", None, true),
            ("unused0", None, true),
            ("features", Some("nesting=1"), false),
            ("mp0", None, false),
            ("net10", None, false),
            ("tty", Some("1"), false),
        ] {
            assert_eq!(hotplug(&node, vmid, &config, key, value).unwrap(), done, "{key}");
        }
    }
}
