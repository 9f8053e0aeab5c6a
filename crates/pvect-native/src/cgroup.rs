//! Control groups of both versions, side by side where a machine has both.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::file::kernel_text;

/// The version of a hierarchy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy for each controller.
    V1,
    /// The unified hierarchy.
    V2,
}

/// Where a controller is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Controller {
    /// The version of its hierarchy.
    pub version: Version,
    /// The root of its hierarchy.
    pub path: PathBuf,
}

/// The cgroup file systems of a machine.
///
/// Source: cgroups(7), and the kernel's admin-guide/cgroup-v2.rst.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cgroups {
    root: PathBuf,
}

/// What a container uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    pub(crate) memory: u64,
    pub(crate) swap: u64,
    pub(crate) read: u64,
    pub(crate) written: u64,
}

impl Cgroups {
    /// Takes the path where they are mounted (`/sys/fs/cgroup`).
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// Returns whether there is the unified hierarchy only.
    pub fn is_unified(&self) -> bool {
        self.root.join("cgroup.controllers").exists()
    }

    /// Returns the root of the unified hierarchy, if there is one.
    pub fn unified(&self) -> Option<PathBuf> {
        let hybrid = self.root.join("unified");
        if self.is_unified() {
            Some(self.root.clone())
        } else {
            hybrid.join("cgroup.controllers").exists().then_some(hybrid)
        }
    }

    /// Finds a controller by the name that version 1 has for it (`memory`, `cpu`, `cpuset`, `blkio`, `devices`).
    ///
    /// On version 2 `blkio` is `io`, and `devices` always exists (as BPF programs).
    pub fn controller(&self, name: &str) -> Option<Controller> {
        if !self.is_unified() {
            if let Some(path) = self.legacy(name) {
                return Some(Controller { version: Version::V1, path });
            }
        }
        let path = self.unified()?;
        let wanted = if name == "blkio" { "io" } else { name };
        let listed = kernel_text(&path.join("cgroup.controllers"))?;
        let there = wanted == "devices" || listed.split_ascii_whitespace().any(|listed| listed == wanted);
        there.then_some(Controller { version: Version::V2, path })
    }

    /// A hierarchy of version 1: the directory of the controller's name, or of several names with commas.
    fn legacy(&self, name: &str) -> Option<PathBuf> {
        let plain = self.root.join(name);
        if plain.is_dir() {
            return Some(plain);
        }
        self.directories().into_iter().find(|path| {
            path.file_name().is_some_and(|file| file.to_string_lossy().split(',').any(|part| part == name))
        })
    }

    fn directories(&self) -> Vec<PathBuf> {
        let entries = std::fs::read_dir(&self.root).into_iter().flatten().flatten();
        // `cpu` and `cpuacct` may be symlinks to `cpu,cpuacct`.
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories.map(|entry| entry.path()).collect()
    }

    /// Returns the roots of all hierarchies.
    pub fn hierarchies(&self) -> Vec<PathBuf> {
        if self.is_unified() { vec![self.root.clone()] } else { self.directories() }
    }

    /// Reads what a cgroup uses; what cannot be read counts as 0.
    pub(crate) fn usage(&self, cgroup: &str) -> Usage {
        let (memory, swap) = self.memory(cgroup).unwrap_or_default();
        let (read, written) = self.disk(cgroup).unwrap_or_default();
        Usage { memory, swap, read, written }
    }

    /// Memory without the page cache, and swap.
    fn memory(&self, cgroup: &str) -> Option<(u64, u64)> {
        self.controller("memory")?.memory(cgroup)
    }

    /// Bytes read from and written to block devices.
    fn disk(&self, cgroup: &str) -> Option<(u64, u64)> {
        self.controller("blkio")?.disk(cgroup)
    }

    /// Returns the pressure averages of ten seconds as the kernel writes them: `pressurecpusome` and so on.
    ///
    /// Empty if the kernel has no pressure stall information. Source: the kernel's accounting/psi.rst.
    pub(crate) fn pressure(&self, cgroup: &str) -> Vec<(String, String)> {
        self.unified().map(|root| pressure_below(&root.join(cgroup))).unwrap_or_default()
    }
}

/// As [`Cgroups::pressure`], of the cgroup at a path of the unified hierarchy.
pub(crate) fn pressure_below(path: &Path) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for kind in ["cpu", "io", "memory"] {
        let text = kernel_text(&path.join(format!("{kind}.pressure"))).unwrap_or_default();
        for line in text.lines() {
            let mut words = line.split_ascii_whitespace();
            let (word, average) = (words.next(), words.next());
            let average = average.and_then(|average| average.strip_prefix("avg10="));
            if let (Some(word @ ("some" | "full")), Some(average)) = (word, average) {
                found.push((format!("pressure{kind}{word}"), average.to_owned()));
            }
        }
    }
    found
}

impl Controller {
    /// The CPU time that a cgroup has used. Source: `usage_usec` of cpu.stat, `cpuacct.usage` (nanoseconds).
    pub(crate) fn cpu_time(&self, cgroup: &str) -> Option<Duration> {
        let path = self.path.join(cgroup);
        match self.version {
            Version::V2 => {
                let stat = kernel_text(&path.join("cpu.stat"))?;
                let line = stat.lines().find_map(|line| line.strip_prefix("usage_usec "))?;
                line.trim().parse().ok().map(Duration::from_micros)
            }
            Version::V1 => number(&path.join("cpuacct.usage")).map(Duration::from_nanos),
        }
    }

    /// Memory without the page cache, and swap. Source: `PVE::CGroup`.
    pub(crate) fn memory(&self, cgroup: &str) -> Option<(u64, u64)> {
        let (version, path) = (self.version, self.path.join(cgroup));
        let stat = kernel_text(&path.join("memory.stat"))?;
        let value = |key: &str| -> u64 {
            let line = stat.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' '));
            line.and_then(|number| number.trim().parse().ok()).unwrap_or(0)
        };
        Some(match version {
            Version::V2 => {
                let used = number(&path.join("memory.current"))?;
                (used.saturating_sub(value("file")), number(&path.join("memory.swap.current")).unwrap_or(0))
            }
            Version::V1 => {
                let used = number(&path.join("memory.usage_in_bytes"))?;
                // Missing when swap accounting is off.
                let both = number(&path.join("memory.memsw.usage_in_bytes")).unwrap_or(used);
                (used.saturating_sub(value("total_cache")), both.saturating_sub(used))
            }
        })
    }

    /// Bytes read from and written to block devices.
    pub(crate) fn disk(&self, cgroup: &str) -> Option<(u64, u64)> {
        let (version, path) = (self.version, &self.path);
        let file = match version {
            Version::V2 => "io.stat",
            Version::V1 => "blkio.throttle.io_service_bytes_recursive",
        };
        let text = kernel_text(&path.join(cgroup).join(file))?;
        let mut sums = (0_u64, 0_u64);
        let mut add = |key: &str, bytes: &str| {
            let bytes = bytes.parse().unwrap_or(0);
            match key {
                "rbytes" | "Read" => sums.0 = sums.0.saturating_add(bytes),
                "wbytes" | "Write" => sums.1 = sums.1.saturating_add(bytes),
                _ => {}
            }
        };
        for line in text.lines() {
            let words: Vec<&str> = line.split_ascii_whitespace().collect();
            match (version, &words[..]) {
                (Version::V1, [_, kind, bytes]) => add(kind, bytes),
                (Version::V2, [_, pairs @ ..]) => {
                    pairs
                        .iter()
                        .filter_map(|pair| pair.split_once('='))
                        .for_each(|(key, bytes)| add(key, bytes));
                }
                _ => {}
            }
        }
        Some(sums)
    }
}

/// A file that holds one number.
fn number(path: &Path) -> Option<u64> {
    kernel_text(path)?.trim().parse().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Writes a file and its directories.
    pub(crate) fn put(root: &Path, path: &str, text: &str) {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub(crate) fn unified(root: &Path) {
        put(root, "cgroup.controllers", "cpuset cpu io memory pids\n");
        put(root, "lxc/101/memory.current", "9000000\n");
        put(root, "lxc/101/memory.swap.current", "4096\n");
        put(root, "lxc/101/memory.stat", "anon 7000000\nfile 1000000\nfile_mapped 5\n");
        put(root, "lxc/101/io.stat", "7:0 rbytes=100 wbytes=20 rios=1\n8:0 rbytes=11 wbytes=1\n");
        for (kind, full) in [("cpu", "0.24"), ("io", "0.00"), ("memory", "1.50")] {
            let text = format!(
                "some avg10=0.84 avg60=0.1 avg300=0.0 total=9\nfull avg10={full} avg60=0 avg300=0 total=1\n"
            );
            put(root, &format!("lxc/101/{kind}.pressure"), &text);
        }
    }

    pub(crate) fn legacy(root: &Path) {
        put(root, "memory/lxc/101/memory.usage_in_bytes", "9000000\n");
        put(root, "memory/lxc/101/memory.memsw.usage_in_bytes", "9004096\n");
        put(root, "memory/lxc/101/memory.stat", "cache 1\ntotal_cache 1000000\n");
        put(root, "cpu,cpuacct/lxc/101/cpu.shares", "1024\n");
        put(
            root,
            "blkio/lxc/101/blkio.throttle.io_service_bytes_recursive",
            "7:0 Read 100\n7:0 Write 20\n7:0 Sync 120\n8:0 Read 11\n8:0 Write 1\nTotal 252\n",
        );
        put(root, "unified/cgroup.controllers", "\n");
        put(root, "unified/lxc/101/cpu.pressure", "some avg10=0.84 avg60=0 avg300=0 total=9\n");
    }

    #[test]
    fn both_versions_say_the_same() {
        for (make, version) in [(unified as fn(&Path), Version::V2), (legacy, Version::V1)] {
            let dir = tempfile::tempdir().unwrap();
            make(dir.path());
            let cgroups = Cgroups::new(dir.path());
            assert_eq!(cgroups.is_unified(), version == Version::V2);
            assert_eq!(cgroups.controller("memory").unwrap().version, version);
            assert_eq!(cgroups.controller("blkio").unwrap().version, version);
            assert_eq!(
                cgroups.usage("lxc/101"),
                Usage { memory: 8_000_000, swap: 4096, read: 111, written: 21 }
            );
            assert_eq!(cgroups.usage("lxc/102"), Usage::default());
            let first = cgroups.pressure("lxc/101").into_iter().next();
            assert_eq!(first, Some(("pressurecpusome".to_owned(), "0.84".to_owned())));
        }
    }

    #[test]
    fn joined_controllers_are_found() {
        let dir = tempfile::tempdir().unwrap();
        legacy(dir.path());
        let cgroups = Cgroups::new(dir.path());
        assert_eq!(cgroups.controller("cpu").unwrap().path, dir.path().join("cpu,cpuacct"));
        assert_eq!(cgroups.controller("cpuset"), None);
        assert_eq!(cgroups.hierarchies().len(), 4);
    }

    #[test]
    fn without_swap_accounting_there_is_no_swap() {
        let dir = tempfile::tempdir().unwrap();
        legacy(dir.path());
        std::fs::remove_file(dir.path().join("memory/lxc/101/memory.memsw.usage_in_bytes")).unwrap();
        assert_eq!(Cgroups::new(dir.path()).usage("lxc/101").swap, 0);
    }

    #[test]
    fn no_cgroups_are_no_error() {
        let cgroups = Cgroups::new("/no/such/place");
        assert_eq!(cgroups.controller("memory"), None);
        assert_eq!(cgroups.usage("lxc/101"), Usage::default());
        assert_eq!((cgroups.pressure("lxc/101").len(), cgroups.hierarchies().len()), (0, 0));
    }
}
