//! Ends a process and everything that belongs to it.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use super::family::{self, Member};
use crate::config::Transport;
use crate::ssh::Connection;

const PROC: &str = "/proc";
/// How long sudo may take to send a signal.
const SUDO_LIMIT: Duration = Duration::from_secs(5);

/// Ends one process: SIGTERM to it, later SIGKILL to its whole family.
pub(super) struct Stopper {
    pid: Option<Pid>,
    /// The process at the other end of ssh; `pid` is then not used.
    far: Option<Far>,
    transport: Transport,
    pub(super) grace: Duration,
    /// The processes that belonged to it when SIGTERM was sent: once it is gone, its children have another parent.
    family: Vec<Member>,
    stopping: bool,
    killed: bool,
}

impl Stopper {
    pub(super) fn new(pid: Option<u32>, transport: Transport, grace: Duration) -> Self {
        Self {
            pid: raw(pid),
            far: None,
            transport,
            grace,
            family: Vec::new(),
            stopping: false,
            killed: false,
        }
    }

    /// Call this when the process at the other end is known.
    pub(super) fn runs_far(&mut self, far: Far) {
        self.far = Some(far);
    }

    pub(super) fn killed(&self) -> bool {
        self.killed
    }

    /// Sends SIGTERM to the process alone: the real pct passes it on to its worker, sudo to its command.
    pub(super) async fn terminate(&mut self) {
        self.stopping = true;
        if let Some(far) = &self.far {
            far.members(&mut self.family).await;
            far.connection.signal("TERM", &[far.pid]).await;
            return;
        }
        let Some(pid) = self.pid else { return };
        self.remember(pid);
        self.send(&[pid], Signal::TERM).await;
    }

    /// Sends SIGKILL to the process, its group and its descendants.
    pub(super) async fn kill(&mut self) {
        self.stopping = true;
        self.killed = true;
        if let Some(far) = &self.far {
            far.kill(&mut self.family).await;
            return;
        }
        let Some(pid) = self.pid else { return };
        self.remember(pid);
        self.kill_family().await;
    }

    /// Call this when the process was reaped: kills what a stopped process left behind.
    pub(super) async fn leader_ended(&mut self) {
        if let Some(far) = self.far.take() {
            if self.stopping {
                far.kill(&mut self.family).await;
            }
            return;
        }
        let Some(pid) = self.pid.take() else { return };
        if self.stopping {
            // The id may belong to another process by now, but a process group with it can only be ours.
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
        self.send(&living(&self.family), Signal::KILL).await;
    }

    async fn send(&self, pids: &[Pid], signal: Signal) {
        let targets: Vec<Target> = pids.iter().copied().map(Target::Process).collect();
        self.transport.send(&targets, signal).await;
    }
}

/// The receiver of a signal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    /// One process.
    Process(Pid),
    /// The process group that it leads.
    Group(Pid),
}

impl Transport {
    /// Sends a signal; where that is not permitted because sudo runs as root, sends it through sudo too.
    pub(crate) async fn send(&self, targets: &[Target], signal: Signal) {
        let mut denied = Vec::new();
        for target in targets {
            let (sent, word) = match target {
                Target::Process(pid) => (kill_process(*pid, signal), pid.as_raw_nonzero().to_string()),
                Target::Group(pid) => {
                    (kill_process_group(*pid, signal), format!("-{}", pid.as_raw_nonzero()))
                }
            };
            if sent == Err(rustix::io::Errno::PERM) {
                denied.push(word);
            }
        }
        if let (Self::Sudo { program }, false) = (self, denied.is_empty()) {
            let mut command = tokio::process::Command::new(program);
            command
                .args(["-n", "--", "/bin/kill", &format!("-{}", name(signal)), "--"])
                .args(denied)
                .env_clear()
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            // Best effort: if sudo refuses, the process goes on, which the caller still reports.
            let _ = tokio::time::timeout(SUDO_LIMIT, command.status()).await;
        }
    }
}

/// The name that kill(1) knows. Rules of sudo may name it.
fn name(signal: Signal) -> String {
    match signal {
        Signal::KILL => "KILL".to_owned(),
        Signal::TERM => "TERM".to_owned(),
        Signal::INT => "INT".to_owned(),
        Signal::HUP => "HUP".to_owned(),
        other => other.as_raw().to_string(),
    }
}

/// A process at the other end of ssh.
#[derive(Debug)]
pub(super) struct Far {
    pub(super) connection: Connection,
    /// pct itself, or sudo.
    pub(super) pid: i32,
    /// The script around it, which leads the session and reports its status.
    pub(super) session: i32,
}

impl Far {
    /// Adds the session's processes, except its leader, to `family`, and drops those that are gone.
    async fn members(&self, family: &mut Vec<Member>) {
        let Some(records) = self.connection.process_table().await else { return };
        let table = family::read_table(&records);
        family.retain(|member| family::lives_in(&table, *member));
        for member in family::members_of(&table, self.session) {
            if member.pid != self.session && !family.contains(&member) {
                family.push(member);
            }
        }
    }

    async fn kill(&self, family: &mut Vec<Member>) {
        self.members(family).await;
        let pids: Vec<i32> = family.iter().map(|member| member.pid).collect();
        if !pids.is_empty() {
            self.connection.signal("KILL", &pids).await;
        }
    }
}

/// Kills a process with its family when it is dropped, unless it was disarmed.
pub(super) struct Guard {
    pid: Option<Pid>,
    far: Option<(Connection, i32)>,
}

impl Guard {
    pub(super) fn new(pid: Option<u32>) -> Self {
        Self { pid: raw(pid), far: None }
    }

    /// Adds the process at the other end of ssh. It is only asked to end; nobody waits for that.
    pub(super) fn runs_far(&mut self, connection: Connection, pid: i32) {
        self.far = Some((connection, pid));
    }

    /// Call this when that process has ended.
    pub(super) fn far_ended(&mut self) {
        self.far = None;
    }

    pub(super) fn disarm(&mut self) {
        self.pid = None;
        self.far = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some((connection, pid)) = self.far.take() {
            connection.signal_blindly("TERM", pid);
        }
        let Some(pid) = self.pid else { return };
        for pid in living(&family::members(Path::new(PROC), pid.as_raw_nonzero().get())) {
            // It may have ended by itself meanwhile, and there is nobody left to report to.
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
