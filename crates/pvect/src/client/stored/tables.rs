//! What pveam and pvesm print: tables, and what their failures mean.

use pvect_core::ErrorKind;
use pvect_core::error::{Exit, Run};
use pvect_pct::Captured;

use super::{StoredBackup, StoredTemplate};

/// Returns what a program printed, or the run when it failed.
pub(super) fn text_of(done: &Captured, program: &str, words: &[&str]) -> Result<String, Run> {
    if done.status == 0 {
        return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
    }
    Err(run_of(done, program, words))
}

/// Returns the record of such a run.
pub(super) fn run_of(done: &Captured, program: &str, words: &[&str]) -> Run {
    Run {
        argv: std::iter::once(program).chain(words.iter().copied()).map(str::to_owned).collect(),
        exit: Some(Exit::Status(done.status)),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
        ..Run::default()
    }
}

/// What pveam and pvesm say when they fail.
pub(super) fn meaning(program: &str, run: &Run, other: ErrorKind) -> (ErrorKind, String) {
    let message = first_line(&run.stderr).map_or_else(|| format!("{program} failed"), str::to_owned);
    let missing = message.contains("does not exist") || message.contains("no such");
    (if missing { ErrorKind::NotFound } else { other }, message)
}

pub(super) fn first_line(text: &str) -> Option<&str> {
    text.lines().next()
}

/// Reads the table of `pveam list`: a header, then volume ids with sizes such as `120.65MB`.
pub(super) fn parse_templates(table: &str) -> Vec<StoredTemplate> {
    let rows = table.lines().filter_map(|line| line.trim_end().rsplit_once(char::is_whitespace));
    rows.filter_map(|(volume, size)| {
        let size: f64 = size.strip_suffix("MB")?.parse().ok().filter(|size| (0.0..1e12).contains(size))?;
        let bytes = (size * 1024.0 * 1024.0).round();
        Some(StoredTemplate { volid: volume.trim().to_owned(), size: format!("{bytes:.0}").parse().ok()? })
    })
    .collect()
}

/// Reads the table of `pvesm list`: volume id, format, type, size, vmid.
pub(super) fn parse_backups(table: &str) -> Vec<StoredBackup> {
    let rows = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [volid, .., size, vmid] = words[..] else { return None };
        let is_container = volid.contains("vzdump-lxc-") || volid.contains("backup/ct/");
        let (size, vmid) = (size.parse().ok()?, vmid.parse().ok()?);
        is_container.then(|| StoredBackup { volid: volid.to_owned(), vmid, size })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_pveam_is_read() {
        let output = "NAME                                      SIZE  \n\
                      local:vztmpl/debian-12_amd64.tar.zst      1.50MB\n";
        let list: Vec<_> = parse_templates(output).into_iter().map(|one| (one.volid, one.size)).collect();
        assert_eq!(list, [("local:vztmpl/debian-12_amd64.tar.zst".to_owned(), 1_572_864)]);
        assert!(parse_templates("").is_empty());
    }

    #[test]
    fn the_table_of_pvesm_is_read() {
        let table = "Volid                                                 Format  Type      Size VMID\n\
            local:backup/vzdump-lxc-101-2026_01_01-00_00_00.tar.zst tar.zst backup 1234 101\n\
            local:backup/vzdump-qemu-102-2026_01_01-00_00_00.vma vma backup 99 102\n";
        let list = parse_backups(table);
        assert_eq!(list.len(), 1);
        assert_eq!((list[0].vmid, list[0].size), (101, 1234));
    }

    #[test]
    fn a_failure_is_a_missing_storage_or_else_what_the_program_is_for() {
        let kind = |stderr: &str| {
            let run = Run { stderr: stderr.to_owned(), ..Run::default() };
            meaning("pveam", &run, ErrorKind::PctOperationFailed)
        };
        let missing = "storage 'x' does not exist";
        assert_eq!(kind(&format!("{missing}\nmore\n")), (ErrorKind::NotFound, missing.to_owned()));
        assert_eq!(kind("timeout\n"), (ErrorKind::PctOperationFailed, "timeout".to_owned()));
        assert_eq!(kind(""), (ErrorKind::PctOperationFailed, "pveam failed".to_owned()));
    }
}
