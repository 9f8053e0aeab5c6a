//! Tasks that are under way or have ended, read back.

use std::fs;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use pvect_core::upid::Upid;

use crate::{Node, task};

/// How much of a log's end is read for a task's last word, bytes.
const LAST_WORD: u64 = 64 * 1024;
/// How many bytes of lines one answer has at most, but for its first line.
const ANSWER_LIMIT: usize = 1024 * 1024;
/// The longest line that is shown, bytes.
const LINE_LIMIT: u64 = 1024 * 1024;

/// A task and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The task.
    pub upid: Upid,
    /// When it ended, seconds since 1970, and its last word (`OK`, `WARNINGS: 1`, or an error); none while it runs.
    pub end: Option<(u64, String)>,
}

/// Returns the tasks of a node, those that run first, the others newest first.
pub fn tasks(node: &Node) -> Vec<Record> {
    let mut records: Vec<Record> =
        task::lists::active(node).into_iter().map(|upid| Record { upid, end: None }).collect();
    for name in ["index", "index.1"] {
        let bytes = fs::read(node.layout.tasks().join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        records.extend(text.lines().rev().filter_map(ended));
    }
    records
}

/// Reads a line of the index: UPID, end in hex, status.
fn ended(line: &str) -> Option<Record> {
    let mut words = line.splitn(3, ' ');
    let upid = words.next()?.parse().ok()?;
    let end = u64::from_str_radix(words.next()?, 16).ok()?;
    Some(Record { upid, end: Some((end, words.next().unwrap_or_default().to_owned())) })
}

/// Returns the file of a task's log.
pub fn log_file(node: &Node, upid: &Upid) -> PathBuf {
    node.layout.tasks().join(upid.log_directory()).join(upid.to_string())
}

/// Returns whether the process of a task still runs.
pub fn is_running(upid: &Upid) -> bool {
    task::lists::is_alive(Path::new("/proc"), upid)
}

/// Returns the last word of a task that has ended, from the last line of its log as Proxmox VE does it.
pub fn exit_status(node: &Node, upid: &Upid) -> String {
    let text = end(&log_file(node, upid)).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let last = text.trim_end().rsplit('\n').next().unwrap_or_default();
    match last.strip_prefix("TASK ERROR: ").or_else(|| last.strip_prefix("TASK ")) {
        Some(status) => status.to_owned(),
        None => "unexpected status".to_owned(),
    }
}

fn end(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut file = fs::File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(LAST_WORD)))?;
    let mut bytes = Vec::new();
    file.take(LAST_WORD).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Reads lines of a task's log, from `start` on, at most `limit` and about 1 MiB; each with its number, counted from 1.
/// Also returns how many lines there are, so that who wants the others asks again. Of a longer line, that is said.
///
/// # Errors
/// When the log cannot be read.
pub fn log(
    node: &Node,
    upid: &Upid,
    start: usize,
    limit: usize,
) -> std::io::Result<(Vec<(usize, String)>, usize)> {
    let mut reader = BufReader::new(fs::File::open(log_file(node, upid))?);
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
        let name: pvect_core::NodeName = "vm".parse().unwrap();
        let node = Node { layout: crate::Layout::new(dir.path(), name.clone()), name, helper: "/x".into() };
        let tasks_dir = node.layout.tasks();
        fs::create_dir_all(tasks_dir.join("0")).unwrap();
        let one = "UPID:vm:FFFFFFF0:0001E240:65540AF0:vzstart:202:root@pam:";
        let two = "UPID:vm:FFFFFFF1:0001E240:65540AF0:vzstop:202:root@pam!t:";
        fs::write(tasks_dir.join("index"), format!("{one} 65540AF1 OK\nrubbish\n{two} 65540AF2 it broke\n"))
            .unwrap();
        let ends: Vec<_> =
            tasks(&node).into_iter().map(|record| (record.upid.worker, record.end.unwrap())).collect();
        assert_eq!(
            ends,
            [
                ("vzstop".to_owned(), (0x6554_0af2, "it broke".to_owned())),
                ("vzstart".to_owned(), (0x6554_0af1, "OK".to_owned()))
            ]
        );
        let upid: Upid = one.parse().unwrap();
        assert_eq!(exit_status(&node, &upid), "unexpected status");
        fs::write(log_file(&node, &upid), "a\nb\nTASK ERROR: it broke\n").unwrap();
        assert_eq!(exit_status(&node, &upid), "it broke");
        assert_eq!(log(&node, &upid, 1, 1).unwrap(), (vec![(2, "b".to_owned())], 3));
        assert!(!is_running(&upid));
    }

    #[test]
    fn an_answer_is_bounded_and_leads_to_the_next() {
        let dir = tempfile::tempdir().unwrap();
        let name: pvect_core::NodeName = "vm".parse().unwrap();
        let node = Node { layout: crate::Layout::new(dir.path(), name.clone()), name, helper: "/x".into() };
        let upid: Upid = "UPID:vm:FFFFFFF0:0001E240:65540AF0:vzstart:202:root@pam:".parse().unwrap();
        fs::create_dir_all(log_file(&node, &upid).parent().unwrap()).unwrap();
        let (half, huge) = ("x".repeat(600_000), "y".repeat(3 << 20));
        fs::write(log_file(&node, &upid), format!("{half}\n{half}\nshort\n{huge}\nTASK OK\n")).unwrap();
        let (mut start, mut found) = (0, Vec::new());
        loop {
            let (lines, total) = log(&node, &upid, start, 50_000).unwrap();
            assert_eq!(total, 5);
            let size: usize = lines.iter().map(|(_, text)| text.len()).sum();
            assert!(size < (1 << 20) + 100, "{size}");
            let Some((last, _)) = lines.last() else { break };
            start = *last;
            found.extend(lines.into_iter().map(|(number, text)| (number, text.len())));
        }
        assert_eq!(found, [(1, 600_000), (2, 600_000), (3, 5), (4, (1 << 20) + 39), (5, 7)]);
        assert_eq!(exit_status(&node, &upid), "OK");
    }
}
