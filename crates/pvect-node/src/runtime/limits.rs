//! Limits as values of cgroup files, for the version that each controller has on this machine.

use std::path::Path;

use pvect_core::ContainerConfig;
use pvect_native::{Cgroups, Version};

/// The period of CPU quotas, microseconds.
const PERIOD: u64 = 100_000;
/// The smallest quota that the kernel takes, microseconds.
const QUOTA_MIN: u64 = 1_000;
/// The largest `cpu.weight`. Source: the kernel's admin-guide/cgroup-v2.rst.
const WEIGHT_MAX: u32 = 10_000;
/// The smallest `cpu.shares`.
const SHARES_MIN: u32 = 2;
const MIB: u64 = 1 << 20;

/// A file of a cgroup and the value to write to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setting {
    /// The version of the file's hierarchy.
    pub(super) version: Version,
    /// The file.
    pub(super) file: &'static str,
    /// Its value.
    pub(super) value: String,
}

impl Setting {
    fn new(version: Version, file: &'static str, value: impl std::fmt::Display) -> Self {
        Self { version, file, value: format!("{value}") }
    }

    /// The line of an LXC configuration.
    pub(super) fn line(&self) -> String {
        let prefix = match self.version {
            Version::V1 => "lxc.cgroup",
            Version::V2 => "lxc.cgroup2",
        };
        format!("{prefix}.{} = {}\n", self.file, self.value)
    }
}

/// Memory and swap limits in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MemoryLimit {
    pub(super) memory: u64,
    pub(super) swap: u64,
}

impl MemoryLimit {
    /// Takes MiB.
    pub(super) fn of_mib(memory: u64, swap: u64) -> Self {
        Self { memory: memory.saturating_mul(MIB), swap: swap.saturating_mul(MIB) }
    }

    /// Memory and swap together, as version 1 counts.
    pub(super) fn both(self) -> u64 {
        self.memory.saturating_add(self.swap)
    }

    /// Above this the kernel throttles the container and reclaims memory: 1016/1024 of the limit, or 128 MiB less from
    /// 16 GiB up. Source: pve-container.
    pub(super) fn high(self) -> u64 {
        if self.memory >= 16 * 1024 * MIB { self.memory - 128 * MIB } else { self.memory / 1024 * 1016 }
    }
}

/// The quota of a CPU limit in CPUs; `None` means no limit.
pub(super) fn quota(cpulimit: f64) -> Option<u64> {
    // The cast saturates.
    (cpulimit > 0.0).then(|| ((cpulimit * PERIOD as f64) as u64).max(QUOTA_MIN))
}

/// The settings of a CPU limit.
pub(super) fn cpu_limit(version: Version, cpulimit: Option<f64>) -> Vec<Setting> {
    let quota = cpulimit.and_then(quota);
    match version {
        Version::V2 => {
            let quota = quota.map_or("max".to_owned(), |quota| quota.to_string());
            vec![Setting::new(version, "cpu.max", format!("{quota} {PERIOD}"))]
        }
        Version::V1 => {
            let quota = quota.map_or("-1".to_owned(), |quota| quota.to_string());
            vec![
                Setting::new(version, "cpu.cfs_period_us", PERIOD),
                Setting::new(version, "cpu.cfs_quota_us", quota),
            ]
        }
    }
}

/// The setting of a CPU weight, the default without one.
pub(super) fn cpu_weight(version: Version, units: Option<u32>) -> Setting {
    match version {
        Version::V2 => Setting::new(version, "cpu.weight", units.unwrap_or(100).clamp(1, WEIGHT_MAX)),
        Version::V1 => Setting::new(version, "cpu.shares", units.unwrap_or(1024).max(SHARES_MIN)),
    }
}

/// The settings of a start.
pub(super) fn of(config: &ContainerConfig, cgroups: &Cgroups, seed: u32) -> Vec<Setting> {
    let mut settings = Vec::new();
    if let Some(memory) = cgroups.controller("memory") {
        let limit = MemoryLimit::of_mib(config.memory_mib(), config.swap_mib());
        match memory.version {
            Version::V2 => settings.extend([
                Setting::new(Version::V2, "memory.max", limit.memory),
                Setting::new(Version::V2, "memory.high", limit.high()),
                Setting::new(Version::V2, "memory.swap.max", limit.swap),
            ]),
            Version::V1 => {
                settings.push(Setting::new(Version::V1, "memory.limit_in_bytes", limit.memory));
                // Only where the kernel accounts for swap.
                if memory.path.join("memory.memsw.limit_in_bytes").exists() {
                    settings.push(Setting::new(Version::V1, "memory.memsw.limit_in_bytes", limit.both()));
                }
            }
        }
    }
    if let Some(cpu) = cgroups.controller("cpu") {
        if let Some(limit) = config.main.cpulimit() {
            settings.extend(cpu_limit(cpu.version, Some(limit)));
        }
        if let Some(units) = config.main.cpuunits() {
            settings.push(cpu_weight(cpu.version, Some(units)));
        }
    }
    let has_raw = config.main.raw.iter().any(|(key, _)| key.ends_with(".cpuset.cpus"));
    if let (Some(cores), false) = (config.cores(), has_raw) {
        settings.extend(cpuset(cgroups, cores, seed));
    }
    settings
}

/// The CPUs for a number of cores; `None` when all of the host's are to be used, or when they are unknown.
///
/// Which CPUs depends on `seed` (the vmid), so that containers are spread over the host.
pub(super) fn cpuset(cgroups: &Cgroups, cores: u32, seed: u32) -> Option<Setting> {
    let controller = cgroups.controller("cpuset")?;
    let available = available_cpus(&controller.path, controller.version)?;
    let wanted = usize::try_from(cores).ok()?;
    if wanted == 0 || wanted >= available.len() {
        return None;
    }
    let first = usize::try_from(seed).ok()? % available.len();
    let mut chosen: Vec<u32> = available.iter().cycle().skip(first).take(wanted).copied().collect();
    chosen.sort_unstable();
    Some(Setting::new(controller.version, "cpuset.cpus", print_cpus(&chosen)))
}

/// The CPUs that containers may use.
pub(super) fn available_cpus(root: &Path, version: Version) -> Option<Vec<u32>> {
    let file = match version {
        Version::V1 => "cpuset.cpus",
        Version::V2 => "cpuset.cpus.effective",
    };
    let read = |path: &Path| {
        let cpus = parse_cpus(std::fs::read_to_string(path.join(file)).ok()?.trim())?;
        (!cpus.is_empty()).then_some(cpus)
    };
    read(&root.join("lxc")).or_else(|| read(root))
}

/// Parses `0-2,5`. Source: the "List format" of cpuset(7).
pub(super) fn parse_cpus(text: &str) -> Option<Vec<u32>> {
    /// More CPUs than any kernel is built for.
    const LIMIT: u32 = 65_536;
    let mut cpus = Vec::new();
    for part in text.split(',').filter(|part| !part.is_empty()) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        if last >= LIMIT {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

/// Prints ascending CPUs as `0-2,5`.
pub(super) fn print_cpus(cpus: &[u32]) -> String {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for cpu in cpus {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(*cpu) => *last = *cpu,
            _ => ranges.push((*cpu, *cpu)),
        }
    }
    let words = ranges.iter().map(|(first, last)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    });
    words.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn config(options: &[(&str, &str)]) -> ContainerConfig {
        let mut config = ContainerConfig::default();
        for (key, value) in options {
            config.main.set(key, *value);
        }
        config
    }

    fn lines(config: &ContainerConfig, root: &Path) -> String {
        of(config, &Cgroups::new(root), 101).iter().map(Setting::line).collect()
    }

    #[test]
    fn the_unified_hierarchy_has_its_own_files() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "cgroup.controllers", "cpuset cpu io memory pids\n");
        put(dir.path(), "cpuset.cpus.effective", "0-3\n");
        let config = config(&[
            ("memory", "512"),
            ("swap", "64"),
            ("cpulimit", "1.5"),
            ("cpuunits", "500000"),
            ("cores", "2"),
        ]);
        assert_eq!(
            lines(&config, dir.path()),
            "lxc.cgroup2.memory.max = 536870912\n\
             lxc.cgroup2.memory.high = 532676608\n\
             lxc.cgroup2.memory.swap.max = 67108864\n\
             lxc.cgroup2.cpu.max = 150000 100000\n\
             lxc.cgroup2.cpu.weight = 10000\n\
             lxc.cgroup2.cpuset.cpus = 1-2\n"
        );
    }

    #[test]
    fn the_legacy_hierarchies_too_and_swap_where_it_is_counted() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "memory/tasks", "");
        put(dir.path(), "cpu/tasks", "");
        put(dir.path(), "cpuset/cpuset.cpus", "0-1\n");
        let mut config = config(&[("cpulimit", "0.001"), ("cpuunits", "1"), ("cores", "1"), ("swap", "512")]);
        let text = "lxc.cgroup.memory.limit_in_bytes = 536870912\n\
             lxc.cgroup.cpu.cfs_period_us = 100000\n\
             lxc.cgroup.cpu.cfs_quota_us = 1000\n\
             lxc.cgroup.cpu.shares = 2\n\
             lxc.cgroup.cpuset.cpus = 1\n";
        assert_eq!(lines(&config, dir.path()), text);
        put(dir.path(), "memory/memory.memsw.limit_in_bytes", "");
        config.main.raw.push(("lxc.cgroup.cpuset.cpus".to_owned(), "0".to_owned()));
        let text = lines(&config, dir.path());
        assert!(text.contains("lxc.cgroup.memory.memsw.limit_in_bytes = 1073741824\n"), "{text}");
        assert!(!text.contains("cpuset"), "{text}");
    }

    #[test]
    fn all_cores_and_no_limits_need_no_setting() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "cgroup.controllers", "cpuset cpu\n");
        put(dir.path(), "cpuset.cpus.effective", "0-1\n");
        assert_eq!(lines(&config(&[("cores", "2"), ("cpulimit", "0")]), dir.path()), "");
        assert_eq!(lines(&config(&[("cores", "8192")]), dir.path()), "");
    }

    #[test]
    fn much_memory_keeps_128_mib_of_slack() {
        assert_eq!(MemoryLimit::of_mib(16_384, 0).high(), (16_384 - 128) << 20);
        assert_eq!(MemoryLimit::of_mib(u64::MAX, u64::MAX).both(), u64::MAX);
    }

    #[test]
    fn lists_of_cpus_are_read_and_printed() {
        for text in ["0", "0-3", "0-1,4,6-7", ""] {
            assert_eq!(print_cpus(&parse_cpus(text).unwrap()), text);
        }
        for text in ["a", "1-", "0-99999999", "-"] {
            assert_eq!(parse_cpus(text), None, "{text}");
        }
    }
}
