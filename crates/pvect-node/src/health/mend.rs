//! Putting right what was found.

use std::io::ErrorKind;
use std::path::Path;

use pvect_core::{Call, Lock, Verb, Vmid};

use super::{Action, Finding, Host, Mended, container, files, live};
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, Output, creation, held, runtime, storage, store, task, verbs};

/// See [`super::mend()`].
pub(super) fn mend(
    node: &Node,
    host: &Host,
    finding: &Finding,
    output: &mut Output<'_>,
) -> NodeResult<Mended> {
    let Some(vmid) = finding.vmid.filter(|_| finding.action != Action::EndTasks) else {
        return of_the_node(node, host, finding);
    };
    let mut quiet = (Vec::new(), Vec::new());
    let mut nobody = Output { out: &mut quiet.0, err: &mut quiet.1 };
    let Ok(lock) = store::lock(node, vmid, 0, &mut nobody) else { return Ok(Mended::Busy) };
    if live::is_live(node, host, vmid, true) {
        return Ok(Mended::Busy);
    }
    if !container::inspect(node, host, vmid)?.contains(finding) {
        return Ok(Mended::Gone);
    }
    if let Some(call) = verb(node, vmid, &finding.action)? {
        // It takes the lock itself and looks at everything again.
        drop(lock);
        verbs::dispatch(node, &call, output)?;
    } else {
        act(node, host, vmid, &finding.action)?;
    }
    Ok(Mended::Done)
}

/// What is no container's.
fn of_the_node(node: &Node, host: &Host, finding: &Finding) -> NodeResult<Mended> {
    match &finding.action {
        Action::EndTasks => {
            if !files::tasks(node, host).contains(finding) {
                return Ok(Mended::Gone);
            }
            task::end_stale(node)?;
        }
        Action::RemoveFile(path) => {
            if !files::temporary(node, host)?.contains(finding) {
                return Ok(Mended::Gone);
            }
            remove_file(path)?;
        }
        _ => {}
    }
    Ok(Mended::Done)
}

/// The verb of pct that mends something.
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
        Action::Detach(device) => Tool::new("losetup", "mount").arg("--detach").arg(device).run(),
        Action::UndoCreate => undo_create(node, vmid),
        Action::Unlock(lock) => unlock(node, vmid, lock),
        Action::RemoveDirectory => remove_directory(node, vmid),
        Action::RemoveFile(path) => remove_file(path),
        Action::None
        | Action::EndTasks
        | Action::Destroy
        | Action::Rescan
        | Action::DropUnused(_)
        | Action::Template
        | Action::Resize(_) => Ok(()),
    }
}

fn unlock(node: &Node, vmid: Vmid, lock: &Lock) -> NodeResult<()> {
    let mut config = store::load(node, vmid)?.config;
    if config.lock().as_ref() == Some(lock) {
        config.main.remove("lock");
        store::save(node, vmid, &config)?;
    }
    held::end_operation(&node.layout.operation_lock(vmid));
    Ok(())
}

/// Removes a container that was never finished: its volumes but those that were there before, then the configuration.
fn undo_create(node: &Node, vmid: Vmid) -> NodeResult<()> {
    let Some(before) = creation::volumes_before(node, vmid)? else { return Ok(()) };
    storage::unmount_all(&node.layout.rootfs(vmid))?;
    let kept: Vec<_> = before.iter().filter_map(|volume| storage::volume_path(node, volume).ok()).collect();
    for (volume, path) in super::volumes_of(node, vmid)? {
        if !before.contains(&volume) && !kept.contains(&path) {
            storage::free(node, &volume)?;
        }
    }
    remove_directory(node, vmid)?;
    store::remove(node, vmid)
}

/// Removes `lib/lxc/<vmid>`: generated files only. Not what is in its `rootfs`: were something mounted or written
/// there, it would be lost.
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
