//! What the records of all containers share: read once for each look at a machine, and only if a record needs it.

use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::path::Path;

use pvect_core::Vmid;

use crate::cgroup::{Cgroups, Meters};
use crate::lxc_names::Names;
use crate::{network, process};

/// A machine at one moment.
#[derive(Debug)]
pub(crate) struct Machine<'a> {
    proc_root: &'a Path,
    groups: &'a Cgroups,
    names: &'a Names,
    /// The only container that is looked at; `None`: all are.
    only: Option<Vmid>,
    cpus: OnceCell<f64>,
    uptime: OnceCell<Option<f64>>,
    /// Received and sent, as each container counts them.
    traffic: OnceCell<BTreeMap<Vmid, (u64, u64)>>,
    meters: OnceCell<Meters>,
}

impl<'a> Machine<'a> {
    /// Looks at one container, or at all.
    pub(crate) fn new(
        proc_root: &'a Path,
        groups: &'a Cgroups,
        names: &'a Names,
        only: Option<Vmid>,
    ) -> Self {
        let (cpus, uptime) = (OnceCell::new(), OnceCell::new());
        let (traffic, meters) = (OnceCell::new(), OnceCell::new());
        Self { proc_root, groups, names, only, cpus, uptime, traffic, meters }
    }

    /// How many CPUs there are.
    pub(crate) fn cpus(&self) -> f64 {
        *self.cpus.get_or_init(|| f64::from(process::cpu_count(self.proc_root)))
    }

    /// For how many seconds a process has run.
    pub(crate) fn age(&self, pid: u32) -> Option<u64> {
        let uptime = *self.uptime.get_or_init(|| process::uptime(self.proc_root));
        process::age(self.proc_root, pid, uptime?)
    }

    /// What a container has received and sent, bytes.
    pub(crate) fn traffic(&self, vmid: Vmid) -> (u64, u64) {
        self.traffic
            .get_or_init(|| traffic(self.proc_root, self.names, self.only))
            .get(&vmid)
            .copied()
            .unwrap_or_default()
    }

    /// Where what cgroups use is counted.
    pub(crate) fn meters(&self) -> &Meters {
        self.meters.get_or_init(|| self.groups.meters())
    }
}

/// What containers have received and sent, of the machine's table of network devices: of one, or of all.
pub(crate) fn traffic(proc_root: &Path, names: &Names, only: Option<Vmid>) -> BTreeMap<Vmid, (u64, u64)> {
    let table = std::fs::read_to_string(proc_root.join("net/dev")).unwrap_or_default();
    let owner = |device: &str| match only {
        Some(vmid) => names.is_device(vmid, device).then_some(vmid),
        None => names.owner_of_device(device),
    };
    let mut found: BTreeMap<Vmid, (u64, u64)> = BTreeMap::new();
    for (device, received, sent) in network::counters(&table) {
        if let Some(vmid) = owner(device) {
            let (into, out) = found.entry(vmid).or_default();
            // What the host receives, the container has sent.
            (*into, *out) = (into.saturating_add(sent), out.saturating_add(received));
        }
    }
    found
}
