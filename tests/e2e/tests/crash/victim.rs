//! Commands that are killed.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use pvect_testkit::TestNode;
use rustix::process::{Pid, Signal, kill_process};

use crate::events::Events;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// The node's pct, which was called directly.
    Pct,
    /// pvect; the pct that it started goes on alone.
    Pvect,
    /// pvect, and the pct that it started.
    Both,
    /// The pct that pvect started; pvect tells what happened.
    PctOfPvect,
}

/// When it is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long after its start.
    After(Duration),
    /// At this change of a file below the root, counted from 1.
    AtChange(u64),
}

/// How long a command took and how many files it changed.
#[derive(Debug, Clone, Copy)]
pub struct Measure {
    pub time: Duration,
    pub changes: u64,
}

fn start(node: &TestNode, who: Who, words: &[&str]) -> Child {
    let mut all = if who == Who::Pct { vec!["pct"] } else { Vec::new() };
    all.extend_from_slice(words);
    node.command(all)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("pvect can be started; build it first")
}

/// Runs a command to its end.
pub fn measure(node: &TestNode, words: &[&str]) -> Measure {
    let mut events = Events::below(node.root());
    let began = Instant::now();
    let mut child = start(node, Who::Pct, words);
    let mut changes = 0;
    loop {
        changes += events.count();
        if let Some(status) = child.try_wait().expect("the child can be waited for") {
            assert!(status.success(), "pct {words:?} failed: {status}");
            return Measure { time: began.elapsed(), changes: changes + events.count() };
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Starts a command and kills it. Returns whether it still ran then.
pub fn run_and_kill(node: &TestNode, who: Who, when: When, words: &[&str]) -> bool {
    let mut events = Events::below(node.root());
    let began = Instant::now();
    let mut child = start(node, who, words);
    let pid = i32::try_from(child.id()).expect("a process id");
    let mut changes = 0;
    loop {
        changes += events.count();
        let is_time = match when {
            When::After(time) => began.elapsed() >= time,
            When::AtChange(number) => changes >= number,
        };
        if is_time && (who != Who::PctOfPvect || !children(pid).is_empty()) {
            break;
        }
        if child.try_wait().expect("the child can be waited for").is_some() {
            return false;
        }
        std::thread::sleep(Duration::from_micros(50));
    }
    let pct = if who == Who::Pct { Vec::new() } else { children(pid) };
    if who != Who::PctOfPvect {
        kill(pid);
    }
    if matches!(who, Who::Both | Who::PctOfPvect) {
        pct.into_iter().for_each(kill);
    }
    let status = child.wait().expect("the child can be waited for");
    !status.success()
}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // It may have ended.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The children of a process, by /proc: field 4 of stat is the parent.
fn children(parent: i32) -> Vec<i32> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else {
            continue;
        };
        let stat = fs::read(entry.path().join("stat")).unwrap_or_default();
        let stat = String::from_utf8_lossy(&stat);
        let rest = stat.rfind(')').and_then(|end| stat.get(end + 1..)).unwrap_or_default();
        if rest.split_ascii_whitespace().nth(1).and_then(|field| field.parse().ok()) == Some(parent) {
            found.push(pid);
        }
    }
    found
}

/// Waits until no process of the node works any more: those that a killed one left may go on for a while.
pub fn wait_until_quiet(node: &TestNode) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while let Some(what) = at_work(node) {
        assert!(Instant::now() < deadline, "it does not end: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn at_work(node: &TestNode) -> Option<String> {
    let locks = fs::read_dir(node.root().join("run/lock/lxc")).into_iter().flatten().flatten();
    for entry in locks {
        let Ok(file) = fs::File::open(entry.path()) else { continue };
        let operation = rustix::fs::FlockOperation::NonBlockingLockExclusive;
        if rustix::fs::flock(&file, operation) == Err(rustix::io::Errno::WOULDBLOCK) {
            return Some(format!("{} is held", entry.path().display()));
        }
    }
    // A killed process has no locks and no environment any more while the kernel unmounts what it had mounted.
    let active = fs::read_to_string(node.root().join("log/tasks/active")).unwrap_or_default();
    for line in active.lines() {
        let pid = line.split(':').nth(2).and_then(|hex| u32::from_str_radix(hex, 16).ok()).unwrap_or(0);
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        if stat.contains("(pvect) ") && !stat.contains("(pvect) Z") {
            return Some(format!("{pid} ends"));
        }
    }
    // A start that lost its pct may still be on its way.
    let root = node.root().to_string_lossy().into_owned();
    let ours = format!("PVECT_ROOT={root}");
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let environment = fs::read(entry.path().join("environ")).unwrap_or_default();
        let is_ours = environment.split(|byte| *byte == 0).any(|word| word == ours.as_bytes());
        let is_tool = line.contains(&root) && !line.starts_with("[lxc monitor]");
        if is_ours || is_tool {
            return Some(line);
        }
    }
    None
}
