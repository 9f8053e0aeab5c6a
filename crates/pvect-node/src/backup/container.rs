//! One container's backup.

use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pvect_core::property::MountPoint;
use pvect_core::{ContainerConfig, Lock, Vmid};

use super::archive::{self, Contents, Packing};
use super::journal::Journal;
use super::options::{Mode, notes};
use super::parts::{included, mount, open, sources};
use super::plan::Plan;
use super::prune::{NOTES, PROTECTED, archives, base_name};
use super::snapshot;
use crate::idmap::IdMap;
use crate::interrupt::Interrupt;
use crate::rooted::Rooted;
use crate::runtime::{self, StopMode};
use crate::storage::{self, PrivateMounts};
use crate::{Failure, Node, NodeResult, files, locked, pending, store};

/// Archives hold the container's secrets.
const ARCHIVE_MODE: u32 = 0o640;
/// How long a container that was told to stop is waited for when the backup has failed.
const STOP_TIME: Duration = Duration::from_secs(30);
/// Source: vzdump, `stdexcludes`.
const STANDARD_EXCLUDES: [&str; 3] = ["/tmp/?*", "/var/tmp/?*", "/var/run/?*.pid"];

/// A backup under way, and what has to be undone whatever happens.
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

    /// Makes the backup. The container is as it was before, also when that fails.
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
            // Also when it failed: what there is of it goes.
            let config = store::load(node, vmid)?.config;
            self.snapshot = config.snapshots.contains_key(snapshot::NAME);
            self.locked = config.lock() == Some(Lock::Backup);
            taken?;
        } else if running {
            self.halt(mode, config, journal)?;
        }
        // What was pending is in force when a container has stopped; its volumes are those that it had.
        let mut kept = config.clone();
        if self.restart {
            kept = store::load(node, vmid)?.config;
            kept.main.remove("lock");
        }
        let target = self.write(config, &kept, &included, mode, journal)?;
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
            runtime::stop(node, vmid, config, StopMode::Shutdown { timeout, then_kill: false }, output)?;
            pending::after_end(node, vmid, output);
            Ok(())
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

    /// Writes the archive under a temporary name and renames it; `kept` is the configuration that goes into it.
    fn write(
        &mut self,
        config: &ContainerConfig,
        kept: &ContainerConfig,
        included: &[(String, MountPoint)],
        mode: Mode,
        journal: &mut Journal<'_, '_>,
    ) -> NodeResult<PathBuf> {
        let (node, options) = (self.node, self.plan.options);
        let directory = &self.plan.directory;
        let target = directory.join(format!("{}.tar{}", self.base, options.compress.extension()));
        let temporary = directory.join(format!("{}.dat", self.base));
        self.sweep();
        journal.info(format!("creating vzdump archive '{}'", target.display()));
        let file = std::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(ARCHIVE_MODE)
            .open(&temporary)
            .map_err(|error| Failure::io("can't create", &temporary, &error))?;
        self.temporary = Some(temporary.clone());
        let id_maps = config.id_maps().map_err(|error| Failure::new(error.to_string()))?;
        let excludes = self.excludes();
        let described = describe(node, self.vmid, kept)?;
        let _mounts = PrivateMounts::enter()?;
        if !id_maps.is_empty() {
            runtime::hide_id_map_tools()?;
        }
        // Of a running container too: its own mounts (/proc, /sys) do not lie over what is read.
        let mut mounted = config.clone();
        let copies = match mode {
            Mode::Snapshot => Some(snapshot::Copies::of(node, &mut mounted, included)?),
            Mode::Stop | Mode::Suspend => None,
        };
        let root = mount(node, self.vmid, &mounted, included, mode)?;
        let opened = open(&root).and_then(|fd| Ok((sources(&root, included)?, fd)));
        let written = opened.and_then(|(sources, fd)| {
            let contents = Contents {
                config: described.path(),
                root: fd,
                sources,
                excludes: &excludes,
                id_maps: &id_maps,
            };
            let packing =
                Packing { compress: options.compress, zstd: options.zstd, bwlimit: options.bwlimit };
            archive::write(&contents, file, packing, self.interrupt, &mut |line| journal.info(line))
        });
        let unmounted = storage::unmount_all(&root);
        drop(copies);
        written?;
        unmounted?;
        std::fs::rename(&temporary, &target)
            .map_err(|error| Failure::io("can't rename", &temporary, &error))?;
        self.temporary = None;
        let size = std::fs::metadata(&target).map_or(0, |meta| meta.len());
        journal.info(format!("archive file size: {}", size_text(size)));
        Ok(target)
    }

    /// Removes what backups of this container that were killed left: we hold its lock, so none of them goes on.
    fn sweep(&self) {
        let (archive, described) = (format!("vzdump-lxc-{}-", self.vmid), described_prefix(self.vmid));
        let directories = [self.plan.directory.clone(), self.node.layout.container(self.vmid)];
        for entry in directories.iter().filter_map(|path| std::fs::read_dir(path).ok()).flatten().flatten() {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with(&archive) && name.ends_with(".dat") {
                let _ = std::fs::remove_file(entry.path());
            } else if name.starts_with(&described) {
                let _ = std::fs::remove_dir_all(entry.path());
            }
        }
    }

    /// Patterns of what is left out.
    fn excludes(&self) -> Vec<String> {
        let mut excludes = self.plan.options.excludes.clone();
        if self.plan.options.standard_excludes {
            excludes.extend(STANDARD_EXCLUDES.map(str::to_owned));
        }
        excludes
    }

    /// Writes notes and the mark of protection.
    fn describe(
        &self,
        config: &ContainerConfig,
        target: &Path,
        journal: &mut Journal<'_, '_>,
    ) -> NodeResult<()> {
        let beside = |end: &str| {
            let mut path = target.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        };
        if let Some(template) = self.plan.options.notes_template.as_deref().filter(|text| !text.is_empty()) {
            journal.info("adding notes to backup");
            let text = notes(template, &config.name(self.vmid), self.node.name.as_str(), self.vmid);
            if let Err(error) = files::replace(&beside(NOTES), text.as_bytes(), ARCHIVE_MODE) {
                journal.warn(format!("unable to add notes - {error}"));
            }
        }
        if self.plan.options.protected {
            journal.info("marking backup as protected");
            self.check_protected()?;
            let path = beside(PROTECTED);
            files::replace(&path, b"", ARCHIVE_MODE)
                .map_err(|error| Failure::new(format!("unable to set protected flag - {error}")))?;
        }
        Ok(())
    }

    /// Refuses one protected backup more than the storage lets a container have.
    fn check_protected(&self) -> NodeResult<()> {
        let Some((storage, most)) = &self.plan.most_protected else { return Ok(()) };
        let all = archives(&self.plan.directory)?;
        if all.iter().filter(|archive| archive.vmid == self.vmid && archive.protected).count() < *most {
            return Ok(());
        }
        Err(Failure::new(format!(
            "unable to set protected flag - The number of protected backups per guest is limited to {most} on storage \
             '{storage}'"
        )))
    }

    fn prune(&self, journal: &mut Journal<'_, '_>) -> NodeResult<()> {
        let Some(keep) = self.plan.keep.as_ref().filter(|keep| self.plan.options.remove && !keep.keeps_all())
        else {
            return Ok(());
        };
        journal.info(format!("prune older backups with retention: {}", keep.text()));
        let mut own = archives(&self.plan.directory)?;
        own.retain(|archive| archive.vmid == self.vmid);
        let superfluous = keep.superfluous(&own);
        for archive in &superfluous {
            journal.info(format!("delete old backup '{}'", archive.path.display()));
            archive.remove()?;
        }
        let why = if superfluous.is_empty() { "" } else { " not covered by keep-retention policy" };
        journal.info(format!("pruned {} backup(s){why}", superfluous.len()));
        Ok(())
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

    /// Takes the lock away, removes what is half done, and has the container run again.
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

/// Makes a directory with `etc/vzdump/pct.conf` and `pct.fw`, which the container's root may read, and nobody else. It
/// lies beside the container's `rootfs`: the directory of the archives is closed to the container's root.
fn describe(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<tempfile::TempDir> {
    let directory = &runtime::make_directory(node, vmid, config)?;
    let failed = |error: std::io::Error| Failure::io("can't write the configuration into", directory, &error);
    let made =
        tempfile::Builder::new().prefix(&described_prefix(vmid)).tempdir_in(directory).map_err(failed)?;
    let mut config = config.clone();
    config.snapshots.clear();
    config.pending = None;
    config.main.remove("lock");
    config.main.remove("parent");
    let text = config.to_text().map_err(|error| Failure::new(error.to_string()))?;
    let rules = std::fs::read(node.layout.firewall(vmid)).unwrap_or_default();
    let owner = IdMap::of(&config).root();
    let files = Rooted::open(made.path(), owner).map_err(failed)?;
    files.write("etc/vzdump/pct.conf", text.as_bytes(), 0o644).map_err(failed)?;
    files.write("etc/vzdump/pct.fw", &rules, 0o644).map_err(failed)?;
    std::os::unix::fs::chown(made.path(), Some(owner.0), Some(owner.1)).map_err(failed)?;
    Ok(made)
}

/// What the names of such directories begin with.
fn described_prefix(vmid: Vmid) -> String {
    format!(".vzdump-{vmid}-")
}

/// `00:01:02`.
fn clock(time: Duration) -> String {
    let seconds = time.as_secs();
    format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60)
}

/// `12KB`, `3MB`, `1.50GB`: as vzdump rounds.
fn size_text(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "a size for people")]
    let gib = bytes as f64 / f64::from(1 << 30);
    match bytes {
        0..0x10_0000 => format!("{}KB", bytes >> 10),
        0x10_0000..0x4000_0000 => format!("{}MB", bytes >> 20),
        _ if gib < 1024.0 => format!("{gib:.2}GB"),
        _ => format!("{:.2}TB", gib / 1024.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_have_vzdumps_form() {
        assert_eq!(clock(Duration::from_secs(3 * 3600 + 62)), "03:01:02");
        for (bytes, text) in
            [(1023, "0KB"), (5000, "4KB"), (3 << 20, "3MB"), (3 << 29, "1.50GB"), (1 << 41, "2.00TB")]
        {
            assert_eq!(size_text(bytes), text);
        }
    }
}
