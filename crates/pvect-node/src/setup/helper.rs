//! The process that works on a guest's files, as its parent sees it.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use pvect_core::ContainerConfig;
use pvect_rootfs::guest::Done;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{GO, HOST, MAPPED, NAME, Said};
use crate::error::os_text;
use crate::idmap::IdMap;
use crate::rooted::READ_LIMIT;
use crate::{Failure, Node, NodeResult, lock_files};

/// The longest line that is read, in bytes: two files of the largest size, each byte written as a number and a comma.
const LONGEST: usize = 2 * 4 * READ_LIMIT as usize + 1024;

/// A process that does one job on a guest's files. On drop it is killed if it has not ended, and reaped. It may end
/// later than it answers, because leaving its namespaces takes a while.
#[derive(Debug)]
pub(crate) struct Helper {
    child: Child,
    map: IdMap,
    /// How long the job may take.
    time: Option<Duration>,
    done: bool,
}

impl Helper {
    /// Starts the process in this mount namespace. It does nothing until it gets a job.
    pub(super) fn spawn(
        node: &Node,
        config: &ContainerConfig,
        root: &Path,
        below: &[PathBuf],
        time: Option<Duration>,
    ) -> NodeResult<Self> {
        let map = IdMap::of(config);
        let mut command = Command::new(&node.helper);
        command
            .args(["__node", NAME, if map.is_identity() { HOST } else { MAPPED }])
            .arg(root)
            .args(below)
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            // Ctrl-C must reach only us: if the helper stopped halfway, the files would be neither the old nor the new
            // ones.
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        // If we are killed, the container stays locked until its files are complete.
        let child = lock_files::inherited(|| command.spawn())
            .map_err(|error| Failure::io("can't run", &node.helper, &error))?;
        Ok(Self { child, map, time, done: false })
    }

    /// Runs the job on the volumes that are mounted now.
    pub(super) fn perform(&mut self, job: &[u8]) -> NodeResult<Done> {
        let (Some(stdin), Some(stdout)) = (self.child.stdin.take(), self.child.stdout.take()) else {
            return Err(ended_early());
        };
        let done = self.talk(stdin, stdout, job);
        self.done = done.is_ok();
        done
    }

    fn talk(&self, mut stdin: ChildStdin, stdout: ChildStdout, job: &[u8]) -> NodeResult<Done> {
        let deadline = self.time.map(|time| Instant::now() + time);
        let mut answers = Answers { stdout, buffer: Vec::new(), deadline };
        stdin.write_all(GO).map_err(|_| ended_early())?;
        match answers.next()? {
            Said::Ready => {}
            Said::Failed(text) => return Err(Failure::new(text)),
            Said::Done(_) => return Err(ended_early()),
        }
        if !self.map.is_identity() {
            let process = PathBuf::from(format!("/proc/{}", self.child.id()));
            // In this order: users must be mapped before the kernel checks who may map groups.
            for (file, lines) in [("uid_map", self.map.user_lines()), ("gid_map", self.map.group_lines())] {
                let path = process.join(file);
                std::fs::write(&path, lines).map_err(|error| {
                    Failure::io("can't write the container's map of ids to", &path, &error)
                })?;
            }
        }
        stdin.write_all(job).map_err(|_| ended_early())?;
        drop(stdin);
        match answers.next()? {
            Said::Done(done) => Ok(done),
            Said::Failed(text) => Err(Failure::new(text)),
            Said::Ready => Err(ended_early()),
        }
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        if !self.done {
            let _ = self.child.kill();
        }
        // A process that hangs in the kernel is not waited for.
        if self.done || self.time.is_none() {
            let _ = self.child.wait();
        }
    }
}

pub(super) fn ended_early() -> Failure {
    Failure::new("the process that sets up the guest's files ended early")
}

/// What a process says, line by line.
struct Answers {
    stdout: ChildStdout,
    buffer: Vec<u8>,
    deadline: Option<Instant>,
}

impl Answers {
    fn next(&mut self) -> NodeResult<Said> {
        let mut searched = 0;
        loop {
            if let Some(end) = self.buffer[searched..].iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=searched + end).collect();
                return serde_json::from_slice(&line).map_err(|_| ended_early());
            }
            searched = self.buffer.len();
            self.wait()?;
            let mut chunk = [0; 8192];
            match self.stdout.read(&mut chunk) {
                Ok(0) => return Err(ended_early()),
                Ok(count) if searched + count <= LONGEST => self.buffer.extend(&chunk[..count]),
                Ok(_) => return Err(ended_early()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => {
                    return Err(Failure::new(format!("can't read from a process - {}", os_text(&error))));
                }
            }
        }
    }

    /// Waits until there is something to read, or the time is over.
    fn wait(&self) -> NodeResult<()> {
        let Some(deadline) = self.deadline else { return Ok(()) };
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Failure::new("setting up the guest's files takes too long"));
            }
            let left = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: left.subsec_nanos().into(),
            };
            if matches!(poll(&mut [PollFd::new(&self.stdout, PollFlags::IN)], Some(&left)), Ok(1)) {
                return Ok(());
            }
        }
    }
}
