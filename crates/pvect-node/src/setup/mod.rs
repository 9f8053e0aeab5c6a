//! Sets up the files of guests, in a separate process that can do no more than the guest itself.
//!
//! That process sees the container's own volumes and nothing else: no directory or device of the host that is mounted
//! below them, no host. It has the ids of the container: that of an unprivileged one is in a user namespace with the
//! container's map, that of a privileged one keeps few capabilities. So whatever a guest made of its symlinks and
//! directories, it gets nothing that it cannot read already, and changes nothing that it cannot change.
//!
//! Source: user_namespaces(7), pivot_root(2), open_tree(2).

mod confined;
mod helper;

use std::path::{Path, PathBuf};
use std::time::Duration;

use pvect_core::{ContainerConfig, Vmid};
use pvect_native::Cgroups;
use pvect_rootfs::guest::{Done, HOST_KEYS, HostDns, Job, Note, Work};
use serde::{Deserialize, Serialize};

use crate::{Failure, FailureKind, Node, NodeResult, host_keys, storage};

pub(crate) use confined::run as run_confined;
pub(crate) use helper::Helper;
use helper::ended_early;

/// The helper verb: `guest-files IDS ROOT PATH...`, the mount points of volumes below the root. [`GO`] comes on stdin
/// when they are mounted, the [`Job`] once the process has said that it is ready. What it [`Said`] goes to stdout, a
/// line each.
pub(crate) const NAME: &str = "guest-files";
/// The line that lets the process leave the host.
const GO: &[u8] = b"go\n";
/// `IDS` of a container with a map of its own.
const MAPPED: &str = "mapped";
/// `IDS` of a privileged container.
const HOST: &str = "host";
/// How long writing the files of a running guest may take. Its next start writes them anyway.
const WHILE_RUNNING: Duration = Duration::from_secs(10);

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
    /// A guest that does not run: its own volumes are mounted at `root` and below, and others may be.
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

    /// A running guest: only its root volume is used, because the guest decides what is mounted below it. Called in the
    /// mount namespace of its monitor, where the guest cannot mount anything.
    pub(crate) fn running(node: &'a Node, vmid: Vmid, config: &'a ContainerConfig, root: &'a Path) -> Self {
        Self { node, vmid, config, root, below: Vec::new(), time: Some(WHILE_RUNNING) }
    }

    /// Starts the process for [`Guest::start`] early, in parallel with other work. The volumes need not be mounted yet,
    /// but this thread must be in their mount namespace already.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn prepare(&self) -> NodeResult<Helper> {
        Helper::spawn(self.node, self.config, self.root, &self.below, self.time)
    }

    /// Writes what every start needs, by a process that was [prepared](Self::prepare) before the volumes were mounted.
    /// `dns` is what a container without name servers or search domains of its own gets instead of the host's. `log`
    /// gets lines, and whether each is a warning.
    ///
    /// # Errors
    /// When the system is not supported, a file cannot be written, or the process cannot be confined.
    pub(crate) fn start(
        &self,
        helper: &mut Helper,
        dns: Option<HostDns>,
        log: &mut dyn FnMut(&str, bool),
    ) -> NodeResult<()> {
        let dns = dns.unwrap_or_else(HostDns::of_this_host);
        let is_cgroup2 = Cgroups::new("/sys/fs/cgroup").is_unified();
        let done = self.perform_in(helper, Work::Start { dns, is_cgroup2 })?;
        say(written(done, log)?.0, log);
        Ok(())
    }

    /// Writes the network files, for the next time that the guest sets up its network. `dns` as in [`Guest::start`].
    ///
    /// # Errors
    /// As [`Guest::start`].
    pub(crate) fn network(&self, dns: Option<HostDns>) -> NodeResult<()> {
        let done = self.perform(Work::Network(dns.unwrap_or_else(HostDns::of_this_host)))?;
        written(done, &mut |_, _| ()).map(drop)
    }

    /// Removes from a clone what must be unique to each machine. `log` gets lines, and whether each is a warning.
    ///
    /// # Errors
    /// As [`Guest::start`].
    pub(crate) fn after_clone(&self, log: &mut dyn FnMut(&str, bool)) -> NodeResult<()> {
        say(written(self.perform(Work::AfterClone)?, log)?.0, log);
        Ok(())
    }

    /// Does what a root file system of a backup needs once, after it was unpacked. `log` gets lines, and whether each is a
    /// warning.
    ///
    /// # Errors
    /// As [`Guest::start`].
    pub(crate) fn after_restore(&self, log: &mut dyn FnMut(&str, bool)) -> NodeResult<()> {
        say(written(self.perform(Work::AfterRestore)?, log)?.0, log);
        Ok(())
    }

    /// Sets up what was just unpacked. The password may be plain or a crypt(5) hash, none locks root; keys are one a
    /// line. `log` gets pct's lines, and whether each is a warning.
    ///
    /// # Errors
    /// As [`Guest::start`], and when the password cannot be hashed or ssh-keygen fails.
    pub(crate) fn first(
        &self,
        password: Option<&str>,
        ssh_keys: Option<&str>,
        log: &mut dyn FnMut(&str, bool),
    ) -> NodeResult<()> {
        let first = Work::first(password, ssh_keys, HostDns::of_this_host())?;
        let (notes, host_keys) = written(self.perform(first)?, log)?;
        let (lines, warnings) = notes.into_iter().partition(|note| matches!(note, Note::Line(_)));
        say(lines, log);
        if host_keys {
            self.make_host_keys(log)?;
        }
        say(warnings, log);
        Ok(())
    }

    fn make_host_keys(&self, log: &mut dyn FnMut(&str, bool)) -> NodeResult<()> {
        let name = self.config.name(self.vmid);
        let comment = format!("root@{}", name.split('.').next().unwrap_or_default());
        for kind in HOST_KEYS {
            let text = format!("Creating SSH host key 'ssh_host_{kind}_key' - this may take some time ...");
            log(&text, false);
            let key = host_keys::make(kind, &comment)?;
            let done = format!("done: {}", key.fingerprint);
            written(self.perform(Work::HostKey(kind.to_owned(), key))?, log)?;
            log(&done, false);
        }
        Ok(())
    }

    /// Detects the distribution, and the architecture if the configuration has none. `log` gets lines about them, and
    /// whether each is a warning.
    ///
    /// # Errors
    /// When the distribution or its version is not supported, or the process cannot be confined.
    pub(crate) fn detect(&self, log: &mut dyn FnMut(&str, bool)) -> NodeResult<(String, Option<String>)> {
        match self.perform(Work::Detect)? {
            Done::Found { ostype, arch, notes } => {
                say(notes, log);
                Ok((ostype, arch))
            }
            other => written(other, log).and(Err(ended_early())),
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

    /// Makes directories that are missing, those above them too.
    ///
    /// # Errors
    /// As [`Guest::start`].
    pub(crate) fn make_dirs(&self, paths: Vec<String>) -> NodeResult<()> {
        self.perform(Work::MakeDirs(paths)).map(drop)
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
        self.perform_in(&mut self.prepare()?, work)
    }

    fn perform_in(&self, helper: &mut Helper, work: Work) -> NodeResult<Done> {
        let job = serde_json::to_vec(&Job::new(self.vmid, self.config, work)).map_err(|error| {
            Failure::new(format!("can't write down the work on the guest's files - {error}"))
        })?;
        helper.perform(&job)
    }
}

/// Logs the lines about what was written, and returns whether host keys are wanted. Fails with the reason if nothing
/// was written.
fn written(done: Done, log: &mut dyn FnMut(&str, bool)) -> NodeResult<(Vec<Note>, bool)> {
    match done {
        Done::Written { notes, host_keys } => Ok((notes, host_keys)),
        Done::Refused { why, notes } => {
            say(notes, log);
            Err(Failure::new(why).of_kind(FailureKind::UnsupportedGuest))
        }
        _ => Err(ended_early()),
    }
}

fn say(notes: Vec<Note>, log: &mut dyn FnMut(&str, bool)) {
    for note in notes {
        match note {
            Note::Line(text) => log(&text, false),
            Note::Warning(text) => log(&text, true),
        }
    }
}
