//! Facts of `/proc`: uptime, CPUs, a process's start.

use std::path::Path;

use crate::file::{kernel_bytes, kernel_text};

/// Clock ticks a second, which user space sees on every Linux architecture that Debian has (`USER_HZ`).
const TICKS: f64 = 100.0;

/// Returns how many CPUs the host has; 1 when that is unknown. Source: `/proc/cpuinfo`.
pub(crate) fn cpu_count(proc_root: &Path) -> u32 {
    let text = std::fs::read_to_string(proc_root.join("cpuinfo")).unwrap_or_default();
    let count = text.lines().filter(|line| line.starts_with("processor")).count();
    u32::try_from(count.max(1)).unwrap_or(1)
}

/// Returns for how many seconds the machine has run. Source: proc_uptime(5).
pub(crate) fn uptime(proc_root: &Path) -> Option<f64> {
    kernel_text(&proc_root.join("uptime"))?.split_ascii_whitespace().next()?.parse().ok()
}

/// Returns for how many whole seconds a process has run; `uptime` is that of the machine. Source: proc_pid_stat(5).
pub(crate) fn age(proc_root: &Path, pid: u32, uptime: f64) -> Option<u64> {
    let stat = kernel_bytes(&proc_root.join(pid.to_string()).join("stat"))?;
    let started = start_ticks(&stat)? as f64 / TICKS;
    // A cast from a float saturates; a process younger than one clock tick is 0 seconds old.
    Some((uptime - started).max(0.0) as u64)
}

/// Field 22; the second field is a name in parentheses that may hold anything.
fn start_ticks(stat: &[u8]) -> Option<u64> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(&stat[end + 1..]).ok()?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let stat = b"7 (a) \xff (c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 424242 1 1\n";
        assert_eq!(start_ticks(stat), Some(424_242));
        assert_eq!(start_ticks(b"7 (init"), None);
        assert_eq!(start_ticks(b""), None);
    }
}
