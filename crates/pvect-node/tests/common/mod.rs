//! A node below a temporary directory, driven as a library.

#![allow(clippy::unwrap_used, reason = "a failing helper fails the test")]
#![allow(dead_code, reason = "each test uses its part")]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pvect_core::{Call, NodeName};
use pvect_node::{Layout, Node, Output};

/// What one call left: result text and status, stdout, stderr.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub exit: u8,
    pub text: String,
    pub out: String,
    pub err: String,
}

/// One node at a time: a child that another thread starts holds our locks and open files until its program runs.
static ALONE: Mutex<()> = Mutex::new(());

pub struct NodeInProcess {
    pub node: Node,
    dir: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl NodeInProcess {
    /// `None`, with a note, where volumes and mounts are not to be had.
    pub fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() {
            pvect_testkit::skipped(test, "volumes and mounts need root");
            return None;
        }
        if !Path::new("/dev/loop-control").exists() {
            pvect_testkit::skipped(test, "there are no loop devices");
            return None;
        }
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let dir = tempfile::tempdir().unwrap();
        let name: NodeName = "vm".parse().unwrap();
        let layout = Layout::new(dir.path(), name.clone());
        let node = Node { layout, name, helper: PathBuf::from(env!("CARGO_BIN_EXE_pvect-node-test-helper")) };
        pvect_testkit::pin_ids(dir.path()).unwrap();
        pvect_node::store::ensure_root(&node).unwrap();
        Some(Self { node, dir, _alone: alone })
    }

    pub fn root(&self) -> &Path {
        self.dir.path()
    }

    pub fn run(&self, call: Call) -> Ran {
        self.run_extended(&call.verified().unwrap())
    }

    /// Runs a call that may have options which only this node knows.
    pub fn run_extended(&self, call: &Call) -> Ran {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let result = pvect_node::verbs::dispatch(&self.node, call, &mut Output::new(&mut out, &mut err));
        let (exit, text) = match result {
            Ok(exit) => (exit, String::new()),
            Err(failure) => (failure.exit, failure.text),
        };
        let text_of = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Ran { exit, text, out: text_of(out), err: text_of(err) }
    }

    /// Puts a file into `template/cache` and returns its path.
    pub fn template(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.root().join("vz/template/cache").join(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The log of the only task of a kind.
    pub fn task_log(&self, worker: &str) -> String {
        let index = fs::read_to_string(self.root().join("log/tasks/index")).unwrap();
        let mut names = index.lines().filter_map(|line| line.split(' ').next());
        let name = names.find(|name| name.contains(&format!(":{worker}:"))).unwrap();
        let upid: pvect_core::upid::Upid = name.parse().unwrap();
        fs::read_to_string(self.root().join("log/tasks").join(upid.log_directory()).join(name)).unwrap()
    }

    /// Everything of containers that is below the root, mounted from it, or attached to loop devices.
    pub fn leftovers(&self) -> Vec<String> {
        let mut found = Vec::new();
        for directory in ["vz/images", "lib/lxc", "etc/pve/nodes/vm/lxc"] {
            let Ok(entries) = fs::read_dir(self.root().join(directory)) else { continue };
            found.extend(entries.map(|entry| entry.unwrap().path().display().to_string()));
        }
        let root = self.root().display().to_string();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        found.extend(mounts.lines().filter(|line| line.contains(&root)).map(str::to_owned));
        for entry in fs::read_dir("/sys/block").unwrap() {
            let file =
                fs::read_to_string(entry.unwrap().path().join("loop/backing_file")).unwrap_or_default();
            if file.contains(&root) {
                found.push(file);
            }
        }
        found
    }
}

/// A small root file system that is taken for Alpine, with a file of this size in it.
pub fn archive(large: usize) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let large = vec![b'x'; large];
    let files: [(&str, &[u8], u32); 7] = [
        ("./etc/alpine-release", b"3.20.3\n", 0o644),
        ("./etc/os-release", b"ID=alpine\n", 0o644),
        ("./etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n", 0o644),
        ("./etc/shadow", b"root:*:19000:0:99999:7:::\n", 0o640),
        ("./root/.profile", b"", 0o644),
        ("./bin/sh", b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x3e\0\x01\0\0\0", 0o755),
        ("./large", &large, 0o644),
    ];
    for (name, data, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(data.len() as u64);
        header.set_cksum();
        tar.append(&header, data).unwrap();
    }
    tar.into_inner().unwrap()
}
