//! Starts and stops all containers in order, at boot and shutdown: what Proxmox VE's `pve-guests` does.
//!
//! Source: `startall` and `stopall` of pve-manager.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use pvect_core::{Call, ContainerConfig, Lock, Verb, Vmid};

use crate::interrupt::Interrupt;
use crate::{Failure, Node, NodeResult, Output, lock_files, locked, runtime, store, verbs, vmids};

/// How long a container may take to shut down when `startup` does not say, seconds.
const DOWN_SECONDS: u64 = 180;
/// The most containers that are stopped at a time.
const MOST_WORKERS: usize = 8;
const LOOK: Duration = Duration::from_millis(100);

/// Containers by order, ascending; those without one last.
type Ordered = BTreeMap<u32, Vec<(Vmid, ContainerConfig)>>;

/// Starts the containers with `onboot: 1` that do not run, by `startup` order and number, waiting `up` seconds after
/// each. A line for each goes to `output`. Returns how many could not be started.
///
/// Locks of backups that a crash left are removed first. `only` limits it to these containers, whatever their
/// `onboot` says.
///
/// # Errors
/// When the configurations cannot be listed; `interrupted by signal`.
pub fn up(node: &Node, only: &[Vmid], output: &mut Output<'_>) -> NodeResult<usize> {
    ready(node)?;
    remove_backup_locks(node, output);
    let interrupt = Interrupt::watch();
    let mut failed = 0;
    for (vmid, config) in ordered(node, only, output)?.into_values().flatten() {
        interrupt.check()?;
        let wanted = config.is_set("onboot") || only.contains(&vmid);
        if !wanted || config.is_set("template") || runtime::is_running(node, vmid) {
            continue;
        }
        output.line(format!("Starting CT {vmid}"));
        if let Err(failure) = verbs::dispatch(node, &Call::on(Verb::Start, vmid), output) {
            output.warn(format!("Starting CT {vmid} failed: {}", failure.text));
            failed += 1;
            continue;
        }
        let delay = config.main.startup().and_then(|startup| startup.up).unwrap_or(0);
        if delay > 0 {
            output.line(format!("Waiting for {delay} seconds (startup delay)"));
            wait(Duration::from_secs(delay.into()), &interrupt)?;
        }
    }
    Ok(failed)
}

/// Shuts all running containers down in the reverse order, those of one order at the same time, and kills those that
/// take longer than their `down` seconds (180 when unset). Returns how many still run.
///
/// # Errors
/// When the configurations cannot be listed; `interrupted by signal`.
pub fn down(node: &Node, only: &[Vmid], output: &mut Output<'_>) -> NodeResult<usize> {
    ready(node)?;
    let interrupt = Interrupt::watch();
    let mut failed = 0;
    for (_, group) in ordered(node, only, output)?.into_iter().rev() {
        let running: Vec<(Vmid, u64)> = group
            .iter()
            .rev()
            .filter(|(vmid, _)| runtime::is_running(node, *vmid))
            .map(|(vmid, config)| {
                let down = config.main.startup().and_then(|startup| startup.down);
                (*vmid, down.map_or(DOWN_SECONDS, u64::from))
            })
            .collect();
        for some in running.chunks(MOST_WORKERS) {
            interrupt.check()?;
            for (vmid, seconds) in some {
                output.line(format!("Stopping CT {vmid} (timeout = {seconds} seconds)"));
            }
            let ended = std::thread::scope(|scope| {
                let threads: Vec<_> = some
                    .iter()
                    .map(|(vmid, seconds)| scope.spawn(|| shut_down(node, *vmid, *seconds)))
                    .collect();
                threads.into_iter().map(std::thread::ScopedJoinHandle::join).collect::<Vec<_>>()
            });
            for ((vmid, _), result) in some.iter().zip(ended) {
                let result = result.unwrap_or_else(|_| Err(Failure::new("internal error")));
                if let Err(failure) = result {
                    output.warn(format!("Stopping CT {vmid} failed: {}", failure.text));
                    failed += 1;
                }
            }
        }
    }
    Ok(failed)
}

fn ready(node: &Node) -> NodeResult<()> {
    if !rustix::process::geteuid().is_root() {
        return Err(Failure::new("please run as root"));
    }
    store::ensure_root(node)
}

fn ordered(node: &Node, only: &[Vmid], output: &mut Output<'_>) -> NodeResult<Ordered> {
    let mut ordered = Ordered::new();
    for vmid in vmids::all(node)? {
        if !only.is_empty() && !only.contains(&vmid) {
            continue;
        }
        match store::load(node, vmid) {
            Ok(stored) => {
                let order = stored.config.main.startup().and_then(|startup| startup.order);
                ordered.entry(order.unwrap_or(u32::MAX)).or_default().push((vmid, stored.config));
            }
            // If one cannot be read, the others are still started.
            Err(failure) => output.warn(failure.text),
        }
    }
    Ok(ordered)
}

/// A process that was killed during a backup leaves the lock `backup` behind, and a locked container does not start.
fn remove_backup_locks(node: &Node, output: &mut Output<'_>) {
    let path = node.layout.root().join("run/lock/vzdump.lock");
    // Held while a backup runs.
    let Ok(_held) = lock_files::take(&path, 0, &mut |_| {}) else { return };
    for vmid in vmids::all(node).unwrap_or_default() {
        let is_left = |node: &Node| {
            store::load(node, vmid).is_ok_and(|stored| stored.config.lock() == Some(Lock::Backup))
        };
        if !is_left(node) {
            continue;
        }
        let removed = store::lock(node, vmid, store::LOCK_SECONDS, output)
            .and_then(|_held| locked::remove(node, vmid, &Lock::Backup, output))
            .and_then(|()| runtime::thaw(node, vmid));
        match removed {
            Ok(()) => output.line(format!("removed left over backup lock from '{vmid}'!")),
            Err(failure) => output.warn(failure.text),
        }
    }
}

fn wait(time: Duration, interrupt: &Interrupt) -> NodeResult<()> {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        interrupt.check()?;
        std::thread::sleep(left.min(LOOK));
    }
    Ok(())
}

/// `pct shutdown --forceStop 1` in this thread; what it prints counts only when it fails.
fn shut_down(node: &Node, vmid: Vmid, seconds: u64) -> NodeResult<()> {
    let call = Call::on(Verb::Shutdown, vmid).option("timeout", seconds.to_string()).flag("forceStop", true);
    let (mut out, mut err) = (std::io::sink(), std::io::sink());
    let ended = verbs::dispatch(node, &call, &mut Output::new(&mut out, &mut err));
    match ended {
        // It ended by itself meanwhile.
        Err(_) if !runtime::is_running(node, vmid) => Ok(()),
        other => other.map(|_| ()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_are_ordered_by_startup_and_number() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        store::ensure_root(&node).unwrap();
        for (vmid, startup) in
            [("103", ""), ("101", ""), ("104", "order=2"), ("102", "order=2"), ("105", "1")]
        {
            let mut config = ContainerConfig::default();
            if !startup.is_empty() {
                config.main.set("startup", startup);
            }
            store::create(&node, vmid.parse().unwrap(), &config).unwrap();
        }
        std::fs::write(node.layout.config("106".parse().unwrap()), b"\xff\xfe").unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut err);
        let order = |only: &[Vmid], output: &mut Output<'_>| {
            let all = ordered(&node, only, output).unwrap();
            all.into_values().flatten().map(|(vmid, _)| vmid.get()).collect::<Vec<_>>()
        };
        assert!(order(&[], &mut output).starts_with(&[105, 102, 104, 101, 103]));
        let only = ["103", "104"].map(|vmid| vmid.parse().unwrap());
        assert_eq!(order(&only, &mut output), [104, 103]);
    }

    #[test]
    fn a_lock_that_a_backup_left_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        store::ensure_root(&node).unwrap();
        for (vmid, lock) in [("101", "backup"), ("102", "migrate")] {
            let mut config = ContainerConfig::default();
            config.main.set("lock", lock);
            store::create(&node, vmid.parse().unwrap(), &config).unwrap();
        }
        let (mut out, mut err) = (Vec::new(), Vec::new());
        remove_backup_locks(&node, &mut Output::new(&mut out, &mut err));
        assert_eq!(String::from_utf8(out).unwrap(), "removed left over backup lock from '101'!\n");
        let lock = |vmid: &str| store::load(&node, vmid.parse().unwrap()).unwrap().config.lock();
        assert_eq!((lock("101"), lock("102")), (None, Some(Lock::Migrate)));
    }
}
