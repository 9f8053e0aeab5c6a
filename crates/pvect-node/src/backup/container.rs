//! One container's backup.

mod afterwards;
mod write;

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pvect_core::{ContainerConfig, Lock, Vmid};

use super::journal::Journal;
use super::options::Mode;
use super::parts::included;
use super::plan::Plan;
use super::prune::base_name;
use super::snapshot;
use crate::interrupt::Interrupt;
use crate::runtime::{self, StopMode};
use crate::{Failure, Node, NodeResult, locked, store};

/// Archives hold the container's secrets.
const ARCHIVE_MODE: u32 = 0o640;
/// How long to wait for a container that was told to stop, if the backup has failed.
const STOP_TIME: Duration = Duration::from_secs(30);

/// A running backup, and what has to be undone whatever happens.
pub(super) struct Backup<'a> {
    node: &'a Node,
    plan: &'a Plan<'a>,
    vmid: Vmid,
    interrupt: &'a Interrupt,
    base: String,
    locked: bool,
    frozen: bool,
    /// Whether there is a snapshot to be removed.
    snapshot: bool,
    restart: bool,
    stopped: Option<Instant>,
    temporary: Option<PathBuf>,
}

impl<'a> Backup<'a> {
    pub(super) fn new(node: &'a Node, plan: &'a Plan<'a>, vmid: Vmid, interrupt: &'a Interrupt) -> Self {
        let base = base_name(vmid, &jiff::Zoned::now().datetime());
        Self {
            node,
            plan,
            vmid,
            interrupt,
            base,
            locked: false,
            frozen: false,
            snapshot: false,
            restart: false,
            stopped: None,
            temporary: None,
        }
    }

    /// Makes the backup. The container is then as it was before, even when the backup fails.
    pub(super) fn run(mut self, journal: &mut Journal<'_, '_>) -> NodeResult<()> {
        let started = Instant::now();
        let config = store::load(self.node, self.vmid).map(|stored| stored.config);
        let config = config.map_err(|_| Failure::new(format!("unable to find VM '{}'", self.vmid)));
        let kept = self.node.layout.root().join("log/vzdump").join(format!("lxc-{}.log", self.vmid));
        journal.keep_in(new_log(&kept));
        let done = config.and_then(|config| self.work(&config, journal));
        self.undo(journal);
        let now = jiff::Zoned::now().strftime("%F %H:%M:%S").to_string();
        let vmid = self.vmid;
        match &done {
            Ok(()) => {
                journal.info(format!("Finished Backup of VM {vmid} ({})", clock(started.elapsed())));
                journal.say(format!("Backup finished at {now}"));
            }
            Err(failure) => {
                journal.error(format!("Backup of VM {vmid} failed - {}", failure.text));
                journal.say(format!("Failed at {now}"));
            }
        }
        journal.keep_in(None);
        if let Ok(text) = std::fs::read(&kept) {
            let _ = std::fs::write(self.plan.directory.join(format!("{}.log", self.base)), text);
        }
        done
    }

    fn work(&mut self, config: &ContainerConfig, journal: &mut Journal<'_, '_>) -> NodeResult<()> {
        let (node, vmid, options) = (self.node, self.vmid, self.plan.options);
        journal.info(format!("Starting Backup of VM {vmid} (lxc)"));
        journal.say(format!("Backup started at {}", jiff::Zoned::now().strftime("%F %H:%M:%S")));
        let running = runtime::is_running(node, vmid);
        journal.info(format!("status = {}", if running { "running" } else { "stopped" }));
        let held = journal.capture(|output| {
            let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
            locked::set(node, vmid, &Lock::Backup, output)
        });
        held?;
        self.locked = true;
        self.interrupt.check()?;
        let mut mode = if running { options.mode } else { Mode::Stop };
        let mut parts = None;
        if mode == Mode::Snapshot {
            parts = Some(included(config, journal));
            if !snapshot::is_possible(node, config) {
                journal.info("mode failure - some volumes do not support snapshots");
                journal.info("trying 'suspend' mode instead");
                (mode, parts) = (Mode::Suspend, None);
            }
        }
        journal.info(format!("backup mode: {}", mode.name()));
        if options.bwlimit > 0 {
            journal.info(format!("bandwidth limit: {} KiB/s", options.bwlimit));
        }
        journal.info(format!("ionice priority: {}", options.ionice));
        let included = parts.unwrap_or_else(|| included(config, journal));
        if mode == Mode::Snapshot {
            let taken = snapshot::take(node, vmid, journal);
            // Even when it failed, so that what exists of the snapshot is removed.
            let config = store::load(node, vmid)?.config;
            self.snapshot = config.snapshots.contains_key(snapshot::NAME);
            self.locked = config.lock() == Some(Lock::Backup);
            taken?;
        } else if running {
            self.halt(mode, config, journal)?;
        }
        let target = self.write(config, &included, mode, journal)?;
        if mode == Mode::Suspend {
            journal.info("resuming guest");
            self.thaw()?;
            self.tell_online(journal);
        }
        self.describe(config, &target, journal)?;
        self.prune(journal)
    }

    /// Stops or freezes a running container.
    fn halt(
        &mut self,
        mode: Mode,
        config: &ContainerConfig,
        journal: &mut Journal<'_, '_>,
    ) -> NodeResult<()> {
        let (node, vmid) = (self.node, self.vmid);
        self.stopped = Some(Instant::now());
        if mode == Mode::Suspend {
            journal.info("suspending guest");
            self.frozen = true;
            return runtime::freeze(node, vmid, self.interrupt);
        }
        journal.info("stopping virtual guest");
        self.restart = true;
        let timeout = Duration::from_secs(self.plan.options.stopwait_minutes * 60);
        journal.capture(|output| {
            let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
            runtime::stop(node, vmid, config, StopMode::Shutdown { timeout, then_kill: false }, output)
        })
    }

    fn thaw(&mut self) -> NodeResult<()> {
        let thawed = runtime::thaw(self.node, self.vmid);
        self.frozen = thawed.is_err();
        thawed
    }

    fn tell_online(&mut self, journal: &mut Journal<'_, '_>) {
        if let Some(stopped) = self.stopped.take() {
            let seconds = match stopped.elapsed().as_secs() {
                0 => "<1".to_owned(),
                seconds => seconds.to_string(),
            };
            journal.info(format!("guest is online again after {seconds} seconds"));
        }
    }

    /// Whether the container that was told to stop has ended. One that a signal made us leave alone halfway will end
    /// soon, and is waited for.
    fn has_stopped(&self) -> bool {
        let deadline = Instant::now() + STOP_TIME;
        while runtime::is_running(self.node, self.vmid) {
            if Instant::now() >= deadline {
                return false;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        true
    }

    /// Removes the lock and what is unfinished, and starts or thaws the container again.
    fn undo(&mut self, journal: &mut Journal<'_, '_>) {
        let (node, vmid) = (self.node, self.vmid);
        if std::mem::take(&mut self.locked) {
            let unlocked = journal.capture(|output| {
                let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
                locked::remove(node, vmid, &Lock::Backup, output)
            });
            if let Err(failure) = unlocked {
                journal.warn(failure.text);
            }
        }
        if std::mem::take(&mut self.snapshot) {
            snapshot::remove(node, vmid, journal);
        }
        if let Some(path) = self.temporary.take() {
            let _ = std::fs::remove_file(path);
        }
        let resumed = if self.frozen {
            journal.info("resume vm");
            self.thaw()
        } else if std::mem::take(&mut self.restart) && self.has_stopped() {
            journal.info("restarting vm");
            journal.capture(|output| {
                let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
                let config = store::load(node, vmid)?.config;
                crate::start::start(node, vmid, &config, false, output)
            })
        } else {
            return;
        };
        match resumed {
            Ok(()) => self.tell_online(journal),
            Err(failure) => journal.warn(failure.text),
        }
    }
}

impl Drop for Backup<'_> {
    /// For a panic only: [`Backup::run`] has undone everything.
    fn drop(&mut self) {
        let (mut out, mut err) = (std::io::sink(), std::io::sink());
        let mut output = crate::Output::new(&mut out, &mut err);
        if self.frozen {
            let _ = self.thaw();
        }
        if self.locked {
            if let Ok(_held) = store::lock(self.node, self.vmid, store::LOCK_SECONDS, &mut output) {
                let _ = locked::remove(self.node, self.vmid, &Lock::Backup, &mut output);
            }
        }
        if let Some(path) = self.temporary.take() {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn new_log(path: &Path) -> Option<File> {
    std::fs::create_dir_all(path.parent()?).ok()?;
    std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(ARCHIVE_MODE).open(path).ok()
}

/// `00:01:02`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_vzdumps_form() {
        assert_eq!(clock(Duration::from_secs(3 * 3600 + 62)), "03:01:02");
    }
}
