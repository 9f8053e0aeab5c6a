//! The lines of a backup: on stdout, in the task's log, and in the log beside the archive.

use std::fs::File;
use std::io::Write;

use crate::Output;
use crate::log_room::LogRoom;
use crate::task::TaskLog;

/// The last line of a log beside an archive when the log has reached its limit.
const OMITTED: &str = "this log is longer than 16 MiB, the rest is left out";

/// Where a line goes.
pub(super) struct Journal<'a, 'b> {
    log: &'a mut TaskLog,
    output: &'a mut Output<'b>,
    kept: Option<(File, LogRoom)>,
}

impl<'a, 'b> Journal<'a, 'b> {
    pub(super) fn new(log: &'a mut TaskLog, output: &'a mut Output<'b>) -> Self {
        Self { log, output, kept: None }
    }

    /// Also writes the lines that follow to this file; `None` stops that.
    pub(super) fn keep_in(&mut self, file: Option<File>) {
        self.kept = file.map(|file| (file, LogRoom::after(0, OMITTED)));
    }

    /// `INFO: text`, for each line of it.
    pub(super) fn info(&mut self, text: impl AsRef<str>) {
        for line in text.as_ref().lines().filter(|line| !line.is_empty()) {
            self.log.line(self.output, &format!("INFO: {line}"));
            self.keep("INFO:", line);
        }
    }

    /// `INFO: text`, not in the log beside the archive.
    pub(super) fn say(&mut self, text: impl AsRef<str>) {
        self.log.line(self.output, &format!("INFO: {}", text.as_ref()));
    }

    /// `ERROR: text`.
    pub(super) fn error(&mut self, text: impl AsRef<str>) {
        for line in text.as_ref().lines() {
            self.log.line(self.output, &format!("ERROR: {line}"));
            self.keep("ERROR:", line);
        }
    }

    /// `WARN: text`; the task ends with warnings.
    pub(super) fn warn(&mut self, text: impl AsRef<str>) {
        for line in text.as_ref().lines() {
            self.log.warn(self.output, line);
            self.keep("WARN:", line);
        }
    }

    /// What a start or stop prints becomes lines of ours, and its warnings count.
    pub(super) fn capture<T>(&mut self, work: impl FnOnce(&mut Output<'_>) -> T) -> T {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut captured = Output::new(&mut out, &mut err);
        let result = work(&mut captured);
        self.log.count_warnings(captured.warned());
        for bytes in [out, err] {
            self.info(String::from_utf8_lossy(&bytes));
        }
        result
    }

    fn keep(&mut self, level: &str, line: &str) {
        let Some((file, room)) = &mut self.kept else { return };
        let head = format!("{} {level} ", jiff::Zoned::now().strftime("%F %H:%M:%S"));
        if let Some(line) = room.take(line, head.len()) {
            // A log that cannot be written does not end a backup.
            let _ = writeln!(file, "{head}{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::task;

    #[test]
    fn warnings_of_what_is_captured_count() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        crate::store::ensure_root(&node).unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        task::run(&node, "vzdump", "101", &mut Output::new(&mut out, &mut err), |log, output| {
            Journal::new(log, output).capture(|output| output.warning("no address"));
            Ok(())
        })
        .unwrap();
        assert_eq!(out, b"INFO: WARN: no address\n");
        assert_eq!(err, b"Task finished with 1 warning(s)!\n");
    }
}
