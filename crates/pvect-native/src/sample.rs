//! All containers at one moment, cheap enough for a view that is drawn every second.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use pvect_core::{ContainerConfig, Result, Vmid};

use crate::cgroup::{Controller, pressure_below};
use crate::counted::Counted;
use crate::reader::DEFAULT_DISK;
use crate::{NativeBackend, disk, network, process};

/// One container at one moment. Sizes are in bytes; counters count from the container's start.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    /// The number.
    pub vmid: Vmid,
    /// The host name, or `CT<vmid>`.
    pub name: String,
    /// The lock of its configuration.
    pub lock: Option<String>,
    /// Whether it runs. What follows is zero when it does not, limits aside.
    pub running: bool,
    /// How many CPUs it may use.
    pub cpus: f64,
    /// The CPU time that it has used.
    pub cpu_time: Duration,
    /// Memory in use, without the page cache.
    pub mem: u64,
    /// The limit of memory.
    pub maxmem: u64,
    /// Swap in use.
    pub swap: u64,
    /// The limit of swap.
    pub maxswap: u64,
    /// Received by the container.
    pub netin: u64,
    /// Sent by the container.
    pub netout: u64,
    /// Only of containers whose details were asked for.
    pub details: Option<Details>,
}

/// Values that are expensive to read.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Details {
    /// Use of the root file system, bytes.
    pub disk: u64,
    /// Size of the root file system, bytes.
    pub maxdisk: u64,
    /// Read from block devices, bytes.
    pub diskread: u64,
    /// Written to block devices, bytes.
    pub diskwrite: u64,
    /// Seconds since start.
    pub uptime: u64,
    /// Share of the last ten seconds in which something waited for the CPU, per cent.
    pub pressure_cpu: f64,
    /// The same for input and output.
    pub pressure_io: f64,
    /// The same for memory.
    pub pressure_mem: f64,
}

/// Reads samples. It caches configurations that have not changed, and process ids of containers that still run.
#[derive(Debug)]
pub struct Sampler {
    backend: NativeBackend,
    memory: Option<Controller>,
    cpu: Option<Controller>,
    disk: Option<Controller>,
    unified: Option<PathBuf>,
    configs: BTreeMap<Vmid, Known>,
    pids: BTreeMap<Vmid, u32>,
    /// The inits whose root file systems did not answer how full they are.
    silent: BTreeMap<Vmid, u32>,
}

/// A configuration as it was read.
#[derive(Debug)]
struct Known {
    stamp: Stamp,
    name: String,
    lock: Option<String>,
    cpus: f64,
    maxmem: u64,
    maxswap: u64,
    maxdisk: u64,
}

/// What changes when a file does.
#[derive(Debug, PartialEq, Eq)]
struct Stamp(u64, i64, i64, u64);

impl Stamp {
    fn of(meta: &Metadata) -> Self {
        Self(meta.ino(), meta.mtime(), meta.mtime_nsec(), meta.size())
    }
}

impl Sampler {
    /// Makes a sampler of a node.
    pub fn new(backend: NativeBackend) -> Self {
        let cgroups = backend.reader().cgroups();
        let controller = |name| cgroups.controller(name);
        let (memory, disk) = (controller("memory"), controller("blkio"));
        // On version 1 a controller of its own counts the time.
        let cpu = controller(if cgroups.is_unified() { "cpu" } else { "cpuacct" });
        let unified = cgroups.unified();
        let (configs, pids, silent) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { memory, cpu, disk, unified, backend, configs, pids, silent }
    }

    /// Reads all containers, by number; `detailed` chooses those whose details are read.
    ///
    /// # Errors
    /// When the directory of the configurations cannot be read.
    pub fn sample(&mut self, detailed: impl Fn(Vmid) -> bool) -> Result<Vec<Sample>> {
        let vmids = self.backend.vmids()?;
        self.configs.retain(|vmid, _| vmids.binary_search(vmid).is_ok());
        let running = self.backend.reader().running();
        self.pids.retain(|vmid, _| running.contains(vmid));
        self.silent.retain(|vmid, _| running.contains(vmid));
        let proc_root = self.backend.reader().proc_root().to_owned();
        let table = std::fs::read_to_string(proc_root.join("net/dev")).unwrap_or_default();
        let mut net: BTreeMap<Vmid, (u64, u64)> = BTreeMap::new();
        for (device, received, sent) in network::counters(&table) {
            if let Some(vmid) = self.backend.reader().names().owner_of_device(device) {
                let entry = net.entry(vmid).or_default();
                // What the host receives, the container has sent.
                *entry = (entry.0.saturating_add(sent), entry.1.saturating_add(received));
            }
        }
        let uptime = process::uptime(&proc_root).unwrap_or(0.0);
        let mut samples = Vec::with_capacity(vmids.len());
        for vmid in vmids {
            let runs = running.contains(&vmid);
            let Some(mut sample) = self.configured(vmid, runs) else { continue };
            if runs {
                self.measure(&mut sample, net.get(&vmid).copied().unwrap_or_default());
            }
            if detailed(vmid) {
                sample.details = Some(self.details(vmid, runs, uptime));
            }
            samples.push(sample);
        }
        Ok(samples)
    }

    /// What the configuration says; `None` when it vanished.
    fn configured(&mut self, vmid: Vmid, running: bool) -> Option<Sample> {
        let path = self.backend.configs().join(format!("{vmid}.conf"));
        let stamp = Stamp::of(&std::fs::metadata(path).ok()?);
        if self.configs.get(&vmid).is_none_or(|known| known.stamp != stamp) {
            let config = self.backend.load(vmid).unwrap_or_default();
            self.configs.insert(vmid, self.known(vmid, &config, stamp));
        }
        let known = self.configs.get(&vmid)?;
        Some(Sample {
            vmid,
            name: known.name.clone(),
            lock: known.lock.clone(),
            running,
            cpus: known.cpus,
            cpu_time: Duration::ZERO,
            mem: 0,
            maxmem: known.maxmem,
            swap: 0,
            maxswap: known.maxswap,
            netin: 0,
            netout: 0,
            details: None,
        })
    }

    fn known(&self, vmid: Vmid, config: &ContainerConfig, stamp: Stamp) -> Known {
        let counted = Counted::of(config);
        Known {
            stamp,
            name: config.name(vmid).split_whitespace().collect(),
            lock: config.lock().map(|lock| lock.to_string()),
            cpus: self.backend.reader().cpus(&counted),
            // What is not an amount limits nothing that could be shown.
            maxmem: counted.memory.unwrap_or_default(),
            maxswap: counted.swap.unwrap_or_default(),
            maxdisk: config.rootfs().and_then(|fs| fs.size).map_or(DEFAULT_DISK, |size| size.0),
        }
    }

    fn measure(&self, sample: &mut Sample, (netin, netout): (u64, u64)) {
        let cgroup = self.backend.reader().names().cgroup(sample.vmid);
        (sample.netin, sample.netout) = (netin, netout);
        let memory = self.memory.as_ref().and_then(|memory| memory.memory(&cgroup));
        (sample.mem, sample.swap) = memory.unwrap_or_default();
        sample.cpu_time = self.cpu.as_ref().and_then(|cpu| cpu.cpu_time(&cgroup)).unwrap_or_default();
    }

    fn details(&mut self, vmid: Vmid, running: bool, uptime: f64) -> Details {
        let maxdisk = self.configs.get(&vmid).map_or(DEFAULT_DISK, |known| known.maxdisk);
        let mut details = Details { maxdisk, ..Details::default() };
        if !running {
            return details;
        }
        let reader = self.backend.reader();
        let cgroup = reader.names().cgroup(vmid);
        let disk = self.disk.as_ref().and_then(|disk| disk.disk(&cgroup));
        (details.diskread, details.diskwrite) = disk.unwrap_or_default();
        let pressure = self.unified.as_ref().map(|root| pressure_below(&root.join(&cgroup)));
        for (name, text) in pressure.unwrap_or_default() {
            let value = text.parse().unwrap_or(0.0);
            match name.as_str() {
                "pressurecpusome" => details.pressure_cpu = value,
                "pressureiosome" => details.pressure_io = value,
                "pressurememorysome" => details.pressure_mem = value,
                _ => {}
            }
        }
        let age = |pid: u32| Some((pid, process::age(reader.proc_root(), pid, uptime)?));
        // The known init may be gone, if the container was started again.
        let known = self.pids.get(&vmid).copied().and_then(age);
        if let Some((pid, age)) = known.or_else(|| age(reader.init_pid(vmid)?)) {
            details.uptime = age;
            // Do not ask one again that did not answer: each attempt takes a second and may leave a process behind.
            if self.silent.get(&vmid) != Some(&pid) {
                match disk::root_use(reader.proc_root(), pid) {
                    Some(found) => (details.disk, details.maxdisk) = found,
                    None => drop(self.silent.insert(vmid, pid)),
                }
            }
            self.pids.insert(vmid, pid);
        }
        details
    }
}

/// How fast something grew between two samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// CPUs in use.
    pub cpu: f64,
    /// Bytes received a second.
    pub netin: f64,
    /// Bytes sent a second.
    pub netout: f64,
    /// Bytes read from block devices a second.
    pub diskread: f64,
    /// Bytes written to block devices a second.
    pub diskwrite: f64,
}

impl Sample {
    /// Compares with an earlier sample; a counter that fell (the container was started again) counts as zero.
    pub fn rates(&self, before: &Self, between: Duration) -> Rates {
        let seconds = between.as_secs_f64().max(1e-3);
        let bytes = |now: u64, then: u64| now.saturating_sub(then) as f64 / seconds;
        let (now, then) = (self.details.as_ref(), before.details.as_ref());
        let disk = |field: fn(&Details) -> u64| match (now, then) {
            (Some(now), Some(then)) => bytes(field(now), field(then)),
            _ => 0.0,
        };
        Rates {
            cpu: self.cpu_time.saturating_sub(before.cpu_time).as_secs_f64() / seconds,
            netin: bytes(self.netin, before.netin),
            netout: bytes(self.netout, before.netout),
            diskread: disk(|details| details.diskread),
            diskwrite: disk(|details| details.diskwrite),
        }
    }
}

/// Samples with the moment they were read at.
#[derive(Debug, Clone)]
pub struct Frame {
    /// The moment.
    pub at: Instant,
    /// The containers by number.
    pub samples: Vec<Sample>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::NativeReader;

    fn sample(cpu_ms: u64, netin: u64, diskread: u64) -> Sample {
        Sample {
            vmid: "101".parse().unwrap(),
            name: "web".to_owned(),
            lock: None,
            running: true,
            cpus: 2.0,
            cpu_time: Duration::from_millis(cpu_ms),
            mem: 0,
            maxmem: 0,
            swap: 0,
            maxswap: 0,
            netin,
            netout: 0,
            details: Some(Details { diskread, ..Details::default() }),
        }
    }

    #[test]
    fn rates_are_per_second_and_never_negative() {
        let rates = sample(1500, 5000, 4096).rates(&sample(500, 1000, 0), Duration::from_secs(2));
        assert_eq!((rates.cpu, rates.netin, rates.diskread), (0.5, 2000.0, 2048.0));
        let again = sample(10, 0, 0).rates(&sample(500, 1000, 4096), Duration::from_secs(1));
        assert_eq!((again.cpu, again.netin, again.diskread), (0.0, 0.0, 0.0));
    }

    #[test]
    fn a_changed_configuration_is_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("101.conf");
        std::fs::write(&file, "hostname: a\nmemory: 64\n").unwrap();
        let backend = NativeBackend::of(
            NativeReader::with_roots(dir.path().join("proc"), "/no", "/var/lib/lxc", dir.path()),
            dir.path(),
        );
        let mut sampler = Sampler::new(backend);
        let mut read = || {
            let samples = sampler.sample(|_| true).unwrap();
            samples
                .iter()
                .map(|one| format!("{} {} {}", one.vmid, one.name, one.maxmem >> 20))
                .collect::<Vec<_>>()
        };
        assert_eq!(read(), ["101 a 64"]);
        std::fs::write(&file, "hostname: bb\nmemory: 128\n").unwrap();
        assert_eq!(read(), ["101 bb 128"]);
        std::fs::remove_file(&file).unwrap();
        assert_eq!(read(), Vec::<String>::new());
    }
}
