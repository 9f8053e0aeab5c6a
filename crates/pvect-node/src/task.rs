//! Tasks: a UPID, a log file, a line in the index.

use pvect_core::upid::Upid;

use crate::{Node, NodeResult, Output};

/// The log of a running task. What a worker prints goes to the log file and to pct's stdout.
#[derive(Debug)]
pub struct TaskLog {
    /// The task's name.
    pub upid: Upid,
    warnings: u32,
}

impl TaskLog {
    /// Writes one line to the log file and to stdout.
    pub fn line(&mut self, output: &mut Output<'_>, text: &str) {
        output.line(text);
    }

    /// Writes `WARN: text` and counts it; the task then ends with `WARNINGS: n`.
    pub fn warn(&mut self, output: &mut Output<'_>, text: &str) {
        self.warnings += 1;
        output.line(format!("WARN: {text}"));
    }
}

/// Runs `work` as a task: registers the UPID in `active`, writes the log below `log/tasks/<last hex digit of
/// starttime>/<UPID>`, ends it with `TASK OK`, `TASK WARNINGS: n` or `TASK ERROR: text`, and appends to `index`.
///
/// # Errors
/// Those of `work`, after they have been logged; the exit status becomes 255, as for every failed task.
pub fn run<T>(
    _node: &Node,
    _worker: &str,
    _id: &str,
    _output: &mut Output<'_>,
    _work: impl FnOnce(&mut TaskLog, &mut Output<'_>) -> NodeResult<T>,
) -> NodeResult<T> {
    Err(crate::Failure::new("not there yet"))
}
