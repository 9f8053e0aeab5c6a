//! The lists of tasks: which are under way, and the index of those that ended.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use pvect_core::upid::Upid;

use super::{FILE_MODE, now};
use crate::{Failure, Node, NodeResult, files, lock_files};

/// The index is rotated above this many bytes. Source: `PVE::RESTEnvironment`.
const INDEX_LIMIT: u64 = 50_000;
/// How long to wait for the lock of the lists, seconds.
const LIST_LOCK_SECONDS: u64 = 10;

/// Returns the tasks that are under way.
pub(crate) fn active(node: &Node) -> Vec<Upid> {
    active_at(node, Path::new("/proc"))
}

/// As [`active`]; `proc` is `/proc`.
pub(crate) fn active_at(node: &Node, proc: &Path) -> Vec<Upid> {
    listed(node).into_iter().filter(|upid| is_alive(proc, upid)).collect()
}

/// Returns the tasks in the list of active ones whose process is gone.
pub(crate) fn stale_at(node: &Node, proc: &Path) -> Vec<Upid> {
    listed(node).into_iter().filter(|upid| !is_alive(proc, upid)).collect()
}

/// Moves the tasks whose process is gone to the index, as each new task does.
pub(crate) fn end_stale(node: &Node) -> NodeResult<()> {
    change_lists(&node.layout.tasks(), move_dead)
}

pub(crate) fn listed(node: &Node) -> Vec<Upid> {
    let text = fs::read_to_string(node.layout.tasks().join("active")).unwrap_or_default();
    text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect()
}

pub(super) fn move_dead(active: &mut Vec<Upid>, ended: &mut Vec<(Upid, String)>) {
    let (alive, dead): (Vec<_>, Vec<_>) =
        std::mem::take(active).into_iter().partition(|upid| is_alive(Path::new("/proc"), upid));
    *active = alive;
    ended.extend(dead.into_iter().map(|upid| (upid, "unexpected status".to_owned())));
}

pub(super) fn finish(node: &Node, upid: &Upid, status: &str) -> NodeResult<()> {
    change_lists(&node.layout.tasks(), |active, ended| {
        // One process may run several tasks of a kind within a second: one line of them goes.
        if let Some(at) = active.iter().position(|known| known == upid) {
            active.remove(at);
        }
        ended.push((upid.clone(), status.to_owned()));
    })
}

/// Changes the list of active tasks under its lock and appends the ended ones to the index.
pub(super) fn change_lists(
    tasks: &Path,
    change: impl FnOnce(&mut Vec<Upid>, &mut Vec<(Upid, String)>),
) -> NodeResult<()> {
    let _lock = lock_files::take_for_a_moment(&tasks.join(".active.lock"), LIST_LOCK_SECONDS)?;
    let path = tasks.join("active");
    let text = fs::read_to_string(&path).unwrap_or_default();
    let mut active: Vec<Upid> =
        text.lines().filter_map(|line| line.split(' ').next()?.parse().ok()).collect();
    let mut ended = Vec::new();
    change(&mut active, &mut ended);
    // 0: not in the index yet.
    let text: String = active.iter().map(|upid| format!("{upid} 0\n")).collect();
    // Not synced, as pct does not: after a crash of the machine none of them is under way.
    files::replace_unsynced(&path, text.as_bytes(), FILE_MODE)
        .map_err(|error| Failure::io("can't write", &path, &error))?;
    if ended.is_empty() { Ok(()) } else { append_index(tasks, &ended) }
}

fn append_index(tasks: &Path, ended: &[(Upid, String)]) -> NodeResult<()> {
    let path = tasks.join("index");
    let failed = |error: std::io::Error| Failure::io("can't write", &path, &error);
    if fs::metadata(&path).is_ok_and(|meta| meta.len() > INDEX_LIMIT) {
        fs::rename(&path, tasks.join("index.1")).map_err(failed)?;
    }
    let end = now();
    let text: String = ended.iter().map(|(upid, status)| format!("{upid} {end:08X} {status}\n")).collect();
    let mut file =
        OpenOptions::new().append(true).create(true).mode(FILE_MODE).open(&path).map_err(failed)?;
    file.write_all(text.as_bytes()).map_err(failed)
}

/// Returns whether the process of a task still runs: same id, same start.
pub(crate) fn is_alive(proc: &Path, upid: &Upid) -> bool {
    process_start(proc, upid.pid) == Some(upid.pstart)
}

/// Returns when a process was started, clock ticks after boot: field 22 of proc_pid_stat(5). One that has ended and that
/// nobody has waited for yet (a zombie) is none.
pub(super) fn process_start(proc: &Path, pid: u32) -> Option<u64> {
    let stat = fs::read(proc.join(pid.to_string()).join("stat")).ok()?;
    let stat = String::from_utf8_lossy(&stat);
    // The second field, the name in parentheses, may hold anything.
    let mut rest = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = rest.next()?;
    if matches!(state, "Z" | "X") { None } else { rest.nth(18)?.parse().ok() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_read_whatever_the_name_is() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("7")).unwrap();
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 424242 1 1\n";
        fs::write(dir.path().join("7/stat"), stat).unwrap();
        assert_eq!(process_start(dir.path(), 7), Some(424_242));
        assert_eq!(process_start(dir.path(), 8), None);
        fs::write(dir.path().join("7/stat"), stat.replace(" S ", " Z ")).unwrap();
        assert_eq!(process_start(dir.path(), 7), None);
        assert!(process_start(Path::new("/proc"), std::process::id()).is_some());
    }
}
