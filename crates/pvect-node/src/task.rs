//! Tasks: a UPID, a log file, a line in the index.
//!
//! The real pct forks a worker and copies its output; here the command itself is the worker, so the UPID names its
//! own process. What SIGINT and SIGTERM do is up to the work ([`crate::interrupt`]): the task ends when it does; none
//! begins after them. A process that was killed leaves its line in `active`; the next task moves it to the index with
//! `unexpected status`.

pub(crate) mod lists;

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::OnceLock;
use std::time::{SystemTime, UNIX_EPOCH};

use pvect_core::upid::Upid;

use crate::interrupt::Interrupt;
use crate::log_room::LogRoom;
use crate::{Failure, Node, NodeResult, Output, files};
use lists::{change_lists, finish, move_dead, process_start};

const FILE_MODE: u32 = 0o640;
/// The last line of a log that has reached its limit.
const OMITTED: &str = "the log is longer than 16 MiB, the rest is left out";
/// The longest end status of a task, in bytes, because it is also in the index.
const STATUS_LIMIT: usize = 16 * 1024;

/// The user that this process works for, if that is not `root@pam` at a command line.
static ASKER: OnceLock<Asker> = OnceLock::new();

struct Asker {
    user: String,
    begun: Box<dyn Fn(&Upid) + Send + Sync>,
}

/// Makes every task of this process one of `user`; `begun` is called with the name of each as it begins. Only the first
/// call in a process counts.
pub(crate) fn work_for(user: String, begun: impl Fn(&Upid) + Send + Sync + 'static) {
    let _ = ASKER.set(Asker { user, begun: Box::new(begun) });
}

/// Returns the user that this process works for, if [`work_for`] has set one.
pub(crate) fn asker() -> Option<&'static str> {
    ASKER.get().map(|asker| asker.user.as_str())
}

/// The log of a running task. What a worker prints goes to the log file and to pct's stdout.
#[derive(Debug)]
pub struct TaskLog {
    /// The task's name.
    pub upid: Upid,
    warnings: u32,
    file: File,
    room: LogRoom,
}

impl TaskLog {
    /// Writes one line to the log file and to stdout.
    pub fn line(&mut self, output: &mut Output<'_>, text: &str) {
        self.log(text);
        output.line(text);
    }

    /// Writes `WARN: text` and counts it; the task then ends with `WARNINGS: n`.
    pub fn warn(&mut self, output: &mut Output<'_>, text: &str) {
        self.warnings += 1;
        self.line(output, &format!("WARN: {text}"));
    }

    /// Counts warnings that were written in another way.
    pub fn count_warnings(&mut self, count: u32) {
        self.warnings += count;
    }

    /// Does work whose texts, those for stderr too, become lines of this task when it is done.
    ///
    /// # Errors
    /// Those of the work.
    pub fn capture<T>(
        &mut self,
        output: &mut Output<'_>,
        work: impl FnOnce(&mut Output<'_>) -> NodeResult<T>,
    ) -> NodeResult<T> {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut captured = Output::new(&mut out, &mut err);
        let result = work(&mut captured);
        self.warnings += captured.warned();
        for line in [out, err].iter().flat_map(|bytes| bytes.split(|byte| *byte == b'\n')) {
            if !line.is_empty() {
                self.line(output, &String::from_utf8_lossy(line));
            }
        }
        result
    }

    /// Writes one line to the log file only, while there is room. A log that cannot be written (a full disk) does not end
    /// the task.
    fn log(&mut self, text: &str) {
        if let Some(line) = self.room.take(text, 0) {
            self.write(line);
        }
    }

    fn write(&mut self, line: &str) {
        let _ = self.file.write_all(format!("{line}\n").as_bytes());
    }
}

/// Cuts a text that is too long, and says so.
fn bounded(mut text: String) -> String {
    if text.len() > STATUS_LIMIT {
        let end = (0..=STATUS_LIMIT).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let left_out = text.len() - end;
        text.truncate(end);
        text.push_str(&format!(" [... {left_out} bytes left out]"));
    }
    text
}

/// Runs `work` as a task: registers the UPID in `active`, writes the log below `log/tasks/<last hex digit of
/// starttime>/<UPID>`, ends it with `TASK OK`, `TASK WARNINGS: n` or `TASK ERROR: text`, and appends to `index`.
///
/// After warnings `Task finished with N warning(s)!` goes to stderr, and the task counts as done.
///
/// # Errors
/// Those of `work`, after they have been logged; the exit status becomes 255, as for every failed task. The caller
/// prints the text on stderr.
pub fn run<T>(
    node: &Node,
    worker: &str,
    id: &str,
    output: &mut Output<'_>,
    work: impl FnOnce(&mut TaskLog, &mut Output<'_>) -> NodeResult<T>,
) -> NodeResult<T> {
    // Watch signals from the first entry in the lists to the last: a signal must not leave a task without an end.
    let interrupt = Interrupt::watch();
    let mut log = begin(node, worker, id)?;
    let warned = output.warned();
    let result = interrupt.check().and_then(|()| work(&mut log, output));
    log.warnings += output.warned().saturating_sub(warned);
    let status = match &result {
        Err(failure) => bounded(one_line(&failure.text)),
        Ok(_) if log.warnings > 0 => format!("WARNINGS: {}", log.warnings),
        Ok(_) => "OK".to_owned(),
    };
    let last = if result.is_err() { format!("TASK ERROR: {status}") } else { format!("TASK {status}") };
    // Always write this line: it says how the task ended.
    log.write(&last);
    // The work is done or undone already; failing to write the index does not change that.
    let _ = finish(node, &log.upid, &status);
    if result.is_ok() && log.warnings > 0 {
        output.warn(format!("Task finished with {} warning(s)!", log.warnings));
    }
    // pct shows it on one line, as in the log.
    result.map_err(|failure| Failure { text: one_line(&failure.text), exit: 255, ..failure })
}

fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

fn begin(node: &Node, worker: &str, id: &str) -> NodeResult<TaskLog> {
    let tasks = node.layout.tasks();
    let upid = Upid {
        node: node.name.clone(),
        pid: std::process::id(),
        pstart: process_start(Path::new("/proc"), std::process::id()).unwrap_or(0),
        starttime: u32::try_from(now()).unwrap_or(u32::MAX),
        worker: worker.to_owned(),
        id: id.to_owned(),
        user: ASKER.get().map_or_else(|| "root@pam".to_owned(), |asker| asker.user.clone()),
    };
    let directory = tasks.join(upid.log_directory());
    files::make_directories(&directory, 0o700)?;
    let path = directory.join(upid.to_string());
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(FILE_MODE)
        .open(&path)
        .map_err(|error| Failure::io("can't create", &path, &error))?;
    change_lists(&tasks, |active, ended| {
        move_dead(active, ended);
        active.push(upid.clone());
    })?;
    if let Some(asker) = ASKER.get() {
        (asker.begun)(&upid);
    }
    // One process may run several tasks of a kind within a second: they share the file.
    let room = LogRoom::after(file.metadata().map_or(0, |meta| meta.len()), OMITTED);
    Ok(TaskLog { upid, warnings: 0, file, room })
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn node() -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        crate::store::ensure_root(&node).unwrap();
        (dir, node)
    }

    fn log_of(node: &Node, upid: &Upid) -> String {
        let path = node.layout.tasks().join(upid.log_directory()).join(upid.to_string());
        fs::read_to_string(path).unwrap()
    }

    fn index(node: &Node) -> Vec<String> {
        let text = fs::read_to_string(node.layout.tasks().join("index")).unwrap();
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn a_task_is_logged_and_indexed() {
        let (_dir, node) = node();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut err);
        let upid = run(&node, "vzcreate", "201", &mut output, |log, output| {
            log.line(output, "one");
            let active = fs::read_to_string(node.layout.tasks().join("active")).unwrap();
            assert_eq!(active, format!("{} 0\n", log.upid));
            Ok(log.upid.clone())
        })
        .unwrap();
        assert_eq!(log_of(&node, &upid), "one\nTASK OK\n");
        assert_eq!(fs::read_to_string(node.layout.tasks().join("active")).unwrap(), "");
        assert!(index(&node)[0].starts_with(&format!("{upid} ")) && index(&node)[0].ends_with(" OK"));
        assert_eq!((out.as_slice(), err.as_slice()), (&b"one\n"[..], &b""[..]));
    }

    #[test]
    fn warnings_and_errors_are_told() {
        let (_dir, node) = node();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut err);
        run(&node, "vzstart", "201", &mut output, |log, output| {
            log.warn(output, "something");
            Ok(())
        })
        .unwrap();
        let mut name = None;
        let failure = run(&node, "vzstart", "202", &mut output, |log, _| {
            name = Some(log.upid.clone());
            Err::<(), _>(Failure::with_exit("it\nbroke", 2))
        })
        .unwrap_err();
        assert_eq!(failure, Failure::new("it broke"));
        assert_eq!(log_of(&node, &name.unwrap()), "TASK ERROR: it broke\n");
        let index = index(&node);
        assert!(index[0].ends_with(" WARNINGS: 1") && index[1].ends_with(" it broke"), "{index:?}");
        assert_eq!(out, b"WARN: something\n");
        assert_eq!(err, b"Task finished with 1 warning(s)!\n");
    }

    #[test]
    fn a_log_has_an_end_and_says_so() {
        let (_dir, node) = node();
        let (mut out, mut err) = (std::io::sink(), Vec::new());
        let mut output = Output::new(&mut out, &mut err);
        let line = "x".repeat(1024 * 1024 - 1);
        let mut name = None;
        let failure = run(&node, "vzdump", "201", &mut output, |log, output| {
            name = Some(log.upid.clone());
            for _ in 0..20 {
                log.line(output, &line);
            }
            log.line(output, "short");
            Err::<(), _>(Failure::new("y".repeat(100_000)))
        })
        .unwrap_err();
        assert_eq!(failure.text.len(), 100_000);
        let log = log_of(&node, &name.unwrap());
        let lines: Vec<&str> = log.lines().collect();
        assert_eq!(lines.len(), 18);
        assert_eq!(lines[16], OMITTED);
        assert!(
            lines[17].starts_with("TASK ERROR: yyy") && lines[17].ends_with("y [... 83616 bytes left out]")
        );
        assert!(index(&node)[0].len() < 17_000);
    }

    #[test]
    fn what_a_killed_process_left_is_moved_to_the_index() {
        let (_dir, node) = node();
        let dead = "UPID:vm:FFFFFFFF:00000001:65540AF0:vzstart:202:root@pam:";
        fs::write(node.layout.tasks().join("active"), format!("{dead} 0\nrubbish\n")).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        run(&node, "vzstop", "202", &mut Output::new(&mut out, &mut err), |_, _| Ok(())).unwrap();
        let index = index(&node);
        assert!(index[0].starts_with(dead) && index[0].ends_with(" unexpected status"), "{index:?}");
        assert!(index[1].contains(":vzstop:202:") && index.len() == 2, "{index:?}");
    }

    #[test]
    fn a_long_index_is_rotated() {
        let (_dir, node) = node();
        let tasks = node.layout.tasks();
        fs::write(tasks.join("index"), "x".repeat(50_001)).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        run(&node, "vzstop", "202", &mut Output::new(&mut out, &mut err), |_, _| Ok(())).unwrap();
        assert_eq!(fs::metadata(tasks.join("index.1")).unwrap().len(), 50_001);
        assert_eq!(index(&node).len(), 1);
    }
}
