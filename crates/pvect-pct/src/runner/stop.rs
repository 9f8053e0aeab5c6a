//! Ends a process and everything that belongs to it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use super::family::{self, Member};
use crate::config::Transport;

const PROC: &str = "/proc";
/// How long sudo may take to send a signal.
const SUDO_LIMIT: Duration = Duration::from_secs(5);

/// Ends one process: SIGTERM to it, later SIGKILL to its whole family.
pub(super) struct Stopper {
    pid: Option<Pid>,
    transport: Transport,
    pub(super) grace: Duration,
    /// Who belonged to it when SIGTERM was sent: once the process is gone, its children have another parent.
    family: Vec<Member>,
    stopping: bool,
    killed: bool,
}

impl Stopper {
    pub(super) fn new(pid: Option<u32>, transport: Transport, grace: Duration) -> Self {
        Self { pid: raw(pid), transport, grace, family: Vec::new(), stopping: false, killed: false }
    }

    pub(super) fn killed(&self) -> bool {
        self.killed
    }

    /// Sends SIGTERM to the process alone: the real pct passes it on to its worker, sudo to its command.
    pub(super) async fn terminate(&mut self) {
        let Some(pid) = self.pid else { return };
        self.stopping = true;
        self.remember(pid);
        self.send(&[pid], Signal::TERM).await;
    }

    /// Sends SIGKILL to the process, its group and its descendants.
    pub(super) async fn kill(&mut self) {
        let Some(pid) = self.pid else { return };
        self.stopping = true;
        self.killed = true;
        self.remember(pid);
        self.kill_family().await;
    }

    /// To be called when the process was reaped: kills what a stopped one left behind.
    pub(super) async fn leader_ended(&mut self) {
        let Some(pid) = self.pid.take() else { return };
        if self.stopping {
            // The number may be another process's by now, but a group of it can only be ours.
            self.remember(pid);
            self.family.retain(|member| member.pid != pid.as_raw_nonzero().get());
            self.kill_family().await;
        }
    }

    fn remember(&mut self, pid: Pid) {
        for member in family::members(Path::new(PROC), pid.as_raw_nonzero().get()) {
            if !self.family.contains(&member) {
                self.family.push(member);
            }
        }
    }

    async fn kill_family(&self) {
        let pids: Vec<Pid> = living(&self.family);
        self.send(&pids, Signal::KILL).await;
    }

    /// Sends a signal; where that is not permitted because sudo runs as root, sends it through sudo too.
    async fn send(&self, pids: &[Pid], signal: Signal) {
        let mut denied = Vec::new();
        for pid in pids {
            if kill_process(*pid, signal) == Err(rustix::io::Errno::PERM) {
                denied.push(pid.as_raw_nonzero().to_string());
            }
        }
        if let (Transport::Sudo { program }, false) = (&self.transport, denied.is_empty()) {
            let mut command = tokio::process::Command::new(program);
            command
                .args(["-n", "--", "/bin/kill", if signal == Signal::KILL { "-KILL" } else { "-TERM" }, "--"])
                .args(denied)
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            // Best effort: a sudo that refuses leaves the process to its own end, which the caller still reports.
            let _ = tokio::time::timeout(SUDO_LIMIT, command.status()).await;
        }
    }
}

/// Kills a process with its family when it is dropped, unless it was disarmed.
pub(super) struct Guard {
    pid: Option<Pid>,
}

impl Guard {
    pub(super) fn new(pid: Option<u32>) -> Self {
        Self { pid: raw(pid) }
    }

    pub(super) fn disarm(&mut self) {
        self.pid = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let Some(pid) = self.pid else { return };
        for pid in living(&family::members(Path::new(PROC), pid.as_raw_nonzero().get())) {
            // It may have ended by itself meanwhile, and there is nobody left to tell.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

fn living(members: &[Member]) -> Vec<Pid> {
    let living = members.iter().filter(|member| family::lives(Path::new(PROC), **member));
    living.filter_map(|member| Pid::from_raw(member.pid)).collect()
}

fn raw(pid: Option<u32>) -> Option<Pid> {
    pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw)
}
