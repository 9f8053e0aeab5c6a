//! Repairs what was found.

use std::io::ErrorKind;
use std::path::Path;
use std::time::{Duration, Instant};

use pvect_core::{Call, Lock, Verb, Vmid};

use super::{Action, Finding, Host, Repaired, container, files, host_users, live, volumes};
use crate::tool::Tool;
use crate::{
    Failure, FailureKind, Node, NodeResult, Output, creation, ids, lock_files, runtime, storage, store, task,
    verbs,
};

/// How long a loop device may take to be free.
const DETACH_TIME: Duration = Duration::from_secs(10);
/// How often to check meanwhile.
const STEP: Duration = Duration::from_millis(5);

/// See [`super::repair()`].
pub(super) fn repair(
    node: &Node,
    host: &Host,
    finding: &Finding,
    output: &mut Output<'_>,
) -> NodeResult<Repaired> {
    let Some(vmid) = finding.vmid.filter(|_| finding.action != Action::EndTasks) else {
        return of_the_node(node, host, finding, output);
    };
    let mut quiet = (Vec::new(), Vec::new());
    let mut nobody = Output::new(&mut quiet.0, &mut quiet.1);
    let lock = match store::lock(node, vmid, 0, &mut nobody) {
        Err(Failure { kind: FailureKind::Held, .. }) => return Ok(Repaired::Busy),
        other => other?,
    };
    if live::is_live(node, host, vmid, true) {
        return Ok(Repaired::Busy);
    }
    if !container::inspect(node, host, vmid)?.contains(finding) {
        return Ok(Repaired::Gone);
    }
    if finding.action == Action::MoveIds {
        // It takes the lock itself.
        drop(lock);
        ids::go_on(node, vmid, output)?;
    } else if let Some(call) = verb(node, vmid, &finding.action)? {
        if let Action::DropSnapshot(_) = finding.action {
            if runtime::is_running(node, vmid) {
                runtime::thaw(node, vmid)?;
            }
            for value in [Lock::Snapshot, Lock::SnapshotDelete] {
                unlock(node, vmid, &value)?;
            }
        }
        // It takes the lock itself and checks everything again.
        drop(lock);
        verbs::dispatch(node, &call, output)?;
    } else {
        act(node, host, vmid, &finding.action)?;
    }
    Ok(Repaired::Done)
}

/// Repairs what does not belong to a container.
fn of_the_node(node: &Node, host: &Host, finding: &Finding, output: &mut Output<'_>) -> NodeResult<Repaired> {
    match &finding.action {
        Action::EndTasks => {
            if !files::tasks(node, host).contains(finding) {
                return Ok(Repaired::Gone);
            }
            task::lists::end_stale(node)?;
        }
        Action::RemoveFile(path) => {
            if !files::temporary(node, host)?.contains(finding) {
                return Ok(Repaired::Gone);
            }
            remove_file(path)?;
        }
        Action::Close(_) | Action::MoveIds | Action::ReserveIds => {
            if !host_users::inspect(node, host)?.contains(finding) {
                return Ok(Repaired::Gone);
            }
            for_host_users(node, &finding.action, output)?;
        }
        _ => {}
    }
    Ok(Repaired::Done)
}

/// Removes other users' access to a directory or file.
fn for_host_users(node: &Node, action: &Action, output: &mut Output<'_>) -> NodeResult<()> {
    match action {
        // The check has just found it again, so it is not a symlink.
        Action::Close(path) => crate::files::close_to_others(path),
        Action::ReserveIds => ids::reserve(node),
        _ => {
            let mut said = Vec::new();
            let mut told = Output::new(output.out, &mut said);
            match ids::move_ids(node, &ids::Moving::default(), &mut told)? {
                0 => Ok(()),
                _ => Err(Failure::new(String::from_utf8_lossy(&said).trim_end().to_owned())),
            }
        }
    }
}

/// The verb of pct that repairs something.
fn verb(node: &Node, vmid: Vmid, action: &Action) -> NodeResult<Option<Call>> {
    let words = |verb: Verb, args: &[&str], options: &[(&str, &str)]| {
        let mut call = Call::new(verb);
        for arg in args {
            call = call.arg(*arg);
        }
        for (name, value) in options {
            call = call.option(*name, *value);
        }
        call
    };
    let id = vmid.to_string();
    Ok(Some(match action {
        Action::Destroy => words(Verb::Destroy, &[&id], &[]),
        Action::DropSnapshot(name) => words(Verb::Delsnapshot, &[&id, name], &[("force", "1")]),
        Action::Template => words(Verb::Template, &[&id], &[]),
        Action::Rescan => words(Verb::Rescan, &[], &[("vmid", &id)]),
        Action::DropUnused(key) => words(Verb::Set, &[&id], &[("delete", key)]),
        Action::Resize(key) => {
            let config = store::load(node, vmid)?.config;
            let size = size_of(node, &config, key)?;
            words(Verb::Resize, &[&id, key, &size.to_string()], &[])
        }
        _ => return Ok(None),
    }))
}

/// The present size of an image, bytes.
fn size_of(node: &Node, config: &pvect_core::ContainerConfig, key: &str) -> NodeResult<u64> {
    let volumes = config.volumes();
    let mount = volumes.iter().find(|(known, _)| known == key).map(|(_, mount)| mount);
    let size = match mount.map(|mount| &mount.fs.source) {
        Some(pvect_core::property::MountSource::Volume(text)) => {
            let volume =
                text.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{text}'")))?;
            storage::grow::size(node, &volume)?
        }
        _ => None,
    };
    size.ok_or_else(|| Failure::new(format!("{key} has no size")))
}

/// Acts on a container whose lock file we hold.
fn act(node: &Node, host: &Host, vmid: Vmid, action: &Action) -> NodeResult<()> {
    match action {
        Action::KillCgroups => runtime::end_cgroups(&host.cgroups(), node, vmid),
        Action::RemoveDevice(device) => {
            Tool::new("ip", "iproute2").args(["link", "delete", "dev", device]).run()
        }
        Action::Unmount => storage::unmount_all(&node.layout.rootfs(vmid)),
        Action::Detach(device) => detach(host, device),
        Action::UndoCreate => undo_create(node, vmid),
        Action::Unlock(lock) => {
            // A backup or a snapshot may have left it frozen.
            if matches!(lock, Lock::Backup | Lock::Snapshot) && runtime::is_running(node, vmid) {
                runtime::thaw(node, vmid)?;
            }
            unlock(node, vmid, lock)
        }
        Action::RemoveDirectory => remove_directory(node, vmid),
        Action::RemoveVolumeDirectories => remove_volume_directories(node, vmid),
        Action::RemoveFile(path) => remove_file(path),
        Action::Sweep(volume) => storage::snapshot::sweep(node, volume),
        Action::FreeVolume(volume) => storage::free(node, volume),
        Action::None
        | Action::EndTasks
        | Action::Destroy
        | Action::Rescan
        | Action::DropUnused(_)
        | Action::Template
        | Action::DropSnapshot(_)
        | Action::Close(_)
        | Action::MoveIds
        | Action::ReserveIds
        | Action::Resize(_) => Ok(()),
    }
}

/// Detaches a loop device and waits until the kernel has done so, which takes a while after the last mount namespace is
/// gone.
fn detach(host: &Host, device: &Path) -> NodeResult<()> {
    let name = device.file_name().unwrap_or_default();
    let file = host.sys.join("block").join(name).join("loop/backing_file");
    let deadline = Instant::now() + DETACH_TIME;
    // It may disappear by itself at any moment.
    let detached = Tool::new("losetup", "mount").arg("--detach").arg(device).run();
    while file.exists() {
        if Instant::now() >= deadline {
            detached?;
            return Err(Failure::new(format!("{} is still in use", device.display())));
        }
        std::thread::sleep(STEP);
    }
    Ok(())
}

fn unlock(node: &Node, vmid: Vmid, lock: &Lock) -> NodeResult<()> {
    let mut config = store::load(node, vmid)?.config;
    if config.lock().as_ref() == Some(lock) {
        config.main.remove("lock");
        store::save(node, vmid, &config)?;
    }
    lock_files::end_operation(&node.layout.operation_lock(vmid));
    Ok(())
}

/// Removes what an interrupted create or restore made: its volumes, except those that existed before; then the
/// configuration, or only its lock if an old container was to be overwritten.
fn undo_create(node: &Node, vmid: Vmid) -> NodeResult<()> {
    let Some(note) = creation::note(node, vmid)? else { return Ok(()) };
    storage::unmount_all(&node.layout.rootfs(vmid))?;
    let kept: Vec<_> =
        note.before.iter().filter_map(|volume| storage::volume_path(node, volume).ok()).collect();
    // Also one that has no path yet: of an image on btrfs the subvolume is made first.
    let looked = storage::look_for(node, vmid)?;
    for volume in
        looked.iter().filter(|one| note.has_seen(&one.storage, &one.images)).flat_map(|one| &one.volumes)
    {
        let is_kept = || storage::volume_path(node, volume).is_ok_and(|path| kept.contains(&path));
        if !note.before.contains(volume) && !is_kept() {
            storage::free(node, volume)?;
        }
    }
    remove_volume_directories(node, vmid)?;
    if note.over {
        return unlock(node, vmid, &Lock::Create);
    }
    remove_directory(node, vmid)?;
    store::remove(node, vmid)
}

/// Removes the directories for a container's volumes, where they are empty.
fn remove_volume_directories(node: &Node, vmid: Vmid) -> NodeResult<()> {
    for path in volumes::empty_directories(node, vmid)? {
        std::fs::remove_dir(&path).map_err(|error| Failure::io("can't remove", &path, &error))?;
    }
    Ok(())
}

/// Removes `lib/lxc/<vmid>`, which has only generated files. What is in its `rootfs` stays, because something could
/// still be mounted or written there.
fn remove_directory(node: &Node, vmid: Vmid) -> NodeResult<()> {
    let gone = |path: &Path, result: std::io::Result<()>| match result {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::io("can't remove", path, &error)),
        _ => Ok(()),
    };
    let (rootfs, directory) = (node.layout.rootfs(vmid), node.layout.container(vmid));
    gone(&rootfs, std::fs::remove_dir(&rootfs))?;
    gone(&directory, std::fs::remove_dir_all(&directory))
}

fn remove_file(path: &Path) -> NodeResult<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::io("can't remove", path, &error)),
        _ => Ok(()),
    }
}
