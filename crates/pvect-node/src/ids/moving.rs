//! `pvect node move-ids`: gives existing containers ids that nobody else has.

use std::path::{Path, PathBuf};

use pvect_core::config::IdMap;
use pvect_core::property::MountSource;
use pvect_core::{ContainerConfig, Lock, Vmid, VolumeId};
use pvect_rootfs::shift::{Shift, Summary};

use super::{HostFiles, Ids, Place, Range, is_base, is_ours};
use crate::interrupt::Interrupt;
use crate::storage::{self, PrivateMounts};
use crate::{
    Failure, Node, NodeResult, Output, config_volumes, error, files, lock_files, locked, runtime, store,
    vmids,
};

/// What is to be moved.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Moving {
    /// The first id of the new range. Without it, the node's own range if nobody else has it, or else a free one.
    pub to: Option<u32>,
    /// The containers; `None` is all unprivileged ones.
    pub only: Option<Vec<Vmid>>,
}

/// Moves the volumes of stopped containers to another range of ids, which becomes the node's. Says on `output` what is
/// done, a line for each volume. Returns how many containers could not be moved.
///
/// It may be interrupted at any point: a container that was moved in part does not start, and the same command
/// continues.
///
/// # Errors
/// When nothing was started: the range is taken or invalid, or a container cannot be moved; `interrupted by signal`.
pub fn move_ids(node: &Node, wanted: &Moving, output: &mut Output<'_>) -> NodeResult<usize> {
    store::ensure_root(node)?;
    let interrupt = Interrupt::watch();
    let vmids = containers(node, wanted.only.as_deref())?;
    let target = begin(node, wanted.to)?;
    output.line(format!("new containers have the ids {target}-{}", target + (IdMap::COUNT - 1)));
    let mut failed = 0;
    for vmid in vmids {
        interrupt.check()?;
        let moved = end_earlier(node, vmid, &interrupt, output)
            .and_then(|()| move_one(node, vmid, target, &interrupt, output));
        if let Err(failure) = moved {
            output.warn(&failure.text);
            failed += 1;
        }
    }
    Ok(failed)
}

/// Continues the interrupted move of a container.
///
/// # Errors
/// Why it cannot be moved.
pub(crate) fn go_on(node: &Node, vmid: Vmid, output: &mut Output<'_>) -> NodeResult<()> {
    end_earlier(node, vmid, &Interrupt::watch(), output)
}

/// Finishes an earlier move that was interrupted, to the range that it was for.
fn end_earlier(node: &Node, vmid: Vmid, interrupt: &Interrupt, output: &mut Output<'_>) -> NodeResult<()> {
    match Ids::load(&node.layout)?.elsewhere.get(&vmid) {
        Some(Place::Between { to, .. }) => move_one(node, vmid, *to, interrupt, output),
        _ => Ok(()),
    }
}

/// The containers that are meant.
fn containers(node: &Node, only: Option<&[Vmid]>) -> NodeResult<Vec<Vmid>> {
    let Some(only) = only else {
        let mut all = vmids::all(node)?;
        // A container whose configuration cannot be read cannot start either.
        all.retain(|vmid| store::load(node, *vmid).is_ok_and(|stored| is_ours(&stored.config)));
        return Ok(all);
    };
    for vmid in only {
        if !is_ours(&store::load(node, *vmid)?.config) {
            return Err(Failure::new(format!(
                "CT {vmid} has ids of its own: it is privileged or has lxc.idmap lines"
            )));
        }
        check_stopped(node, *vmid)?;
    }
    Ok(only.to_vec())
}

fn check_stopped(node: &Node, vmid: Vmid) -> NodeResult<()> {
    match runtime::is_running(node, vmid) {
        true => Err(Failure::new(format!("CT {vmid} is running; stop it first: pvect shutdown {vmid}"))),
        false => Ok(()),
    }
}

/// Makes a range the node's: reserves it, and notes the one that existing containers have.
fn begin(node: &Node, to: Option<u32>) -> NodeResult<u32> {
    let host = HostFiles::of(&node.layout);
    super::change(&node.layout, |ids| {
        let target = match to {
            Some(to) => checked(&host, ids, to)?,
            None => choose(&host, ids)?,
        };
        // A shared range belongs to somebody else.
        if !is_taken(&host, target)? {
            host.reserve(target)?;
        }
        if target != ids.base {
            for vmid in vmids::all(node)? {
                // A container that is being created has taken the old range, but its configuration does not say yet
                // that it is unprivileged.
                let is_other =
                    |config: &ContainerConfig| !is_ours(config) && config.lock() != Some(Lock::Create);
                if store::load(node, vmid).is_ok_and(|stored| is_other(&stored.config)) {
                    continue;
                }
                ids.elsewhere.entry(vmid).or_insert(Place::At(ids.base));
            }
            ids.elsewhere.retain(|_, place| *place != Place::At(target));
            ids.base = target;
        }
        Ok(target)
    })
}

/// A range that was asked for.
fn checked(host: &HostFiles, ids: &Ids, to: u32) -> NodeResult<u32> {
    if !is_base(to) {
        let (first, last) = (super::BASES.start(), super::BASES.end());
        return Err(Failure::new(format!("--to: {to} is not between {first} and {last}")));
    }
    let is_other = |base: &&u32| **base != to && Range::at(**base).overlaps(Range::at(to));
    if let Some(base) = ids.bases().iter().find(is_other) {
        return Err(Failure::new(format!(
            "the range at {to} overlaps with that at {base}, which containers have; \
             files that were already moved could not be told apart"
        )));
    }
    match host.taken()?.iter().find(|other| other.range.overlaps(Range::at(to))) {
        Some(other) if !ids.shared => Err(Failure::new(other.words(to))),
        _ => Ok(to),
    }
}

/// The node's own range, where nobody else has it; else a free one.
fn choose(host: &HostFiles, ids: &Ids) -> NodeResult<u32> {
    if is_taken(host, ids.base)? { host.choose(&ids.bases()) } else { Ok(ids.base) }
}

/// Whether somebody else has ids of a range.
pub(super) fn is_taken(host: &HostFiles, base: u32) -> NodeResult<bool> {
    Ok(host.taken()?.iter().any(|other| other.range.overlaps(Range::at(base))))
}

/// Moves one container.
fn move_one(
    node: &Node,
    vmid: Vmid,
    target: u32,
    interrupt: &Interrupt,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let (config, from) = {
        let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
        let config = store::load_telling(node, vmid, output)?.config;
        let ids = Ids::load(&node.layout)?;
        let from = match ids.elsewhere.get(&vmid) {
            None => ids.base,
            Some(Place::At(base)) => *base,
            // The caller has finished any other move.
            Some(Place::Between { from, .. }) => {
                end_dead(node, vmid, config.clone())?;
                *from
            }
        };
        if from == target {
            output.line(format!("CT {vmid}: nothing to move"));
            return Ok(());
        }
        check_stopped(node, vmid)?;
        if let Some(name) = config.snapshots.keys().next() {
            return Err(Failure::new(format!(
                "CT {vmid} has snapshots, which would bring the old ids back; remove them first: pvect delsnapshot {vmid} \
                 {name}"
            )));
        }
        let config = locked::set(node, vmid, &Lock::Disk, output)?;
        let noted = super::change(&node.layout, |ids| {
            ids.elsewhere.insert(vmid, Place::Between { from, to: target });
            Ok(())
        });
        if noted.is_err() {
            locked::remove(node, vmid, &Lock::Disk, output)?;
        }
        noted?;
        (config, from)
    };
    let shift = Shift { from, to: target, count: IdMap::COUNT };
    let moved = volumes(node, vmid, &config, &shift, interrupt, output);
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let noted = moved.and_then(|()| {
        super::change(&node.layout, |ids| {
            if ids.base == target {
                ids.elsewhere.remove(&vmid);
            } else {
                ids.elsewhere.insert(vmid, Place::At(target));
            }
            Ok(())
        })
    });
    let unlocked = locked::remove(node, vmid, &Lock::Disk, output);
    noted?;
    unlocked
}

/// Removes the lock value of a move that was killed. The caller holds the lock file.
fn end_dead(node: &Node, vmid: Vmid, mut config: ContainerConfig) -> NodeResult<()> {
    if config.lock() != Some(Lock::Disk) {
        return Ok(());
    }
    store::check_dead(node, vmid, &Lock::Disk, 0)?;
    config.main.remove("lock");
    store::save(node, vmid, &config)?;
    lock_files::end_operation(&node.layout.operation_lock(vmid));
    Ok(())
}

/// Moves all volumes of a container that are its own.
fn volumes(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    shift: &Shift,
    interrupt: &Interrupt,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let mut known: Vec<VolumeId> = Vec::new();
    for section in config_volumes::sections(config) {
        for (key, mount) in section.volumes() {
            match &mount.fs.source {
                MountSource::Bind(place) | MountSource::Device(place) => {
                    output.line(format!("CT {vmid}: {key}: the files of {place} keep their owners"));
                }
                MountSource::Volume(_) | MountSource::Allocate { .. } => {}
            }
        }
        for (key, volume) in config_volumes::all(section) {
            if known.contains(&volume) {
                continue;
            }
            known.push(volume.clone());
            if config_volumes::owner(&volume) != Some(vmid) {
                output.line(format!("CT {vmid}: {key}: the files of {volume} keep their owners"));
                continue;
            }
            interrupt.check()?;
            let Summary { entries, moved } = one_volume(node, vmid, config, &volume, shift, interrupt)
                .map_err(|failure| Failure {
                    text: format!("CT {vmid}: {key}: {}", failure.text),
                    ..failure
                })?;
            output.line(format!("CT {vmid}: {key}: {moved} of {entries} files of {volume} moved"));
        }
    }
    Ok(())
}

fn one_volume(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    volume: &VolumeId,
    shift: &Shift,
    interrupt: &Interrupt,
) -> NodeResult<Summary> {
    let place = Directory::make(node.layout.container(vmid).join(".move-ids"))?;
    let _mounts = PrivateMounts::enter()?;
    let writable = storage::base::Writable::of(node, volume, config.is_set("template"))?;
    let mut unmounted = Ok(());
    let shifted = storage::copy::attach(node, volume, &place.0).and_then(|()| {
        let shifted = shift_mounted(&place.0, shift, interrupt);
        unmounted = rustix::mount::unmount(&place.0, rustix::mount::UnmountFlags::NOFOLLOW)
            .map_err(|errno| Failure::io("can't unmount", &place.0, &errno.into()));
        shifted
    });
    // Protect it again, even if the move failed.
    let protected = writable.end();
    let summary = shifted?;
    unmounted?;
    protected?;
    Ok(summary)
}

fn shift_mounted(place: &Path, shift: &Shift, interrupt: &Interrupt) -> NodeResult<Summary> {
    let failed = |error: std::io::Error| match error.kind() {
        std::io::ErrorKind::Interrupted => Failure::new("interrupted by signal"),
        _ => Failure::new(format!("can't change the owner of {}", error::os_text(&error))),
    };
    let top = std::fs::File::open(place).map_err(|error| Failure::io("can't open", place, &error))?;
    let top = std::os::fd::OwnedFd::from(top);
    let summary = shift.tree(&top, &|| interrupt.came()).map_err(failed)?;
    // Sync before the move is recorded as done.
    rustix::fs::syncfs(&top).map_err(|errno| Failure::io("can't sync", place, &errno.into()))?;
    Ok(summary)
}

/// A directory to mount on; removed on drop.
struct Directory(PathBuf);

impl Directory {
    fn make(path: PathBuf) -> NodeResult<Self> {
        files::make_directories(&path, 0o700)?;
        Ok(Self(path))
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        // Not recursive, or something that is still mounted there would be lost. If the container never ran, the
        // directory above is empty, too.
        let _ = std::fs::remove_dir(&self.0);
        let _ = self.0.parent().map(std::fs::remove_dir);
    }
}
