//! Locks of a node of Proxmox VE that nobody holds any more.

use std::fs::{self, File};
use std::path::Path;

use pvect_core::upid::Upid;
use pvect_core::{Lock, Vmid};
use rustix::fs::{FlockOperation, flock};

use super::cluster::configs_of;
use super::{Check, Host};
use crate::client::host_name;
use crate::{Client, Place};

const NAME: &str = "locks";

/// Names the locked containers of this node on which no command is working any more, and the command that unlocks the
/// first.
///
/// A lock is in use while a process holds the container's lock file, or while the process of a task on it lives.
/// Nothing is changed. Tasks of other nodes are not seen from here, so their containers are left out.
pub(super) fn check(client: &Client, host: &Host) -> Check {
    let name = match client.place() {
        Place::Standalone { node, .. } => Ok(node.clone()),
        Place::Proxmox | Place::Far { .. } | Place::Api { .. } => host_name(),
    };
    let Ok(name) = name else { return Check::ok(NAME, "not checked: this node's name is not known") };
    let configs = configs_of(&client.pve().join("nodes").join(name.as_str()));
    let locked: Vec<(Vmid, Lock)> =
        configs.into_iter().filter_map(|(vmid, config)| Some((vmid, config.lock()?))).collect();
    let tasks = active(host);
    let is_stale = |(vmid, lock): &&(Vmid, Lock)| !is_live(host, &tasks, *vmid, lock);
    // `mounted` is meant to outlive its command.
    let stale: Vec<_> = locked.iter().filter(|(_, lock)| *lock != Lock::Mounted).filter(is_stale).collect();
    let list = |some: &[&(Vmid, Lock)]| {
        some.iter().map(|(vmid, lock)| format!("{vmid} ({lock})")).collect::<Vec<_>>().join(", ")
    };
    match stale.first() {
        Some((first, _)) => {
            let detail = format!("locked, and nothing works on it: {}", list(&stale));
            Check::warn(NAME, detail, format!("pvect unlock {first}"))
        }
        None if locked.is_empty() => Check::ok(NAME, "no container is locked"),
        None => Check::ok(NAME, format!("in use: {}", list(&locked.iter().collect::<Vec<_>>()))),
    }
}

/// The tasks of the list whose process is alive: same id, same start.
fn active(host: &Host) -> Vec<Upid> {
    let text = fs::read_to_string(host.tasks.join("active")).unwrap_or_default();
    let upids = text.lines().filter_map(|line| line.split(' ').next()?.parse::<Upid>().ok());
    upids.filter(|upid| started(&host.proc, upid.pid) == Some(upid.pstart)).collect()
}

/// When a process was started, clock ticks after boot: field 22 of proc_pid_stat(5). A zombie is not a process any
/// more.
fn started(proc: &Path, pid: u32) -> Option<u64> {
    let stat = fs::read(proc.join(pid.to_string()).join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The second field, the name in parentheses, may hold anything.
    let mut rest = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = rest.next()?;
    if matches!(state, "Z" | "X") { None } else { rest.nth(18)?.parse().ok() }
}

fn is_live(host: &Host, tasks: &[Upid], vmid: Vmid, lock: &Lock) -> bool {
    let id = vmid.to_string();
    // A backup of several containers names none of them.
    let is_about = |upid: &Upid| upid.id == id || (upid.id.is_empty() && *lock == Lock::Backup);
    tasks.iter().any(is_about) || is_held(&host.locks.join(format!("pve-config-{vmid}.lock")))
}

/// Takes the lock for a moment to find out; a pct that meets this tries again within a second.
fn is_held(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| {
        flock(&file, FlockOperation::NonBlockingLockShared) == Err(rustix::io::Errno::WOULDBLOCK)
    })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::Settings;

    #[test]
    fn a_lock_is_stale_when_neither_a_task_nor_the_lock_file_is_held() {
        let dir = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.proxmox.root = Some(dir.path().to_owned());
        settings.proxmox.node = Some("n".parse().unwrap());
        let client = Client::builder(settings).standalone_program("/none/pvect").connect().unwrap();
        let lxc = client.pve().join("nodes/n/lxc");
        fs::create_dir_all(&lxc).unwrap();
        let host = Host {
            proc: dir.path().join("proc"),
            tasks: dir.path().to_owned(),
            locks: dir.path().to_owned(),
            ..Host::default()
        };
        assert_eq!(check(&client, &host), Check::ok(NAME, "no container is locked"));
        fs::write(lxc.join("101.conf"), "lock: backup\n").unwrap();
        fs::write(lxc.join("102.conf"), "lock: mounted\n").unwrap();
        fs::write(lxc.join("103.conf"), "memory: 512\n\n[snap]\nlock: backup\n").unwrap();
        let found = check(&client, &host);
        assert_eq!(found.detail, "locked, and nothing works on it: 101 (backup)");
        assert_eq!((found.verdict, found.fix.as_deref()), (Verdict::Warn, Some("pvect unlock 101")));

        // First the process of the task is alive; then another one has its id.
        fs::write(dir.path().join("active"), "UPID:n:00000007:00067932:65540AF0:vzdump:101:root@pam: 0\n")
            .unwrap();
        fs::create_dir_all(dir.path().join("proc/7")).unwrap();
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 424242 1 1\n";
        fs::write(dir.path().join("proc/7/stat"), stat).unwrap();
        assert_eq!(check(&client, &host), Check::ok(NAME, "in use: 101 (backup), 102 (mounted)"));
        fs::write(dir.path().join("proc/7/stat"), stat.replace("424242", "424243")).unwrap();
        assert_eq!(check(&client, &host).verdict, Verdict::Warn);

        let file = File::create(dir.path().join("pve-config-101.lock")).unwrap();
        flock(&file, FlockOperation::LockExclusive).unwrap();
        assert_eq!(check(&client, &host).verdict, Verdict::Ok);
    }
}
