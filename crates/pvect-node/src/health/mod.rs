//! What a crash left on the node: found, named, repaired.
//!
//! A killed command leaves no half-written file, but it may leave a lock value that nobody will remove, volumes that
//! nothing names, mounts, cgroups, network devices. [`inspect`] names all of it, [`repair`] repairs one thing.
//!
//! What is under way is left alone: a container whose lock file somebody holds, or on which a task works whose
//! process lives (same id, same start). A finding is repaired only when it is found once more while the container's
//! lock file is held by the one who repairs, so that nothing can begin in between. What belongs to another container
//! is never touched, and no volume is removed that was there before a create that was cut short.

mod container;
mod files;
mod host;
mod host_users;
mod live;
mod repair;
#[cfg(test)]
mod tests;
mod volumes;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pvect_core::{Lock, Vmid, VolumeId};
use pvect_native::{Cgroups, NativeReader};
use serde::Serialize;

use crate::{Node, NodeResult, Output, storage, vmids};

/// Where the host's own files are; parameters, so that tests need not read the host's.
#[derive(Debug, Clone)]
pub struct Host {
    /// `/proc`.
    pub proc: PathBuf,
    /// `/sys`.
    pub sys: PathBuf,
    /// How long the kernel may take to remove something by itself (a loop device, a control group) before it counts as
    /// left behind.
    pub patience: Duration,
}

/// How often to check meanwhile.
const STEP: Duration = Duration::from_millis(50);

impl Default for Host {
    fn default() -> Self {
        Self { proc: "/proc".into(), sys: "/sys".into(), patience: Duration::from_secs(1) }
    }
}

impl Host {
    fn cgroups(&self) -> Cgroups {
        Cgroups::new(self.sys.join("fs/cgroup"))
    }

    fn reader(&self, node: &Node) -> NativeReader {
        let cgroups = self.sys.join("fs/cgroup");
        let reader = NativeReader::with_roots(&self.proc, cgroups, node.layout.lxc(), node.layout.configs());
        // With another `/proc`, as in tests, the sockets in its table have no owner.
        if self.proc == Self::default().proc { reader.asking() } else { reader }
    }
}

/// What kind of thing was left behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Entries of tasks whose process is gone, in the list of active ones.
    StaleTask,
    /// A monitor that runs a container without configuration.
    Monitor,
    /// A process that is not root's holds the name of a container's command socket: the container cannot start.
    ForeignSocket,
    /// Control groups, perhaps with processes, of a container that does not run.
    Cgroup,
    /// A network device of a container that does not run.
    Device,
    /// Mounts of a container that is not locked as mounted.
    Mount,
    /// A loop device on an image that nobody uses.
    LoopDevice,
    /// A container whose creation was interrupted.
    UnfinishedCreate,
    /// A container whose removal was interrupted.
    UnfinishedDestroy,
    /// A lock value that no process holds.
    StaleLock,
    /// A snapshot that was not finished, or not completely removed.
    UnfinishedSnapshot,
    /// A configuration that cannot be read or has no root file system.
    BadConfig,
    /// A volume that an option names but that does not exist.
    MissingVolume,
    /// A second name of a volume. It comes before the unused volumes, or it would be listed as one.
    SecondName,
    /// A temporary copy of a volume.
    LeftCopy,
    /// A volume that no option of its container names.
    UnusedVolume,
    /// A volume of a container that does not exist.
    OwnerlessVolume,
    /// An interrupted resize.
    UnfinishedResize,
    /// An interrupted conversion into a template.
    UnfinishedTemplate,
    /// A directory of a container that does not exist.
    Directory,
    /// A temporary file that nobody writes.
    TemporaryFile,
    /// A container whose files were being moved to other ids.
    UnfinishedMove,
    /// A directory or file that other users of the host can enter or read, but should not.
    OpenPlace,
    /// A range of ids that is not reserved for containers.
    UnreservedIds,
    /// Ids of containers that somebody else on the host also has.
    SharedIds,
}

/// One thing that was left behind, and what repairs it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its kind.
    pub kind: Kind,
    /// The container that it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmid: Option<Vmid>,
    /// Where it is: a file, a device, a volume.
    pub place: String,
    /// What is wrong, a sentence.
    pub what: String,
    /// What [`repair()`] does, or the command that a person has to run.
    pub fix: String,
    /// Whether [`repair()`] repairs it.
    pub automatic: bool,
    #[serde(skip)]
    action: Action,
}

/// What repairs a finding.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Action {
    /// A person has to decide.
    None,
    EndTasks,
    KillCgroups,
    RemoveDevice(String),
    Unmount,
    Detach(PathBuf),
    UndoCreate,
    Destroy,
    Unlock(Lock),
    Rescan,
    DropUnused(String),
    Resize(String),
    Template,
    DropSnapshot(String),
    RemoveDirectory,
    RemoveVolumeDirectories,
    RemoveFile(PathBuf),
    Sweep(VolumeId),
    FreeVolume(VolumeId),
    Close(PathBuf),
    /// Of one container, if the finding is about one.
    MoveIds,
    ReserveIds,
}

impl Finding {
    fn new(kind: Kind, vmid: Option<Vmid>, place: impl std::fmt::Display, what: impl Into<String>) -> Self {
        let (place, what) = (format!("{place}"), what.into());
        Self { kind, vmid, place, what, fix: String::new(), automatic: false, action: Action::None }
    }

    /// Whether the kernel or LXC may still be removing it.
    fn may_pass(&self) -> bool {
        matches!(self.kind, Kind::Monitor | Kind::Cgroup | Kind::Device | Kind::LoopDevice)
    }

    /// Leaves the repair to a person, who runs this command.
    fn by_hand(self, command: impl Into<String>) -> Self {
        Self { fix: command.into(), ..self }
    }

    fn by(self, fix: impl Into<String>, action: Action) -> Self {
        Self { fix: fix.into(), automatic: true, action, ..self }
    }
}

/// How a [`repair()`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repaired {
    /// It was repaired.
    Done,
    /// It no longer exists.
    Gone,
    /// Another command is working on the container.
    Busy,
}

/// Checks the whole node and returns what a crash left behind, in the order in which it is best repaired.
///
/// # Errors
/// When the node's directories or `storage.cfg` cannot be read.
pub fn inspect(node: &Node, host: &Host) -> NodeResult<Vec<Finding>> {
    let mut found = files::tasks(node, host);
    for vmid in everyone(node, host)? {
        if !live::is_live(node, host, vmid, false) {
            let of_one = settled(node, host, vmid)?;
            // A command may have started meanwhile.
            if !live::is_live(node, host, vmid, false) {
                found.extend(of_one);
            }
        }
    }
    found.extend(files::temporary(node, host)?);
    found.extend(host_users::inspect(node, host)?);
    found.sort_by_key(|finding| finding.kind);
    Ok(found)
}

/// The findings about one container, without what disappears by itself within a moment.
fn settled(node: &Node, host: &Host, vmid: Vmid) -> NodeResult<Vec<Finding>> {
    let deadline = Instant::now() + host.patience;
    let mut found = container::inspect(node, host, vmid)?;
    while found.iter().any(Finding::may_pass) && Instant::now() < deadline {
        std::thread::sleep(STEP);
        let again = container::inspect(node, host, vmid)?;
        found = again.into_iter().filter(|one| !one.may_pass() || found.contains(one)).collect();
    }
    Ok(found)
}

/// Repairs one finding, if it is still there. What is done is reported on `output`.
///
/// # Errors
/// Why it could not be repaired; the finding then still applies.
pub fn repair(node: &Node, host: &Host, finding: &Finding, output: &mut Output<'_>) -> NodeResult<Repaired> {
    repair::repair(node, host, finding, output)
}

/// All containers whose number anything on this machine has in its name.
fn everyone(node: &Node, host: &Host) -> NodeResult<BTreeSet<Vmid>> {
    let mut found: BTreeSet<Vmid> = vmids::all(node)?.into_iter().collect();
    let numbers = |path: &Path| names(path).into_iter().filter_map(|name| name.parse::<Vmid>().ok());
    found.extend(numbers(&node.layout.lxc()));
    for storage in storage::Storages::load(&node.layout)?.enabled().filter(|one| one.holds("rootdir")) {
        if let Some(places) = storage::there(storage) {
            found.extend(numbers(&places.of("images")));
        }
    }
    let reader = host.reader(node);
    found.extend(reader.running());
    for hierarchy in host.cgroups().hierarchies() {
        for parent in ["lxc", "lxc.monitor"] {
            let leaves = names(&hierarchy.join(parent));
            found.extend(leaves.iter().filter_map(|leaf| reader.names().owner_of_cgroup(leaf)));
        }
    }
    let devices = names(&host.sys.join("class/net"));
    found.extend(devices.iter().filter_map(|device| reader.names().owner_of_device(device)));
    Ok(found)
}

/// The names in a directory; none when it cannot be read.
fn names(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

/// The volumes of a container on all storages, each with its path. A file that two storages have is listed once.
fn volumes_of(node: &Node, vmid: Vmid) -> NodeResult<Vec<(VolumeId, PathBuf)>> {
    let mut known = BTreeSet::new();
    let mut found = Vec::new();
    for volume in storage::volumes_of(node, vmid)? {
        let Ok(path) = storage::volume_path(node, &volume) else { continue };
        if known.insert(path.canonicalize().unwrap_or_else(|_| path.clone())) {
            found.push((volume, path));
        }
    }
    Ok(found)
}
