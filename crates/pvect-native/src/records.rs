//! The records of many containers, read together.

use std::collections::BTreeMap;
use std::io::ErrorKind as IoKind;

use pvect_core::{ContainerConfig, Status, Vmid};

use crate::NativeBackend;
use crate::file::read_whole;
use crate::socket::holder::{Holder, Knocker};
use crate::survey::lines_of;

/// The lines of a configuration that a record is made of.
const WORDS: [&str; 9] =
    ["hostname:", "lock:", "tags:", "template:", "rootfs:", "memory:", "swap:", "cores:", "cpulimit:"];

/// A longer file is not remembered, bytes: most of it is notes.
const REMEMBERED: usize = 16 << 10;

/// Reads the records of many containers, again and again. It remembers what configurations it has parsed, byte by byte.
#[derive(Debug)]
pub struct Records {
    backend: NativeBackend,
    known: BTreeMap<Vmid, Known>,
    buffer: Vec<u8>,
}

/// A configuration as it was read, and what was made of it.
#[derive(Debug, Default)]
struct Known {
    bytes: Vec<u8>,
    config: ContainerConfig,
}

impl Records {
    /// Makes a reader of a node's containers.
    pub fn new(backend: NativeBackend) -> Self {
        Self { backend, known: BTreeMap::new(), buffer: Vec::new() }
    }

    /// Reads the records of these containers, each as [`NativeBackend::status`] has it. One that vanishes meanwhile is
    /// left out; one that cannot be read has the record of an empty configuration. One whose command socket somebody
    /// else holds does not run.
    pub fn read(&mut self, vmids: &[Vmid]) -> Vec<Status> {
        let backend = self.backend.clone();
        let (reader, machine) = (backend.reader(), backend.reader().machine(None));
        let running = reader.running();
        let mut knocker = Knocker::default();
        let mut records = Vec::with_capacity(vmids.len());
        for vmid in vmids.iter().copied() {
            let runs = running.contains(&vmid) || reader.holder(&mut knocker, vmid) == Holder::Ours;
            let record = |config: &ContainerConfig| {
                reader.record_on(&machine, vmid, config, runs.then(|| reader.init_pid(vmid)))
            };
            match read_whole(&backend.path(vmid), &mut self.buffer) {
                Ok(()) => records.push(record(self.parsed(vmid))),
                Err(error) if error.kind() == IoKind::NotFound => drop(self.known.remove(&vmid)),
                Err(_) => records.push(record(&ContainerConfig::default())),
            }
        }
        records
    }

    /// Forgets all containers but these, which are in order.
    pub fn keep(&mut self, vmids: &[Vmid]) {
        self.known.retain(|vmid, _| vmids.binary_search(vmid).is_ok());
    }

    /// What is in the buffer.
    fn parsed(&mut self, vmid: Vmid) -> &ContainerConfig {
        let known = self.known.entry(vmid).or_default();
        if known.bytes != self.buffer || self.buffer.is_empty() {
            known.config = lines_of(&self.buffer, &WORDS).unwrap_or_default();
            known.bytes.clear();
            if self.buffer.len() <= REMEMBERED {
                known.bytes.extend_from_slice(&self.buffer);
            }
        }
        &known.config
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::NativeReader;
    use crate::cgroup::tests::{put, unified};

    fn site(root: &Path) -> NativeBackend {
        let configs = root.join("configs");
        let reader =
            NativeReader::with_roots(root.join("proc"), root.join("cgroup"), "/var/lib/lxc", &configs);
        NativeBackend::of(reader, configs)
    }

    #[test]
    fn the_records_of_many_are_those_of_each() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path();
        unified(&root.join("cgroup"));
        put(root, "proc/cpuinfo", "processor\t: 0\n\nprocessor\t: 1\n");
        put(root, "proc/net/dev", "veth101i0: 500 1 0 0 0 0 0 0 3000 1 0 0 0 0 0 0\n");
        let socket =
            "00000000987c6145: 00000002 00000000 00010000 0001 01 106268 @/var/lib/lxc/102/command\n";
        put(root, "proc/net/unix", socket);
        let texts: [&[u8]; 9] = [
            b"#hostname: no\nhostname: web\nlock: backup\ntags: b;a\ncores: 1\nmemory: 64\nswap: 0\n",
            b"template: 1\nrootfs: local:102/x.raw,size=2G\ncpulimit: 0.5\nmp0: bogus\n",
            b"memory: abc\nswap: 5x\ncores: two\nlxc.idmap: u 0 1 2\n",
            b"hostname: a\n\n[pve:pending]\nhostname: b\nmemory: 1\n\n[snap]\nmemory: 2\nlock: mounted\n",
            b" memory: 1\nhostname : no\nhostname:yes\r\nrootfs: bogus\n",
            b"memory: 64\nmemory: 128\n[no section\nswap: 7\n[no section!]\nswap: 9",
            b"hostname: web\ndescription: \xff\n",
            b"memory: 0\ncores: 0\ncpulimit: 0\ntemplate: 0\nlock: what\n",
            b"",
        ];
        let vmids: Vec<Vmid> =
            (101..).take(texts.len()).map(|id: u32| id.to_string().parse().unwrap()).collect();
        for (vmid, text) in vmids.iter().zip(texts) {
            put(root, &format!("configs/{vmid}.conf"), "");
            std::fs::write(root.join(format!("configs/{vmid}.conf")), text).unwrap();
        }
        let backend = site(root);
        let one = |vmid: &Vmid| {
            let whole = backend.load(*vmid).unwrap_or_default();
            backend.reader().status(*vmid, &whole)
        };
        let each: Vec<Status> = vmids.iter().map(one).collect();
        assert_eq!(each.iter().filter(|one| one.status == pvect_core::RunState::Running).count(), 1);
        let mut records = Records::new(backend);
        assert_eq!(records.read(&vmids), each);
        assert_eq!(records.read(&vmids), each);
    }

    #[test]
    fn what_has_changed_is_parsed_again() {
        let dir = tempfile::tempdir().unwrap();
        let mut records = Records::new(site(dir.path()));
        let vmids: Vec<Vmid> = vec!["101".parse().unwrap()];
        let long = format!("hostname: long\n{}", "#note\n".repeat(REMEMBERED));
        for (text, name) in [
            ("hostname: a\n", "a"),
            ("hostname: b\n", "b"),
            ("", "CT101"),
            ("hostname: b\n", "b"),
            (long.as_str(), "long"),
            (long.replace("long", "gone").as_str(), "gone"),
        ] {
            put(dir.path(), "configs/101.conf", text);
            for _ in 0..2 {
                assert_eq!(records.read(&vmids)[0].name.as_deref(), Some(name));
            }
            assert!(records.known[&vmids[0]].bytes.len() <= REMEMBERED);
        }
        records.keep(&[]);
        assert!(records.known.is_empty());
    }

    #[test]
    fn what_is_gone_is_left_out() {
        let dir = tempfile::tempdir().unwrap();
        put(dir.path(), "configs/102.conf", "hostname: web\n");
        std::fs::create_dir(dir.path().join("configs/103.conf")).unwrap();
        let vmids = ["101", "102", "103"].map(|id| id.parse().unwrap());
        let names = Records::new(site(dir.path())).read(&vmids).into_iter().filter_map(|one| one.name);
        assert_eq!(names.collect::<Vec<_>>(), ["web", "CT103"]);
    }
}
