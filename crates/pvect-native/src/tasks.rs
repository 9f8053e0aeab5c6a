//! A node's tasks: those that are under way, those that have ended, and their logs.
//!
//! `active` has a line for each task that runs (`UPID 0`), and on Proxmox VE for the last ones that have ended
//! (`UPID 1 END STATUS`); `index`, and `index.1` from before it was rotated, one for each that has ended
//! (`UPID END STATUS`), the end in hex. The log of a task is below the last hex digit of its start. Source:
//! `PVE::RESTEnvironment`.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use pvect_core::upid::Upid;

use crate::process;

/// How much of a list's end is read, bytes. They are rotated above 50,000.
const LIST_LIMIT: u64 = 4 * 1024 * 1024;
/// How much of a log's end is read for a task's last word, bytes.
const LAST_WORD: u64 = 64 * 1024;
/// How many bytes of lines one answer has at most, but for its first line.
const ANSWER_LIMIT: usize = 1024 * 1024;
/// The longest line that is shown, bytes.
const LINE_LIMIT: u64 = 1024 * 1024;

/// A task and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskRecord {
    /// The task.
    pub upid: Upid,
    /// When it ended, seconds since 1970, and its last word (`OK`, `WARNINGS: 1`, or an error); none while it runs.
    pub end: Option<(u64, String)>,
}

/// The tasks of one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskLogs {
    directory: PathBuf,
}

impl TaskLogs {
    /// Makes a reader of a directory, such as `/var/log/pve/tasks`.
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self { directory: directory.into() }
    }

    /// Returns the tasks, those that run first, the others by their end, newest first. What is not there has none.
    ///
    /// # Errors
    /// When a list is there and cannot be read.
    pub fn list(&self) -> std::io::Result<Vec<TaskRecord>> {
        let active = self.text("active")?;
        let (mut records, mut gone) = (Vec::new(), Vec::new());
        for (upid, end) in active.lines().filter_map(active_line) {
            match end {
                None if Self::is_running(&upid) => records.push(TaskRecord { upid, end: None }),
                end => gone.push((upid, end)),
            }
        }
        let (mut seen, mut indexed) = (BTreeSet::new(), Vec::new());
        for name in ["index", "index.1"] {
            let text = self.text(name)?;
            let ended = text.lines().rev().filter_map(ended);
            indexed.extend(ended.filter(|record| seen.insert(record.upid.to_string())));
        }
        // They come into the index when the next task begins or ends.
        gone.retain(|(upid, _)| seen.insert(upid.to_string()));
        records.extend(gone.into_iter().map(|(upid, end)| {
            let end = end.unwrap_or_else(|| (self.last_written(&upid), self.exit_status(&upid)));
            TaskRecord { upid, end: Some(end) }
        }));
        records.extend(indexed);
        Ok(records)
    }

    /// When a log was last written to, seconds since 1970.
    fn last_written(&self, upid: &Upid) -> u64 {
        let written = fs::metadata(self.file(upid)).and_then(|meta| meta.modified()).ok();
        let since = written.and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        since.map_or(u64::from(upid.starttime), |since| since.as_secs())
    }

    /// The end of a list; nothing where there is none.
    fn text(&self, name: &str) -> std::io::Result<String> {
        match end(&self.directory.join(name), LIST_LIMIT) {
            Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(String::new()),
            Err(error) => Err(error),
        }
    }

    /// Returns the file of a task's log.
    pub fn file(&self, upid: &Upid) -> PathBuf {
        self.directory.join(upid.log_directory()).join(upid.to_string())
    }

    /// Returns whether the process of a task still runs.
    pub fn is_running(upid: &Upid) -> bool {
        is_alive(Path::new("/proc"), upid)
    }

    /// Returns the last word of a task that has ended, from the last line of its log as Proxmox VE does it.
    pub fn exit_status(&self, upid: &Upid) -> String {
        let text = end(&self.file(upid), LAST_WORD).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let last = text.trim_end().rsplit('\n').next().unwrap_or_default();
        match last.strip_prefix("TASK ERROR: ").or_else(|| last.strip_prefix("TASK ")) {
            Some(status) => status.to_owned(),
            None => "unexpected status".to_owned(),
        }
    }

    /// Reads lines of a task's log, from `start` on, at most `limit` and about 1 MiB; each with its number, counted from
    /// 1. Also returns how many lines there are, so that who wants the others asks again. Of a longer line, that is said.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log(
        &self,
        upid: &Upid,
        start: usize,
        limit: usize,
    ) -> std::io::Result<(Vec<(usize, String)>, usize)> {
        lines(&self.file(upid), start, limit)
    }
}

/// Returns whether the process of a task still runs: same id, same start; `proc` is `/proc`.
pub fn is_alive(proc: &Path, upid: &Upid) -> bool {
    process::started(proc, upid.pid) == Some(upid.pstart)
}

/// Reads a line of `active`: UPID, mark, and for what has ended the end in hex and the status.
fn active_line(line: &str) -> Option<(Upid, Option<(u64, String)>)> {
    let mut words = line.splitn(4, ' ');
    let upid = words.next()?.parse().ok()?;
    let end = words.nth(1).and_then(|text| u64::from_str_radix(text, 16).ok());
    Some((upid, end.map(|end| (end, words.next().unwrap_or_default().to_owned()))))
}

/// Reads a line of the index: UPID, end in hex, status.
fn ended(line: &str) -> Option<TaskRecord> {
    let mut words = line.splitn(3, ' ');
    let upid = words.next()?.parse().ok()?;
    let end = u64::from_str_radix(words.next()?, 16).ok()?;
    Some(TaskRecord { upid, end: Some((end, words.next().unwrap_or_default().to_owned())) })
}

/// Reads the end of a file, at most so many bytes.
fn end(path: &Path, limit: u64) -> std::io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(limit)))?;
    let mut bytes = Vec::new();
    file.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn lines(path: &Path, start: usize, limit: usize) -> std::io::Result<(Vec<(usize, String)>, usize)> {
    let mut reader = BufReader::new(fs::File::open(path)?);
    let (mut lines, mut count, mut line) = (Vec::new(), 0, Vec::new());
    let mut room = ANSWER_LIMIT;
    let mut full = false;
    loop {
        line.clear();
        if (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut line)? == 0 {
            return Ok((lines, count));
        }
        count += 1;
        let is_cut = line.last() != Some(&b'\n') && line.len() as u64 == LINE_LIMIT;
        if is_cut {
            skip_line(&mut reader)?;
        }
        full |= lines.len() >= limit || (line.len() > room && !lines.is_empty());
        if count > start && !full {
            room = room.saturating_sub(line.len());
            let mut text = String::from_utf8_lossy(&line).trim_end_matches('\n').to_owned();
            if is_cut {
                text.push_str(" [... the rest of the line is left out]");
            }
            lines.push((count, text));
        }
    }
}

fn skip_line(reader: &mut impl BufRead) -> std::io::Result<()> {
    loop {
        let bytes = reader.fill_buf()?;
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let used = end.map_or(bytes.len(), |at| at + 1);
        reader.consume(used);
        if end.is_some() || used == 0 {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_and_the_logs_are_read() {
        let dir = tempfile::tempdir().unwrap();
        let tasks = TaskLogs::new(dir.path());
        assert_eq!(tasks.list().unwrap(), []);
        fs::create_dir_all(dir.path().join("0")).unwrap();
        let one = "UPID:vm:FFFFFFF0:0001E240:65540AF0:vzstart:202:root@pam:";
        let two = "UPID:vm:FFFFFFF1:0001E240:65540AF0:vzstop:202:root@pam!t:";
        fs::write(dir.path().join("index"), format!("{one} 65540AF1 OK\nrubbish\n{two} 65540AF2 it broke\n"))
            .unwrap();
        // The one is in both, the other in the list of active ones still.
        fs::write(dir.path().join("index.1"), format!("{one} 65540AF1 OK\n")).unwrap();
        fs::write(dir.path().join("active"), format!("{two} 1 65540AF2 it broke\nrubbish\n")).unwrap();
        let records = tasks.list().unwrap().into_iter();
        let ends: Vec<_> = records.map(|record| (record.upid.worker, record.end.unwrap())).collect();
        assert_eq!(
            ends,
            [
                ("vzstop".to_owned(), (0x6554_0af2, "it broke".to_owned())),
                ("vzstart".to_owned(), (0x6554_0af1, "OK".to_owned()))
            ]
        );
        let upid: Upid = one.parse().unwrap();
        assert_eq!(tasks.exit_status(&upid), "unexpected status");
        fs::write(tasks.file(&upid), "a\nb\nTASK ERROR: it broke\n").unwrap();
        assert_eq!(tasks.exit_status(&upid), "it broke");
        assert_eq!(tasks.log(&upid, 1, 1).unwrap(), (vec![(2, "b".to_owned())], 3));
        assert!(!TaskLogs::is_running(&upid));
    }

    #[test]
    fn an_answer_is_bounded_and_leads_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let tasks = TaskLogs::new(dir.path());
        let upid: Upid = "UPID:vm:FFFFFFF0:0001E240:65540AF0:vzstart:202:root@pam:".parse().unwrap();
        fs::create_dir_all(tasks.file(&upid).parent().unwrap()).unwrap();
        let (half, huge) = ("x".repeat(600_000), "y".repeat(3 << 20));
        fs::write(tasks.file(&upid), format!("{half}\n{half}\nshort\n{huge}\nTASK OK\n")).unwrap();
        let (mut start, mut found) = (0, Vec::new());
        loop {
            let (lines, total) = tasks.log(&upid, start, 50_000).unwrap();
            assert_eq!(total, 5);
            let size: usize = lines.iter().map(|(_, text)| text.len()).sum();
            assert!(size < (1 << 20) + 100, "{size}");
            let Some((last, _)) = lines.last() else { break };
            start = *last;
            found.extend(lines.into_iter().map(|(number, text)| (number, text.len())));
        }
        assert_eq!(found, [(1, 600_000), (2, 600_000), (3, 5), (4, (1 << 20) + 39), (5, 7)]);
        assert_eq!(tasks.exit_status(&upid), "OK");
    }

    #[test]
    fn what_runs_comes_first_and_has_no_end() {
        let dir = tempfile::tempdir().unwrap();
        let pid = std::process::id();
        let start = process::started(Path::new("/proc"), pid).unwrap();
        let own = format!("UPID:vm:{pid:08X}:{start:08X}:65540AF0:vzstart:202:root@pam:");
        let gone = |id: u32| format!("UPID:vm:{pid:08X}:{:08X}:65540AF0:vzstart:{id}:root@pam:", start + 1);
        let lines = [own + " 0", gone(203) + " 0", gone(204) + " 0", gone(205) + " 1 65540AF3 it broke"];
        fs::write(dir.path().join("active"), lines.join("\n")).unwrap();
        fs::write(dir.path().join("index"), format!("{} 65540AF1 OK\n", gone(203))).unwrap();
        let records = TaskLogs::new(dir.path()).list().unwrap();
        let end = |one: &TaskRecord| one.end.as_ref().map(|(_, status)| status.clone());
        let seen: Vec<_> = records.iter().map(|one| (one.upid.id.as_str(), end(one))).collect();
        let ended = |status: &str| Some(status.to_owned());
        assert_eq!(
            seen,
            [
                ("202", None),
                ("204", ended("unexpected status")),
                ("205", ended("it broke")),
                ("203", ended("OK"))
            ]
        );
    }
}
