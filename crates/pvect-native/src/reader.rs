//! Which containers run, and the record of one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use pvect_core::{ContainerConfig, RunState, Status, Vmid};

use crate::cgroup::Cgroups;
use crate::counted::Counted;
use crate::init::Init;
use crate::lxc_names::Names;
use crate::socket::holder::{Holder, Knocker, held_names};
use crate::socket::{CommandSocket, Foreign, socket_name};
use crate::{disk, init, network, process};

/// The size, in bytes, that Proxmox VE assumes for a root file system whose size is not configured.
pub(crate) const DEFAULT_DISK: u64 = 4 << 30;

/// Reads the containers of one node. Cheap to make; nothing is cached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NativeReader {
    proc_root: PathBuf,
    cgroups: Cgroups,
    names: Names,
    config_dir: PathBuf,
    /// Whether sockets are asked; otherwise only the table of sockets is used, as in tests.
    asks: bool,
}

impl NativeReader {
    /// Makes a reader of this machine for the containers below `lxc_path` (`/var/lib/lxc`), with their
    /// configurations in `config_dir` (`/etc/pve/lxc`).
    pub fn new(lxc_path: impl Into<PathBuf>, config_dir: impl Into<PathBuf>) -> Self {
        Self::with_roots("/proc", "/sys/fs/cgroup", lxc_path, config_dir).asking()
    }

    /// Asks the sockets themselves, which are those of this machine wherever `/proc` is.
    #[must_use]
    pub fn asking(self) -> Self {
        Self { asks: true, ..self }
    }

    /// As [`NativeReader::new`], with other places for `/proc` and `/sys/fs/cgroup`. Sockets are then not asked, and
    /// the table of sockets is trusted.
    pub fn with_roots(
        proc_root: impl Into<PathBuf>,
        cgroup_root: impl Into<PathBuf>,
        lxc_path: impl Into<PathBuf>,
        config_dir: impl Into<PathBuf>,
    ) -> Self {
        Self {
            proc_root: proc_root.into(),
            cgroups: Cgroups::new(cgroup_root),
            names: Names::new(lxc_path),
            config_dir: config_dir.into(),
            asks: false,
        }
    }

    /// Returns the names of the containers' cgroups and devices.
    pub fn names(&self) -> &Names {
        &self.names
    }

    /// Returns where `/proc` is.
    pub(crate) fn proc_root(&self) -> &Path {
        &self.proc_root
    }

    /// Returns the machine's cgroups.
    pub fn cgroups(&self) -> &Cgroups {
        &self.cgroups
    }

    /// Returns the containers that run: those whose LXC monitor has its command socket. Empty if the table of sockets
    /// cannot be read. Names that somebody else holds do not count.
    pub fn running(&self) -> BTreeSet<Vmid> {
        let table = std::fs::read(self.proc_root.join("net/unix")).unwrap_or_default();
        let sockets: BTreeSet<&[u8]> =
            held_names(&table).filter(|held| held.listens).map(|held| held.name).collect();
        let mut found: BTreeSet<Vmid> = sockets.iter().filter_map(|name| self.vmid_of(name)).collect();
        // A hash cannot be reversed, so compare it with those of all containers.
        if sockets.iter().any(|name| is_hashed(name)) {
            let hashed = |vmid: &Vmid| {
                let name = self.names.socket(*vmid);
                is_hashed(&name) && sockets.contains(name.as_slice())
            };
            found.extend(self.configured().into_iter().filter(hashed));
        }
        if self.asks {
            let mut knocker = Knocker::default();
            found.retain(|vmid| self.holder(&mut knocker, *vmid) == Holder::Ours);
        }
        found
    }

    /// Returns who holds the name of a container's command socket if it is neither root nor our own user, whether the
    /// holder listens there or not.
    pub fn foreign(&self, vmid: Vmid) -> Option<Foreign> {
        match Knocker::default().holder_of_name(&self.proc_root, &self.names.socket(vmid)) {
            Holder::Other(holder) => Some(Foreign { vmid, holder }),
            Holder::Nobody | Holder::Ours => None,
        }
    }

    /// As [`NativeReader::foreign`], of many containers: those whose names are not held at all are not asked.
    pub fn foreigners(&self, vmids: &[Vmid]) -> Vec<Foreign> {
        let table = std::fs::read(self.proc_root.join("net/unix")).unwrap_or_default();
        let held: BTreeSet<&[u8]> = held_names(&table).map(|held| held.name).collect();
        let are_held = vmids.iter().filter(|vmid| held.contains(self.names.socket(**vmid).as_slice()));
        are_held.filter_map(|vmid| self.foreign(*vmid)).collect()
    }

    /// Returns who holds the name of a container's command socket. The kernel returns the table of sockets in pieces,
    /// and a socket may be missing in it when others are opened and closed between two pieces, so this connects to find
    /// out.
    pub(crate) fn holder(&self, knocker: &mut Knocker, vmid: Vmid) -> Holder {
        knocker.holder(&self.proc_root, &self.names.socket(vmid))
    }

    /// Returns whether a container runs: whether a trusted monitor listens on its command socket.
    pub fn is_running(&self, vmid: Vmid) -> bool {
        if self.asks {
            return self.holder(&mut Knocker::default(), vmid) == Holder::Ours;
        }
        let table = std::fs::read(self.proc_root.join("net/unix")).unwrap_or_default();
        let wanted = self.names.socket(vmid);
        held_names(&table).any(|held| held.listens && held.name == wanted)
    }

    /// The container of a plain socket name.
    fn vmid_of(&self, name: &[u8]) -> Option<Vmid> {
        let text = std::str::from_utf8(name).ok()?;
        let vmid: Vmid = text.strip_suffix("/command")?.rsplit_once('/')?.1.parse().ok()?;
        (socket_name(self.names.lxc_path(), vmid) == name).then_some(vmid)
    }

    fn configured(&self) -> Vec<Vmid> {
        let entries = std::fs::read_dir(&self.config_dir).into_iter().flatten().flatten();
        entries.filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".conf")?.parse().ok()).collect()
    }

    /// Asks the LXC monitor for the process id of a container's init; `None` when it does not run.
    ///
    /// A process outside the container's own cgroups is not accepted as its init. The process id may belong to another
    /// process by the time it is used; use [`NativeReader::init`] to act on it.
    pub fn init_pid(&self, vmid: Vmid) -> Option<u32> {
        let pid = CommandSocket::connect(self.names.lxc_path(), vmid).ok()?.init_pid().ok()?;
        init::is_in_cgroup(&self.proc_root, pid, &self.names.cgroup(vmid)).then_some(pid)
    }

    /// As [`NativeReader::init_pid`], with a handle that always refers to the same process.
    ///
    /// # Errors
    /// `ConnectionRefused` or `NotFound` when the container does not run; `PermissionDenied` with a [`Foreign`] when
    /// somebody else holds the name of its socket, and when the process that its monitor names is in none of its
    /// cgroups; `Unsupported` where the kernel has no pidfd_open(2).
    pub fn init(&self, vmid: Vmid) -> std::io::Result<Init> {
        let pid = CommandSocket::connect(self.names.lxc_path(), vmid)?.init_pid()?;
        Init::of(&self.proc_root, pid, &self.names.cgroup(vmid))
    }

    /// Returns the record of a container, as `pct status --verbose` has it (without `cpu`).
    ///
    /// What cannot be read (the container may be ending) is 0 or left out. Source: `vmstatus` of pve-container.
    pub fn status(&self, vmid: Vmid, config: &ContainerConfig) -> Status {
        let running = self.is_running(vmid);
        let pid = if running { self.init_pid(vmid) } else { None };
        self.record(vmid, config, running, pid)
    }

    fn record(&self, vmid: Vmid, config: &ContainerConfig, running: bool, pid: Option<u32>) -> Status {
        let section = &config.main;
        let mut status = Status {
            vmid,
            status: if running { RunState::Running } else { RunState::Stopped },
            name: Some(config.name(vmid).split_whitespace().collect()),
            lock: config.lock(),
            tags: section.options.get("tags").cloned(),
            template: config.is_set("template"),
            cpus: None,
            mem: Some(0),
            maxmem: None,
            swap: Some(0),
            maxswap: None,
            disk: Some(0),
            maxdisk: Some(config.rootfs().and_then(|fs| fs.size).map_or(DEFAULT_DISK, |size| size.0)),
            diskread: Some(0),
            diskwrite: Some(0),
            netin: Some(0),
            netout: Some(0),
            uptime: Some(0),
            pid,
            other: [("type".to_owned(), "lxc".to_owned())].into(),
        };
        self.add_limits(&mut status, &Counted::of(config));
        if let Some(pid) = pid {
            self.add_running(&mut status, pid);
        }
        status
    }

    /// A value that does not fit the field's type is added to the other fields, as the text that pct prints.
    fn add_limits(&self, status: &mut Status, counted: &Counted) {
        let cpus = counted.cpus.clone().unwrap_or_else(|| Ok(self.host_cpus()));
        let mut text = |name: &str, error: &String| {
            status.other.insert(name.to_owned(), error.clone());
        };
        (status.maxmem, status.maxswap, status.cpus) = (
            counted.memory.as_ref().inspect_err(|error| text("maxmem", error)).ok().copied(),
            counted.swap.as_ref().inspect_err(|error| text("maxswap", error)).ok().copied(),
            cpus.as_ref().inspect_err(|error| text("cpus", error)).ok().copied(),
        );
    }

    /// How many CPUs a container may use at most: the host's, where a text that is not a number limits them.
    pub(crate) fn cpus(&self, counted: &Counted) -> f64 {
        let limit = counted.cpus.as_ref().and_then(|cpus| cpus.as_ref().ok());
        limit.copied().unwrap_or_else(|| self.host_cpus())
    }

    fn host_cpus(&self) -> f64 {
        f64::from(process::cpu_count(&self.proc_root))
    }

    fn add_running(&self, status: &mut Status, pid: u32) {
        if let Some((used, total)) = disk::root_use(&self.proc_root, pid) {
            (status.disk, status.maxdisk) = (Some(used), Some(total));
        }
        let uptime = process::uptime(&self.proc_root);
        let age = uptime.and_then(|uptime| process::age(&self.proc_root, pid, uptime));
        status.uptime = Some(age.unwrap_or(0));
        let cgroup = self.names.cgroup(status.vmid);
        let usage = self.cgroups.usage(&cgroup);
        (status.mem, status.swap) = (Some(usage.memory), Some(usage.swap));
        (status.diskread, status.diskwrite) = (Some(usage.read), Some(usage.written));
        status.other.extend(self.cgroups.pressure(&cgroup));
        // What the host receives, the container has sent.
        let table = std::fs::read_to_string(self.proc_root.join("net/dev")).unwrap_or_default();
        let (mut sent, mut received) = (0_u64, 0_u64);
        for (_, receive, transmit) in
            network::counters(&table).filter(|(device, _, _)| self.names.is_device(status.vmid, device))
        {
            sent = sent.saturating_add(receive);
            received = received.saturating_add(transmit);
        }
        (status.netin, status.netout) = (Some(received), Some(sent));
    }
}

fn is_hashed(name: &[u8]) -> bool {
    name.starts_with(b"lxc/") && name.ends_with(b"/command")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::tests::{legacy, put, unified};

    fn vmid(text: &str) -> Vmid {
        text.parse().unwrap()
    }

    fn config(options: &[(&str, &str)]) -> ContainerConfig {
        let mut config = ContainerConfig::default();
        for (key, value) in options {
            config.main.set(key, *value);
        }
        config
    }

    fn table(names: &[&str]) -> String {
        let line =
            |name: &&str| format!("00000000987c6145: 00000002 00000000 00010000 0001 01 106268 @{name}\n");
        format!(
            "Num RefCount Protocol Flags Type St Inode Path\n{}",
            names.iter().map(line).collect::<String>()
        )
    }

    fn fixture(cgroups: fn(&Path)) -> (tempfile::TempDir, NativeReader) {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        cgroups(&root.join("cgroup"));
        put(root, "proc/cpuinfo", "processor\t: 0\nmodel name\t: x\n\nprocessor\t: 1\n");
        put(root, "proc/uptime", "500.75 900.00\n");
        put(root, "proc/77/stat", "77 (init) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 40000 1 1\n");
        let place = root.join("proc/77/root");
        std::fs::create_dir_all(&place).unwrap();
        let mount = rustix::fs::statx(
            rustix::fs::CWD,
            &place,
            rustix::fs::AtFlags::empty(),
            rustix::fs::StatxFlags::MNT_ID,
        );
        let line = format!("{} 1 8:1 / / rw - ext4 x rw\n", mount.unwrap().stx_mnt_id);
        put(root, "proc/77/mountinfo", &line);
        put(
            root,
            "proc/net/dev",
            "veth101i0: 500 1 0 0 0 0 0 0 3000 1 0 0 0 0 0 0\n\
             veth101i1: 86 1 0 0 0 0 0 0 44 1 0 0 0 0 0 0\n\
             veth1010i0: 9 1 0 0 0 0 0 0 9 1 0 0 0 0 0 0\n",
        );
        let reader = NativeReader::with_roots(
            root.join("proc"),
            root.join("cgroup"),
            "/var/lib/lxc",
            root.join("configs"),
        );
        (dir, reader)
    }

    #[test]
    fn sockets_tell_who_runs() {
        let (dir, reader) = fixture(unified);
        let sockets = [
            "/var/lib/lxc/301/command",
            "/var/lib/lxc/101/command",
            "/var/lib/lxc/99/command",
            "/var/lib/lxc/0101/command",
            "/var/lib/lxc/abc/command",
            "/var/lib/pvect/lib/lxc/102/command",
            "lxc/ad055575fe28ddd5//var/lib/lxc",
        ];
        put(dir.path(), "proc/net/unix", &table(&sockets));
        assert_eq!(reader.running(), [vmid("101"), vmid("301")].into());
        assert!(reader.is_running(vmid("101")) && !reader.is_running(vmid("102")));
    }

    #[test]
    fn hashed_sockets_are_those_of_configured_containers() {
        let (dir, _) = fixture(unified);
        let long = format!("/{}", "a".repeat(100));
        let name = String::from_utf8(socket_name(Path::new(&long), vmid("101"))).unwrap();
        put(dir.path(), "proc/net/unix", &table(&[&name]));
        put(dir.path(), "configs/101.conf", "");
        put(dir.path(), "configs/102.conf", "");
        let root = dir.path();
        let reader = NativeReader::with_roots(root.join("proc"), "/no", &long, root.join("configs"));
        assert_eq!(reader.running(), [vmid("101")].into());
        assert!(reader.is_running(vmid("101")) && !reader.is_running(vmid("102")));
    }

    #[test]
    fn a_running_container_has_a_whole_record() {
        for (cgroups, pressures) in [(unified as fn(&Path), 6), (legacy, 1)] {
            let (_dir, reader) = fixture(cgroups);
            let config = config(&[
                ("hostname", "web 1"),
                ("memory", "256"),
                ("swap", "64"),
                ("cores", "1"),
                ("tags", "prod;web"),
                ("lock", "mounted"),
                ("rootfs", "local:101/vm-101-disk-0.raw,size=1G"),
            ]);
            let status = reader.record(vmid("101"), &config, true, Some(77));
            assert_eq!(status.status, RunState::Running);
            assert_eq!(
                (status.name.as_deref(), status.pid, status.cpus),
                (Some("web1"), Some(77), Some(1.0))
            );
            assert_eq!((status.maxmem, status.maxswap), (Some(268_435_456), Some(67_108_864)));
            assert_eq!((status.mem, status.swap), (Some(8_000_000), Some(4096)));
            assert_eq!((status.diskread, status.diskwrite), (Some(111), Some(21)));
            assert_eq!((status.netin, status.netout), (Some(3044), Some(586)));
            assert_eq!(status.uptime, Some(100));
            assert!(status.disk > Some(0) && status.maxdisk > status.disk);
            assert_eq!(status.lock, Some(pvect_core::Lock::Mounted));
            assert_eq!((status.tags.as_deref(), status.template), (Some("prod;web"), false));
            assert_eq!(status.other.len(), pressures + 1);
            assert_eq!(status.other["type"], "lxc");
            assert_eq!(status.other["pressurecpusome"], "0.84");
        }
    }

    #[test]
    fn a_stopped_container_has_zeros_and_defaults() {
        let (_dir, reader) = fixture(unified);
        let status = reader.record(vmid("101"), &config(&[("template", "1")]), false, None);
        assert_eq!((status.status.as_str(), status.name.as_deref()), ("stopped", Some("CT101")));
        assert_eq!((status.cpus, status.maxmem, status.maxswap), (Some(2.0), Some(512 << 20), Some(0)));
        assert_eq!((status.disk, status.maxdisk, status.uptime), (Some(0), Some(4 << 30), Some(0)));
        assert_eq!((status.mem, status.netin, status.pid), (Some(0), Some(0), None));
        assert!(status.template && status.other.len() == 1);
        let status = reader.record(
            vmid("101"),
            &config(&[("cpulimit", "1.5"), ("rootfs", "local:101/x.raw,size=1G")]),
            false,
            None,
        );
        assert_eq!((status.cpus, status.maxdisk), (Some(1.5), Some(1 << 30)));
    }
}
