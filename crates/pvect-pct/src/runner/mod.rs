//! One pct process from its start to its end.

mod family;
mod output;
mod remote;
mod session;
mod stop;
mod terminal;
mod watch;

use std::io;
use std::os::fd::{OwnedFd, RawFd};
use std::process::Stdio;
use std::time::{Duration, Instant};

use pvect_core::error::{Exit, Run};
use pvect_core::{Error, Events, Result, Verb};
use secrecy::SecretString;

use crate::config::PctConfig;
use crate::{CancelHandle, program};
pub(crate) use stop::Target;
use terminal::Terminal;
use watch::Watch;

/// How long to wait for more output after pct has ended, if a process that it left behind holds the pipe open.
const DRAIN_IDLE: Duration = Duration::from_millis(150);
/// The same in total, for a process left behind that never stops writing.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// The grace period of a pct that is stopped because it writes too much.
const FLOOD_GRACE: Duration = Duration::from_secs(1);
/// How long a killed process may take to end; one in uninterruptible sleep does not end.
const REAP_LIMIT: Duration = Duration::from_secs(5);

/// What to run: words for pct, and how to treat it.
#[derive(Debug, Clone, Default)]
pub struct Request {
    /// The words after pct.
    pub words: Vec<String>,
    /// The same for logs and errors, secrets masked.
    pub shown: Vec<String>,
    /// Variables for this run only.
    pub env: Vec<(String, String)>,
    /// What the process reads from stdin; `None` is `/dev/null`.
    pub stdin: Option<Vec<u8>>,
    /// The answer to pct's question for a new password.
    pub password: Option<SecretString>,
    /// How long it may take.
    pub limit: Option<Duration>,
    /// Whether more output than is kept ends the run. Otherwise the rest is read and discarded.
    pub stop_on_flood: bool,
}

/// Streams of the caller's own, instead of those of [`Request`]. The process gets them as they are.
#[derive(Debug, Default)]
pub struct Streams {
    /// What the process reads from stdin.
    pub stdin: Option<OwnedFd>,
    /// Where its stdout goes; it is then not kept.
    pub stdout: Option<OwnedFd>,
    /// Where its stderr goes; it is then not kept.
    pub stderr: Option<OwnedFd>,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// pct ended by itself.
    Exited,
    /// The time-out passed and pct was stopped.
    TimedOut,
    /// The caller cancelled and pct was stopped.
    Cancelled,
    /// pct wrote more than is kept and was stopped.
    Flooded,
    /// The connection to the node was lost.
    Lost {
        /// Whether the command may have run; otherwise it certainly has not.
        sent: bool,
    },
}

/// A run that is over. Unless the process ended by itself, nothing of it is left, including its descendants.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Why it ended.
    pub end: End,
    /// How the process ended; `None` when even SIGKILL did not end it within 5 s.
    pub exit: Option<Exit>,
    /// stdout, cut at the bound, the password masked.
    pub stdout: Vec<u8>,
    /// stderr, cut at the bound, the password masked.
    pub stderr: Vec<u8>,
    /// Whether output was discarded.
    pub cut: bool,
    /// The message about a lost connection.
    pub words: String,
    /// How long it took.
    pub duration: Duration,
    /// The command line, program first, secrets masked.
    pub argv: Vec<String>,
}

impl Finished {
    fn not_started(argv: Vec<String>) -> Self {
        Self {
            end: End::Cancelled,
            exit: None,
            stdout: Vec::new(),
            stderr: Vec::new(),
            cut: false,
            words: String::new(),
            duration: Duration::ZERO,
            argv,
        }
    }

    /// Returns the record of this run for an error.
    pub fn to_run(&self) -> Run {
        Run {
            argv: self.argv.clone(),
            exit: self.exit,
            stdout: String::from_utf8_lossy(&self.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&self.stderr).into_owned(),
        }
    }
}

/// Runs pct processes.
///
/// Each gets a clean environment, a session of its own without a terminal, no stdin unless asked, and no descriptor
/// above stderr: so what it runs in a container can reach neither the caller's terminal nor the caller's files. Both
/// outputs are read while it runs and kept up to a bound. A run that must be stopped gets SIGTERM (the real pct passes
/// it to its worker) and a grace period, then SIGKILL, together with its group and every descendant: the worker of the
/// real pct has a session of its own, so the group alone is not enough. A dropped future kills the same way, at once.
///
/// **Password.** The real pct asks for `--password` without a value (`PVE::PTY` of pve-common): on a terminal with
/// prompts, and from any other stdin it reads two lines without prompts. So stdin is a pipe with the two lines,
/// which needs no guess about prompts, cannot echo and takes every character. For a pct that asks on its
/// controlling terminal instead, that is a pty without echo on which prompts are answered. Captured output is
/// searched for the password and masked all the same.
#[derive(Debug, Clone)]
pub struct Runner {
    config: PctConfig,
    cancel: CancelHandle,
}

impl Runner {
    /// Makes a runner; `cancel` stops its runs.
    pub fn new(config: PctConfig, cancel: CancelHandle) -> Self {
        Self { config, cancel }
    }

    /// Returns the configuration.
    pub fn config(&self) -> &PctConfig {
        &self.config
    }

    /// Returns the handle that stops its runs.
    pub(crate) fn cancel(&self) -> &CancelHandle {
        &self.cancel
    }

    /// Waits until the caller cancels.
    pub(crate) async fn cancelled(&self) {
        self.cancel.reached(1).await;
    }

    /// Makes the command with its environment; the caller sets the streams.
    pub(crate) fn command(&self, words: Vec<String>, env: &[(String, String)]) -> std::process::Command {
        let named = named_descriptors(&words);
        let line = self.config.command_line(words);
        let mut command = std::process::Command::new(&line[0]);
        pvect_sys::child::inherit_only(&mut command, named);
        command
            .args(&line[1..])
            .env_clear()
            .env("LC_ALL", "C.UTF-8")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("TERM", "dumb")
            .envs(self.config.env.iter().map(|(name, value)| (name, value)))
            .envs(env.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Runs one pct to its end, streaming its lines to `events`.
    ///
    /// # Errors
    /// When there is no pct, or it could not be started. Everything after the start is in [`Finished`].
    pub async fn run(&self, request: &Request, events: &mut dyn Events) -> Result<Finished> {
        self.run_on(request, Streams::default(), events).await
    }

    /// As [`Runner::run`], with streams of the caller's own. This process holds none of them when it has started, or,
    /// through ssh, when it has ended.
    ///
    /// # Errors
    /// As [`Runner::run`].
    pub async fn run_on(
        &self,
        request: &Request,
        streams: Streams,
        events: &mut dyn Events,
    ) -> Result<Finished> {
        program::check(&self.config)?;
        if let Some(connection) = self.config.transport.ssh() {
            return self.run_far(connection, request, streams, events).await;
        }
        let argv = self.config.command_line(request.shown.clone());
        let failed = |source: io::Error| {
            let run = Run { argv: argv.clone(), ..Run::default() };
            Error::Spawn {
                what: format!("it did not start: {source}"),
                run: Box::new(run),
                source: Some(source),
            }
        };
        if self.cancel.is_cancelled() {
            return Ok(Finished::not_started(argv));
        }
        let started = Instant::now();
        let mut command = self.command(request.words.clone(), &request.env);
        let piped = request.stdin.is_some() || request.password.is_some();
        command
            .stdin(match streams.stdin {
                Some(stream) => stream.into(),
                None if piped => Stdio::piped(),
                None => Stdio::null(),
            })
            .stdout(streams.stdout.map_or_else(Stdio::piped, Stdio::from))
            .stderr(streams.stderr.map_or_else(Stdio::piped, Stdio::from));
        let (child, terminal) = if request.password.is_some() {
            let (child, terminal) = Terminal::spawn(command).map_err(failed)?;
            (child, Some(terminal))
        } else {
            pvect_sys::child::new_session(&mut command);
            let mut command = tokio::process::Command::from(command);
            (command.kill_on_drop(true).spawn().map_err(failed)?, None)
        };
        let mut watch = Watch::new(self, request, child, terminal);
        watch.follow(events).await;
        Ok(watch.finish(argv, started.elapsed(), events))
    }
}

/// The descriptors that the words name as files, such as a shell's `<(command)`: pct opens these itself. Never
/// descriptors in the words of a container's own command.
fn named_descriptors(words: &[String]) -> Vec<RawFd> {
    if words.first().is_none_or(|verb| verb == Verb::Exec.name()) {
        return Vec::new();
    }
    let number = |word: &String| {
        let path = word.rsplit('=').next()?;
        let number = path.strip_prefix("/dev/fd/").or_else(|| path.strip_prefix("/proc/self/fd/"))?;
        number.parse().ok().filter(|number| *number > 2)
    };
    words.iter().filter_map(number).collect()
}

/// Returns how a process ended.
pub(crate) fn exit_of(status: std::process::ExitStatus) -> Exit {
    use std::os::unix::process::ExitStatusExt;
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Status(code),
        (None, Some(signal)) => Exit::Signal(signal),
        // waitpid(2) reports one of the two for a process that ended.
        (None, None) => Exit::Status(255),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_that_are_named_as_files_go_along() {
        let named = |line: &str| {
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            named_descriptors(&words)
        };
        assert_eq!(named("push 101 /dev/fd/63 /etc/motd"), [63]);
        assert_eq!(named("create 101 x --ssh-public-keys=/dev/fd/63 --y /proc/self/fd/5"), [63, 5]);
        assert_eq!(named("push 101 /dev/fd/0 /dev/fd/-1"), [0; 0]);
        assert_eq!(named("exec 101 -- cat /dev/fd/63"), [0; 0]);
    }
}
