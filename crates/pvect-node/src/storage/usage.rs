//! How full the file systems of a container are: the table of `pct df`.

use std::io::Read;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{OFlags, fstatvfs};
use serde::{Deserialize, Serialize};

use crate::error::os_text;
use crate::helper_verbs::FILE_SYSTEM_USE;
use crate::process::Process;
use crate::rooted::Rooted;
use crate::{Failure, Node, NodeResult};

/// How long a file system may take to say how full it is. Source: pve-container, `pct df`.
const ANSWER: Duration = Duration::from_secs(3);
/// The longest answer that is read, bytes.
const LONGEST: u64 = 4096;

/// The use of one file system in bytes. `available` is less than `total - used` where blocks are reserved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// All blocks.
    pub total: u64,
    /// Blocks with something in them.
    pub used: u64,
    /// Blocks that users can still fill.
    pub available: u64,
}

impl Usage {
    /// Asks for the file system at a path below a root, links followed (inside only).
    ///
    /// In a running container anything may be mounted there, such as a FUSE that never answers. A process that waits
    /// for that cannot even be killed, so a process of its own asks, and is left behind if it hangs.
    ///
    /// # Errors
    /// What the system says, or `got timeout`.
    pub(crate) fn ask(node: &Node, root: &Path, path: &str) -> NodeResult<Self> {
        let failed = |why: &str| Failure::new(format!("can't measure '{path}' - {why}"));
        let mut child = Command::new(&node.helper)
            .args(["__node", FILE_SYSTEM_USE])
            .arg(root)
            .arg(path)
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| Failure::io("can't run", &node.helper, &error))?;
        if !Process::of(child.id()).wait_until(Instant::now() + ANSWER) {
            let _ = child.kill();
            // Reap it when it ends.
            std::thread::spawn(move || child.wait());
            return Err(failed("got timeout"));
        }
        let _ = child.wait();
        let mut bytes = Vec::new();
        if let Some(answer) = child.stdout.take() {
            let _ = answer.take(LONGEST).read_to_end(&mut bytes);
        }
        match serde_json::from_slice::<Result<Self, String>>(&bytes) {
            Ok(answer) => answer.map_err(|why| failed(&why)),
            Err(_) => Err(failed("no answer")),
        }
    }

    /// Prints what [`Usage::ask`] reads.
    ///
    /// # Errors
    /// When it cannot be printed.
    pub(crate) fn print(root: &Path, path: &str) -> NodeResult<()> {
        let inside = Rooted::open(root, (0, 0));
        let usage = inside.and_then(|inside| inside.open_at(path, OFlags::PATH)).and_then(Self::of);
        let answer = usage.map_err(|error| os_text(&error));
        serde_json::to_writer(std::io::stdout().lock(), &answer)
            .map_err(|error| Failure::new(format!("can't answer - {error}")))
    }

    /// Asks for the file system that an open directory lies on.
    ///
    /// # Errors
    /// Those of fstatvfs(3).
    pub fn of(directory: impl AsFd) -> std::io::Result<Self> {
        let stat = fstatvfs(directory)?;
        let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
        Ok(Self {
            total: bytes(stat.f_blocks),
            used: bytes(stat.f_blocks.saturating_sub(stat.f_bfree)),
            available: bytes(stat.f_bavail),
        })
    }

    /// Returns the used part in percent, one decimal; `0.0` for file systems without blocks.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    fn percent(self) -> String {
        let part = if self.total == 0 { 0.0 } else { 100.0 * self.used as f64 / self.total as f64 };
        format!("{part:.1}")
    }
}

/// Prints a size as `pct df` does: powers of 1024, one decimal, none below 1024.
#[expect(clippy::cast_precision_loss, reason = "a figure for people")]
fn figure(bytes: u64) -> String {
    if bytes < 1024 {
        return bytes.to_string();
    }
    let mut size = bytes as f64 / 1024.0;
    for unit in ["K", "M", "G"] {
        if size < 1024.0 {
            return format!("{size:.1}{unit}");
        }
        size /= 1024.0;
    }
    format!("{size:.1}T")
}

/// Returns the table of `pct df`: of each volume its key, its name, how full it is, and its path. Each column but the
/// last is as wide as its widest cell, and numbers are right-aligned. Lines end with a line break.
pub fn table(rows: &[(String, String, Usage, String)]) -> String {
    let head = ["MP", "Volume", "Size", "Used", "Avail", "Use%", "Path"].map(str::to_owned);
    let cells = rows.iter().map(|(key, volume, usage, path)| {
        let size = [usage.total, usage.used, usage.available].map(figure);
        let [total, used, available] = size;
        [key.clone(), volume.clone(), total, used, available, usage.percent(), path.clone()]
    });
    let lines: Vec<[String; 7]> = std::iter::once(head).chain(cells).collect();
    let wide = |column: usize| lines.iter().map(|line| line[column].len()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..6).map(wide).collect();
    lines
        .iter()
        .map(|[key, volume, total, used, available, percent, path]| {
            format!(
                "{key:<a$} {volume:<b$} {total:>c$} {used:>d$} {available:>e$} {percent:>f$} {path}\n",
                a = widths[0],
                b = widths[1],
                c = widths[2],
                d = widths[3],
                e = widths[4],
                f = widths[5],
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(
        key: &str,
        volume: &str,
        total: u64,
        used: u64,
        available: u64,
        path: &str,
    ) -> (String, String, Usage, String) {
        (key.into(), volume.into(), Usage { total, used, available }, path.into())
    }

    const MIB: f64 = 1_048_576.0;

    #[test]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "sizes of a recording")]
    fn recorded_tables_are_printed() {
        let mib = |number: f64| (number * MIB) as u64;
        assert_eq!(
            table(&[row(
                "rootfs",
                "local:301/vm-301-disk-0.raw",
                2_040_373_248,
                176_312_320,
                mib(1640.0),
                "/"
            )]),
            "MP     Volume                      Size   Used Avail Use% Path\n\
             rootfs local:301/vm-301-disk-0.raw 1.9G 168.1M  1.6G  8.6 /\n"
        );
        assert_eq!(
            table(&[row("rootfs", "local:202/vm-202-disk-0.raw", mib(973.4), mib(2.1), mib(904.2), "/")]),
            "MP     Volume                        Size Used  Avail Use% Path\n\
             rootfs local:202/vm-202-disk-0.raw 973.4M 2.1M 904.2M  0.2 /\n"
        );
        assert_eq!(
            table(&[row("rootfs", "a", 1023, 0, 1 << 50, "/"), row("mp10", "/srv", 0, 0, 0, "/mnt/data"),]),
            "MP     Volume Size Used   Avail Use% Path\n\
             rootfs a      1023    0 1024.0T  0.0 /\n\
             mp10   /srv      0    0       0  0.0 /mnt/data\n"
        );
    }

    #[test]
    fn a_directory_can_be_asked() {
        let dir = tempfile::tempdir().unwrap();
        let usage = Usage::of(std::fs::File::open(dir.path()).unwrap()).unwrap();
        assert!(usage.total > 0 && usage.used <= usage.total && usage.available <= usage.total - usage.used);
    }
}
