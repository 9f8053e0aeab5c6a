//! Sets the files of guests up, in a process of its own that can do no more than the guest itself.
//!
//! That process sees the container's own volumes and nothing else: no directory or device of the host that is mounted
//! below them, no host. It has the ids of the container: that of an unprivileged one is in a user namespace with the
//! container's map, that of a privileged one keeps few capabilities. So whatever a guest made of its symlinks and
//! directories, it gets nothing that it cannot read already, and changes nothing that it cannot change.
//!
//! Source: user_namespaces(7), pivot_root(2), open_tree(2).

mod confined;

use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use pvect_core::{ContainerConfig, Vmid};
use pvect_rootfs::guest::{Done, HOST_KEYS, HostDns, Job, Work};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde::{Deserialize, Serialize};

use crate::error::os_text;
use crate::idmap::IdMap;
use crate::rooted::READ_LIMIT;
use crate::{Failure, Node, NodeResult, held, host_keys, storage};

pub(crate) use confined::run as run_confined;

/// The helper verb: `guest-files IDS ROOT PATH...`, the mount points of volumes below the root. The [`Job`] comes on
/// stdin once the process has said that it is ready, what it [`Said`] goes to stdout, a line each.
pub(crate) const NAME: &str = "guest-files";
/// `IDS` of a container with a map of its own.
const MAPPED: &str = "mapped";
/// `IDS` of a privileged container.
const HOST: &str = "host";
/// How long the files of a running guest may take. Its next start writes them anyway.
const WHILE_RUNNING: Duration = Duration::from_secs(10);
/// The longest line that is read, bytes: two files of the largest size, each of their bytes as a number and a comma.
const LONGEST: usize = 2 * 4 * READ_LIMIT as usize + 1024;

/// What the process says.
#[derive(Debug, Serialize, Deserialize)]
enum Said {
    /// It has left the host, and waits for its map of ids and the job.
    Ready,
    Done(Done),
    Failed(String),
}

/// A container's root file system, mounted in the mount namespace of this thread.
#[derive(Debug)]
pub(crate) struct Guest<'a> {
    node: &'a Node,
    vmid: Vmid,
    config: &'a ContainerConfig,
    root: &'a Path,
    below: Vec<PathBuf>,
    time: Option<Duration>,
}

impl<'a> Guest<'a> {
    /// A guest that is not running: its own volumes are mounted at `root` and below, others may be.
    ///
    /// # Errors
    /// When the configuration has no root or a mount point cannot be parsed.
    pub(crate) fn mounted(
        node: &'a Node,
        vmid: Vmid,
        config: &'a ContainerConfig,
        root: &'a Path,
    ) -> NodeResult<Self> {
        let below = storage::own_paths(config)?;
        Ok(Self { node, vmid, config, root, below, time: None })
    }

    /// A guest that runs: of its volumes only the root is used, as what lies where below it is up to the guest. Called
    /// in the mount namespace of its monitor, where the guest can mount nothing.
    pub(crate) fn running(node: &'a Node, vmid: Vmid, config: &'a ContainerConfig, root: &'a Path) -> Self {
        Self { node, vmid, config, root, below: Vec::new(), time: Some(WHILE_RUNNING) }
    }

    /// Writes what belongs to every start. `dns` is what a container without name servers or search domains of its own
    /// gets instead of the host's.
    ///
    /// # Errors
    /// When a file cannot be written, or the process cannot be confined.
    pub(crate) fn start(&self, dns: Option<HostDns>) -> NodeResult<()> {
        self.perform(Work::Start(dns.unwrap_or_else(HostDns::of_this_host))).map(drop)
    }

    /// Writes the network, for the guest's next start of it. `dns` as in [`Guest::start`].
    ///
    /// # Errors
    /// As [`Guest::start`].
    pub(crate) fn network(&self, dns: Option<HostDns>) -> NodeResult<()> {
        self.perform(Work::Network(dns.unwrap_or_else(HostDns::of_this_host))).map(drop)
    }

    /// Removes from a clone what each machine must have its own of.
    ///
    /// # Errors
    /// As [`Guest::start`].
    pub(crate) fn after_clone(&self) -> NodeResult<()> {
        self.perform(Work::AfterClone).map(drop)
    }

    /// Sets up what was just unpacked. The password may be plain or a crypt(5) hash, none locks root; keys are one a
    /// line. `log` gets pct's lines.
    ///
    /// # Errors
    /// As [`Guest::start`], and when the password cannot be hashed or ssh-keygen fails.
    pub(crate) fn first(
        &self,
        password: Option<&str>,
        ssh_keys: Option<&str>,
        log: &mut dyn FnMut(&str),
    ) -> NodeResult<()> {
        let first = Work::first(password, ssh_keys, HostDns::of_this_host())?;
        if self.perform(first)? != Done::HostKeysWanted {
            return Ok(());
        }
        let name = self.config.name(self.vmid);
        let comment = format!("root@{}", name.split('.').next().unwrap_or_default());
        for kind in HOST_KEYS {
            log(&format!("Creating SSH host key 'ssh_host_{kind}_key' - this may take some time ..."));
            let key = host_keys::make(kind, &comment)?;
            let done = format!("done: {}", key.fingerprint);
            self.perform(Work::HostKey(kind.to_owned(), key))?;
            log(&done);
        }
        Ok(())
    }

    /// Finds the distribution, what is to be told about doubts, and the architecture.
    ///
    /// # Errors
    /// When the process cannot be confined.
    pub(crate) fn detect(&self) -> NodeResult<(String, Option<String>, Option<String>)> {
        match self.perform(Work::Detect)? {
            Done::Found { ostype, doubt, arch } => Ok((ostype, doubt, arch)),
            _ => Err(ended_early()),
        }
    }

    /// Reads files; `None` where there is none.
    ///
    /// # Errors
    /// As [`Guest::start`], and when one cannot be read or is too large.
    pub(crate) fn read<const N: usize>(&self, paths: [&str; N]) -> NodeResult<[Option<Vec<u8>>; N]> {
        match self.perform(Work::Read(paths.map(str::to_owned).into()))? {
            Done::Read(files) => files.try_into().map_err(|_| ended_early()),
            _ => Err(ended_early()),
        }
    }

    /// Removes files, missing ones too, and then directories that are empty.
    ///
    /// # Errors
    /// As [`Guest::start`], and when a file cannot be removed.
    pub(crate) fn remove(&self, files: &[&str], empty: &[&str]) -> NodeResult<()> {
        let owned = |paths: &[&str]| paths.iter().map(|path| (*path).to_owned()).collect();
        self.perform(Work::Remove { files: owned(files), empty: owned(empty) }).map(drop)
    }

    fn perform(&self, work: Work) -> NodeResult<Done> {
        let job = serde_json::to_vec(&Job::new(self.vmid, self.config, work)).map_err(|error| {
            Failure::new(format!("can't write down the work on the guest's files - {error}"))
        })?;
        let map = IdMap::of(self.config);
        let mut child = self.spawn(if map.is_identity() { HOST } else { MAPPED })?;
        let done = self.talk(&mut child, &map, &job);
        if done.is_err() {
            let _ = child.kill();
        }
        // One that hangs in the kernel is not waited for.
        if self.time.is_none() || done.is_ok() {
            let _ = child.wait();
        }
        done
    }

    fn spawn(&self, ids: &str) -> NodeResult<Child> {
        let mut command = Command::new(&self.node.helper);
        command
            .args(["__node", NAME, ids])
            .arg(self.root)
            .args(&self.below)
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            // Ctrl-C is for us: halfway the files would be neither the old nor the new ones.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // Should we be killed, the container stays locked until its files are whole.
        held::inherited(|| command.spawn())
            .map_err(|error| Failure::io("can't run", &self.node.helper, &error))
    }

    fn talk(&self, child: &mut Child, map: &IdMap, job: &[u8]) -> NodeResult<Done> {
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(ended_early());
        };
        let deadline = self.time.map(|time| Instant::now() + time);
        let mut answers = Answers { stdout, buffer: Vec::new(), deadline };
        match answers.next()? {
            Said::Ready => {}
            Said::Failed(text) => return Err(Failure::new(text)),
            Said::Done(_) => return Err(ended_early()),
        }
        if !map.is_identity() {
            let process = PathBuf::from(format!("/proc/{}", child.id()));
            // In this order: who may map groups is asked with the users mapped, or not at all.
            for (file, lines) in [("uid_map", map.user_lines()), ("gid_map", map.group_lines())] {
                let path = process.join(file);
                std::fs::write(&path, lines).map_err(|error| {
                    Failure::io("can't write the container's map of ids to", &path, &error)
                })?;
            }
        }
        stdin.write_all(job).map_err(|_| ended_early())?;
        drop(stdin);
        match answers.next()? {
            Said::Done(done) => Ok(done),
            Said::Failed(text) => Err(Failure::new(text)),
            Said::Ready => Err(ended_early()),
        }
    }
}

fn ended_early() -> Failure {
    Failure::new("the process that sets up the guest's files ended early")
}

/// What a process says, line by line.
struct Answers {
    stdout: ChildStdout,
    buffer: Vec<u8>,
    deadline: Option<Instant>,
}

impl Answers {
    fn next(&mut self) -> NodeResult<Said> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=searched + end).collect();
                return serde_json::from_slice(&line).map_err(|_| ended_early());
            }
            searched = self.buffer.len();
            self.wait()?;
            let mut chunk = [0; 8192];
            match self.stdout.read(&mut chunk) {
                Ok(0) => return Err(ended_early()),
                Ok(count) if searched + count <= LONGEST => self.buffer.extend(&chunk[..count]),
                Ok(_) => return Err(ended_early()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Failure::new(format!("can't read from a process - {}", os_text(&error))));
                }
            }
        }
    }

    /// Waits until there is something to read, or the time is over.
    fn wait(&self) -> NodeResult<()> {
        let Some(deadline) = self.deadline else { return Ok(()) };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::new("setting up the guest's files takes too long"));
            }
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            if matches!(poll(&mut [PollFd::new(&self.stdout, PollFlags::IN)], Some(&left)), Ok(1)) {
                return Ok(());
            }
        }
    }
}
