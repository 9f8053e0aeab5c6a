//! A process, its group, its session and its descendants, as /proc shows them.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

/// One process. The start time tells it apart from a later one with the same id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Member {
    pub(super) pid: i32,
    start: u64,
}

/// Every process by its id.
pub(super) type Table = HashMap<i32, Stat>;

/// What is known about a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stat {
    pid: i32,
    zombie: bool,
    parent: i32,
    group: i32,
    session: i32,
    start: u64,
}

/// Returns the living processes that belong to `leader`: itself, its descendants, its process group and session.
///
/// A descendant that has detached itself from all of these (a daemon) is not included. Blocks for the time of one walk
/// through /proc, some milliseconds.
pub(super) fn members(proc_root: &Path, leader: i32) -> Vec<Member> {
    members_of(&table(proc_root), leader)
}

/// As [`members`], from a table.
pub(super) fn members_of(all: &Table, leader: i32) -> Vec<Member> {
    let belongs =
        |stat: &&Stat| stat.group == leader || stat.session == leader || descends(all, stat, leader);
    let living = all.values().filter(|stat| !stat.zombie).filter(belongs);
    living.map(|stat| Member { pid: stat.pid, start: stat.start }).collect()
}

/// Returns whether the table has the same process, and it is alive.
pub(super) fn lives_in(all: &Table, member: Member) -> bool {
    all.get(&member.pid).is_some_and(|stat| stat.start == member.start && !stat.zombie)
}

fn table(proc_root: &Path) -> Table {
    fs::read_dir(proc_root)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let _: u32 = name.parse().ok()?;
            let text = fs::read_to_string(proc_root.join(name).join("stat")).ok()?;
            let stat = parse(&text)?;
            Some((stat.pid, stat))
        })
        .collect()
}

/// Reads records `PID/stat:TEXT`, each ended by NUL. A record whose text has another process id than its path is
/// skipped.
pub(super) fn read_table(records: &[u8]) -> Table {
    records
        .split(|byte| *byte == 0)
        .filter_map(|record| {
            let record = String::from_utf8_lossy(record);
            let (pid, text) = record.trim_start().split_once("/stat:")?;
            let stat = parse(text).filter(|stat| pid.parse() == Ok(stat.pid))?;
            Some((stat.pid, stat))
        })
        .collect()
}

/// Returns whether the process still exists and is the same.
pub(super) fn lives(proc_root: &Path, member: Member) -> bool {
    let text = fs::read_to_string(proc_root.join(member.pid.to_string()).join("stat"));
    text.ok().and_then(|text| parse(&text)).is_some_and(|stat| stat.start == member.start && !stat.zombie)
}

fn descends(all: &Table, stat: &Stat, leader: i32) -> bool {
    let mut at = *stat;
    // The table is not a snapshot of one moment, so a chain of parents could loop; a real chain is never longer than
    // the table.
    for _ in 0..=all.len() {
        if at.pid == leader {
            return true;
        }
        match all.get(&at.parent) {
            Some(parent) => at = *parent,
            None => return false,
        }
    }
    false
}

/// Parses `/proc/PID/stat`; the second field is in parentheses and may hold anything. Source: proc_pid_stat(5).
fn parse(text: &str) -> Option<Stat> {
    let (head, tail) = text.rsplit_once(')')?;
    let pid = head.split_once(' ')?.0.parse().ok()?;
    let fields: Vec<&str> = tail.split_ascii_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse().ok();
    Some(Stat {
        pid,
        zombie: matches!(fields.first(), Some(&("Z" | "X"))),
        parent: number(1)?,
        group: number(2)?,
        session: number(3)?,
        start: fields.get(19)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(root: &Path, pid: i32, name: &str, state: &str, ids: [i32; 3]) {
        let dir = root.join(pid.to_string());
        fs::create_dir(&dir).unwrap();
        let [parent, group, session] = ids;
        let text = format!(
            "{pid} ({name}) {state} {parent} {group} {session} 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {pid}0 0 0\n"
        );
        fs::write(dir.join("stat"), text).unwrap();
    }

    #[test]
    fn the_family_is_descendants_group_and_session() {
        let root = tempfile::tempdir().unwrap();
        let root = root.path();
        process(root, 1, "init", "S", [0, 1, 1]);
        process(root, 50, "pct", "S", [1, 50, 9]);
        process(root, 51, "task) S 1 (", "S", [50, 51, 51]);
        process(root, 52, "tar", "S", [51, 51, 51]);
        process(root, 53, "stray", "S", [1, 50, 9]);
        process(root, 54, "gone", "Z", [50, 50, 9]);
        process(root, 60, "other", "S", [1, 60, 60]);
        fs::create_dir(root.join("self")).unwrap();
        let mut pids: Vec<i32> = members(root, 50).iter().map(|member| member.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [50, 51, 52, 53]);
        assert!(lives(root, Member { pid: 52, start: 520 }));
        assert!(!lives(root, Member { pid: 52, start: 521 }));
        assert!(!lives(root, Member { pid: 54, start: 540 }));
        assert!(!lives(root, Member { pid: 99, start: 990 }));
    }

    #[test]
    fn a_table_is_read_and_names_cannot_add_to_it() {
        let stat = |pid: i32, name: &str, parent: i32| {
            format!("{pid}/stat:{pid} ({name}) S {parent} 7 7 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 {pid}0 0\n\0")
        };
        // A container could choose such a name in order to have another process killed.
        let text = [
            stat(7, "pct", 1),
            stat(8, "x\n1/stat:1 (", 7),
            stat(9, "y) S 1 1 1", 8),
            "5/stat:6 (a) S".into(),
        ]
        .concat();
        let table = read_table(text.as_bytes());
        let mut pids: Vec<i32> = members_of(&table, 7).iter().map(|member| member.pid).collect();
        pids.sort_unstable();
        assert_eq!(pids, [7, 8, 9]);
        assert!(lives_in(&table, Member { pid: 8, start: 80 }));
        assert!(!lives_in(&table, Member { pid: 8, start: 81 }));
        assert!(!lives_in(&table, Member { pid: 1, start: 10 }));
    }

    #[test]
    fn garbage_in_stat_is_no_process() {
        for text in ["", "1", "1 (a", ")", "x (a) S 1 1 1", "1 (a) S 1 1"] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }
}
