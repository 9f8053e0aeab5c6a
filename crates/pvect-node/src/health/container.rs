//! What is left of one container.

use pvect_core::{ContainerConfig, Lock, Vmid};

use super::{Action, Finding, Host, Kind, host, volumes};
use crate::store::Stored;
use crate::{Node, NodeResult, creation, ids, store, verified};

/// Returns the findings about one container, on which no command is working.
pub(super) fn inspect(node: &Node, host: &Host, vmid: Vmid) -> NodeResult<Vec<Finding>> {
    let running = host.reader(node).is_running(vmid);
    let path = node.layout.config(vmid);
    let mut found = Vec::new();
    if let Some(foreign) = host.reader(node).foreign(vmid) {
        let finding = Finding::new(
            Kind::ForeignSocket,
            Some(vmid),
            node.layout.container(vmid).display(),
            foreign.to_string(),
        );
        found.push(match foreign.holder {
            Some((_, pid)) => finding.by_hand(format!("kill {pid}")),
            None => finding,
        });
    }
    if !running {
        found.extend(host::cgroups(node, host, vmid));
        found.extend(host::devices(node, host, vmid));
    }
    if std::fs::symlink_metadata(&path).is_err() {
        found.extend(without_configuration(node, host, vmid, running)?);
        return Ok(found);
    }
    let config = match store::load(node, vmid) {
        Ok(stored) => {
            found.extend(bad_lines(node, vmid, &stored));
            stored.config
        }
        Err(failure) => {
            let finding = Finding::new(Kind::BadConfig, Some(vmid), path.display(), failure.text);
            found.push(finding.by_hand("repair the file by hand"));
            return Ok(found);
        }
    };
    if let Err(failure) = ids::check_whole(node, vmid) {
        let place = node.layout.ids_cfg();
        let finding = Finding::new(Kind::UnfinishedMove, Some(vmid), place.display(), failure.text);
        found.push(finding.by("move the rest", Action::MoveIds));
        return Ok(found);
    }
    if let Some(finding) = interrupted(node, vmid, &config)? {
        found.push(finding);
        return Ok(found);
    }
    let unfinished = snapshots(node, vmid, &config);
    // Repairing the snapshot removes its lock value, too.
    if unfinished.is_empty() || !matches!(config.lock(), Some(Lock::Snapshot | Lock::SnapshotDelete)) {
        found.extend(lock(node, host, vmid, &config)?);
    }
    found.extend(unfinished);
    if !running {
        found.extend(host::loop_devices(node, host, vmid)?);
    }
    if config.lock() != Some(Lock::Mounted) {
        found.extend(host::mounts(node, host, vmid)?);
    }
    if config.main.get("rootfs").is_none() {
        let what = format!("CT {vmid} has no root file system");
        let finding = Finding::new(Kind::BadConfig, Some(vmid), path.display(), what);
        found.push(finding.by_hand(format!("pvect destroy {vmid}")));
    }
    // With any other lock value the volumes may be incomplete.
    if config.lock().is_none() {
        found.extend(volumes::of(node, vmid, &config, running)?);
    }
    Ok(found)
}

/// Lines that cannot be parsed, and values that pct does not show. The next change of the container drops lines that
/// are not `key: value`.
fn bad_lines(node: &Node, vmid: Vmid, stored: &Stored) -> Vec<Finding> {
    let path = node.layout.config(vmid);
    let finding = |what: String| {
        let finding = Finding::new(Kind::BadConfig, Some(vmid), path.display(), what);
        finding.by_hand(format!("correct the line in {}", path.display()))
    };
    let one_line = |text: &str| text.split('\n').collect::<Vec<_>>().join("; ");
    let unparsed = stored.warnings.iter().map(|warning| one_line(warning));
    // What is wrong with a lock value is a finding of its own.
    let mut shown = stored.config.merged();
    shown.remove("lock");
    let unfit = match verified::config(&shown) {
        // A value that cannot be parsed has been reported already.
        Err(failure) if stored.warnings.is_empty() => {
            let lines = failure.text.lines().filter(|line| !line.is_empty() && !line.starts_with("pct "));
            Some(format!("pct config {vmid} fails: {}", lines.skip(1).collect::<Vec<_>>().join("; ")))
        }
        _ => None,
    };
    unparsed.chain(unfit).map(finding).collect()
}

fn without_configuration(node: &Node, host: &Host, vmid: Vmid, running: bool) -> NodeResult<Vec<Finding>> {
    if running {
        let command = format!("lxc-stop -P {} -n {vmid} --kill", node.layout.lxc().display());
        let what = format!("CT {vmid} is running but has no configuration");
        let path = node.layout.config(vmid);
        return Ok(vec![Finding::new(Kind::Monitor, Some(vmid), path.display(), what).by_hand(command)]);
    }
    let mut found = Vec::new();
    found.extend(host::mounts(node, host, vmid)?);
    found.extend(host::loop_devices(node, host, vmid)?);
    found.extend(volumes::ownerless(node, vmid)?);
    found.extend(host::directory(node, vmid));
    Ok(found)
}

/// A create or destroy that was interrupted.
fn interrupted(node: &Node, vmid: Vmid, config: &ContainerConfig) -> NodeResult<Option<Finding>> {
    let path = node.layout.config(vmid);
    let finding = |kind, what| Finding::new(kind, Some(vmid), path.display(), what);
    Ok(match config.lock() {
        Some(Lock::Create) => creation::note(node, vmid)?.map(|note| {
            let (what, repair) = if note.over {
                ("overwritten by a backup", "remove what was made, leave it as it was before")
            } else {
                ("made", "remove what was made of it")
            };
            let what = format!("CT {vmid} was being {what} when the command ended");
            finding(Kind::UnfinishedCreate, what).by(repair, Action::UndoCreate)
        }),
        Some(Lock::Destroyed) => {
            let what = format!("CT {vmid} was being destroyed when the command ended");
            Some(finding(Kind::UnfinishedDestroy, what).by("destroy what is left of it", Action::Destroy))
        }
        _ => None,
    })
}

/// Snapshots that are half made or half removed: their section has a `snapstate`.
fn snapshots(node: &Node, vmid: Vmid, config: &ContainerConfig) -> Vec<Finding> {
    let states = config
        .snapshots
        .iter()
        .filter_map(|(name, section)| Some((name, section.options.get("snapstate")?.as_str())));
    let finding = |(name, state): (&String, &str)| {
        let how = if state == "prepare" { "made" } else { "removed" };
        let what = format!("snapshot '{name}' of CT {vmid} was being {how} when the command ended");
        let place = node.layout.config(vmid);
        let finding = Finding::new(Kind::UnfinishedSnapshot, Some(vmid), place.display(), what);
        match config.lock() {
            None | Some(Lock::Snapshot | Lock::SnapshotDelete) => {
                finding.by("remove what exists of the snapshot", Action::DropSnapshot(name.clone()))
            }
            Some(_) => {
                finding.by_hand(format!("pvect unlock {vmid}; pvect delsnapshot {vmid} {name} --force 1"))
            }
        }
    };
    states.map(finding).collect()
}

/// The lock value, which nobody holds.
fn lock(node: &Node, host: &Host, vmid: Vmid, config: &ContainerConfig) -> NodeResult<Option<Finding>> {
    let Some(lock) = config.lock() else { return Ok(None) };
    let finding = |why: &str| {
        let what = format!("CT {vmid} is locked ({lock}){why}");
        Finding::new(Kind::StaleLock, Some(vmid), node.layout.config(vmid).display(), what)
    };
    let by_hand = format!("pvect unlock {vmid}");
    Ok(match &lock {
        // As it should be after `pct mount`, until `pct unmount`.
        Lock::Mounted if !host::mounted(node, host, vmid)?.is_empty() => None,
        Lock::Mounted => {
            Some(finding(" and nothing is mounted").by("remove the lock value", Action::Unlock(lock.clone())))
        }
        // Either nothing of the snapshot was made, or all of it is gone.
        Lock::Fstrim | Lock::Disk | Lock::Backup | Lock::Snapshot | Lock::SnapshotDelete => Some(
            finding(" and nothing works on it").by("remove the lock value", Action::Unlock(lock.clone())),
        ),
        // Only a person knows which snapshot it was. If volumes were rolled back but not the configuration, the
        // rollback must be repeated.
        Lock::Rollback => Some(
            finding(" and nothing works on it").by_hand(format!("pvect rollback {vmid} SNAPSHOT, again")),
        ),
        Lock::Create | Lock::Destroyed | Lock::Migrate | Lock::Other(_) => {
            Some(finding(" and nothing works on it").by_hand(by_hand))
        }
    })
}
