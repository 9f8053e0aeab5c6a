//! Waits for the end of processes: the kernel reports it, without polling.

use std::process::{Child, ExitStatus};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::error::os_text;
use crate::interrupt::Interrupt;
use crate::{Failure, NodeResult};

/// How often signals are checked; one that arrives while the process sleeps wakes it at once.
const LOOK: Duration = Duration::from_millis(50);
/// How often a process is checked that the kernel gives no handle for.
const STEP: Duration = Duration::from_millis(3);

/// A handle to wait for the end of a process. It stays that process even if its id is used again.
#[derive(Debug)]
pub(crate) struct Process {
    pid: u32,
    handle: Option<OwnedFd>,
}

impl Process {
    /// Makes a handle of the process that has this id now.
    pub(crate) fn of(pid: u32) -> Self {
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
        Self { pid, handle: number.and_then(|number| pidfd_open(number, PidfdFlags::empty()).ok()) }
    }

    /// Waits until it has ended, even if it remains as a zombie; returns whether it has. A signal or the time limit may
    /// end the wait earlier.
    pub(crate) fn wait(&self, time: Duration) -> bool {
        let Some(handle) = &self.handle else {
            if !has_ended(self.pid) {
                std::thread::sleep(time.min(STEP));
            }
            return has_ended(self.pid);
        };
        let time = Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: time.subsec_nanos().into(),
        };
        matches!(poll(&mut [PollFd::new(handle, PollFlags::IN)], Some(&time)), Ok(1))
    }

    /// Waits until it has ended; returns whether it has at the deadline.
    pub(crate) fn wait_until(&self, deadline: Instant) -> bool {
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if self.wait(left) {
                return true;
            }
            if left.is_zero() {
                return false;
            }
        }
    }
}

/// Waits for a child; once a signal has come, it is killed if it does not end by itself within `grace`.
///
/// # Errors
/// `interrupted by signal`.
pub(crate) fn wait(
    mut child: Child,
    interrupt: Option<&Interrupt>,
    grace: Duration,
) -> NodeResult<ExitStatus> {
    let failed =
        |error: std::io::Error| Failure::new(format!("can't wait for a process - {}", os_text(&error)));
    let (process, mut told) = (Process::of(child.id()), None);
    loop {
        if let Some(status) = child.try_wait().map_err(failed)? {
            // A signal that comes this late has no effect any more.
            return match told {
                Some(_) => Err(Failure::new("interrupted by signal")),
                None => Ok(status),
            };
        }
        if interrupt.is_some_and(Interrupt::came) {
            let since = *told.get_or_insert_with(Instant::now);
            if since.elapsed() >= grace {
                let _ = child.kill();
            }
        }
        process.wait(LOOK);
    }
}

/// Whether a process has ended; a zombie counts as ended, because the host's init may be slow to reap ours. Source:
/// proc_pid_stat(5).
fn has_ended(pid: u32) -> bool {
    let Ok(stat) = std::fs::read(format!("/proc/{pid}/stat")) else { return true };
    let state = stat.iter().rposition(|byte| *byte == b')').and_then(|end| stat.get(end + 2));
    matches!(state, Some(b'Z' | b'X') | None)
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::interrupt::tests::alone;

    #[test]
    fn a_zombie_has_ended() {
        let mut child = Command::new("true").spawn().unwrap();
        let process = Process::of(child.id());
        let without = Process { pid: child.id(), handle: None };
        let deadline = Instant::now() + Duration::from_secs(30);
        assert!(process.wait_until(deadline) && without.wait_until(deadline));
        child.wait().unwrap();
        for ended in [process, without, Process::of(child.id())] {
            assert!(ended.wait(Duration::ZERO), "{ended:?}");
        }
    }

    #[test]
    fn who_lives_is_waited_for() {
        let ours = std::process::id();
        for process in [Process::of(ours), Process { pid: ours, handle: None }] {
            assert!(!process.wait(Duration::ZERO));
            assert!(!process.wait_until(Instant::now()));
        }
    }

    #[test]
    fn a_child_gives_its_status() {
        let child = Command::new("sh").args(["-c", "exit 3"]).spawn().unwrap();
        assert_eq!(wait(child, None, Duration::ZERO).unwrap().code(), Some(3));
    }

    #[test]
    fn a_signal_ends_the_wait_and_the_child() {
        alone("process::tests::ended");
    }

    #[test]
    #[ignore = "run in a process of its own"]
    fn ended() {
        let watched = Interrupt::watch();
        let child = Command::new("sleep").arg("600").spawn().unwrap();
        signal_hook::low_level::raise(signal_hook::consts::SIGHUP).unwrap();
        let failure = wait(child, Some(&watched), Duration::ZERO).unwrap_err();
        assert_eq!(failure.text, "interrupted by signal");
    }
}
