//! One pct process from its start to its end.

mod family;
mod far;
mod output;
mod stop;
mod terminal;

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::pin::Pin;
use std::process::Stdio;
use std::time::{Duration, Instant};

use pvect_core::error::{Exit, Run};
use pvect_core::{Error, Events, Result};
use secrecy::SecretString;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};

use crate::config::PctConfig;
use crate::ssh::{Frame, GO};
use crate::{CancelHandle, program};
use far::{Session, Start};
use output::Capture;
use stop::{Far, Guard, Stopper};
use terminal::Terminal;

/// How long output may go on after pct has ended, when a process that it left behind holds the pipe.
const DRAIN_IDLE: Duration = Duration::from_millis(150);
/// The same in all, for a process left behind that never stops writing.
const DRAIN_LIMIT: Duration = Duration::from_secs(2);
/// The grace of a pct that is stopped because it floods us.
const FLOOD_GRACE: Duration = Duration::from_secs(1);
/// How long a killed process has to vanish; one in uninterruptible sleep does not.
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
    /// Whether more output than is kept ends the run. Otherwise the rest is read and thrown away.
    pub stop_on_flood: bool,
}

/// Streams of the caller's own, in the place of those of [`Request`]. The process gets them as they are.
#[derive(Debug, Default)]
pub struct Streams {
    /// What the process reads from stdin.
    pub stdin: Option<OwnedFd>,
    /// Where its stdout goes; nothing of it is kept then.
    pub stdout: Option<OwnedFd>,
}

/// Why a run was over.
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

/// A run that is over. Nothing of the process is left, its descendants included, unless it ended by itself.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Why it was over.
    pub end: End,
    /// How the process ended; `None` when even SIGKILL did not end it within 5 s.
    pub exit: Option<Exit>,
    /// stdout, cut at the bound, the password masked.
    pub stdout: Vec<u8>,
    /// stderr, cut at the bound, the password masked.
    pub stderr: Vec<u8>,
    /// Whether output was thrown away.
    pub cut: bool,
    /// What there is to say about a connection that was lost.
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
/// Each gets a clean environment, a process group of its own, and no stdin unless asked. Both outputs are read
/// while it runs and kept up to a bound. A run that must be stopped gets SIGTERM (the real pct passes it to its
/// worker), a grace, then SIGKILL with its group and every descendant: the worker of the real pct has a session
/// of its own, so the group alone is not enough. A dropped future kills the same way, at once.
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

    /// Makes the command with its environment; streams are the caller's to set.
    pub(crate) fn command(&self, words: Vec<String>, env: &[(String, String)]) -> std::process::Command {
        let line = self.config.command_line(words);
        let mut command = std::process::Command::new(&line[0]);
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

    /// As [`Runner::run`], with streams of the caller's own. This process holds none of them when it has started.
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
            if streams.stdin.is_some() || streams.stdout.is_some() {
                let what = "streams of any length cannot be handed to another node yet (push and pull of whole \
                            directories need them)";
                return Err(Error::Unsupported { what: what.to_owned(), vmid: None });
            }
            return self.run_far(connection, request, events).await;
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
            .stderr(Stdio::piped());
        let (child, terminal) = if request.password.is_some() {
            let (child, terminal) = Terminal::spawn(command).map_err(failed)?;
            (child, Some(terminal))
        } else {
            command.process_group(0);
            let mut command = tokio::process::Command::from(command);
            (command.kill_on_drop(true).spawn().map_err(failed)?, None)
        };
        let mut watch = Watch::new(self, request, child, terminal);
        watch.follow(events).await;
        Ok(watch.finish(argv, started.elapsed(), events))
    }
}

/// A process that is being watched.
struct Watch<'a> {
    /// Kills what is left when this is dropped before the end. Dropped before `child`, while the descendants can
    /// still be told by their parent.
    guard: Guard,
    request: &'a Request,
    cancel: &'a CancelHandle,
    child: Child,
    stdin: Option<ChildStdin>,
    input: Vec<u8>,
    terminal: Option<Terminal>,
    stdout: Capture,
    stderr: Capture,
    stopper: Stopper,
    far: Option<Session>,
    end: End,
    exit: Option<Exit>,
    gave_up: bool,
}

/// What happened next.
enum Step {
    Stdout(io::Result<usize>),
    Stderr(io::Result<usize>),
    Ended(io::Result<std::process::ExitStatus>),
    Input(io::Result<usize>),
    Terminal(io::Result<()>),
    Clock,
    Silence,
    Cancelled,
}

impl<'a> Watch<'a> {
    fn new(runner: &'a Runner, request: &'a Request, mut child: Child, terminal: Option<Terminal>) -> Self {
        let pid = child.id();
        let config = &runner.config;
        let mut input = request.stdin.clone().unwrap_or_default();
        if let Some(password) = &request.password {
            input = terminal::answer(password).repeat(2);
        }
        Self {
            cancel: &runner.cancel,
            stdin: child.stdin.take(),
            input,
            terminal,
            stdout: Capture::new(config.output_limit, request.password.as_ref()),
            stderr: Capture::new(config.output_limit, request.password.as_ref()),
            stopper: Stopper::new(pid, config.transport.clone(), config.grace),
            guard: Guard::new(pid),
            far: None,
            end: End::Exited,
            exit: None,
            gave_up: false,
            request,
            child,
        }
    }

    /// Reads, feeds and waits until the process is over and its output read.
    async fn follow(&mut self, events: &mut dyn Events) {
        let mut stdout = self.child.stdout.take();
        let mut stderr = self.child.stderr.take();
        let mut buffers = (vec![0; 64 << 10], vec![0; 64 << 10]);
        let mut alarm = self.request.limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut drain_end = None;
        while !self.gave_up && (self.exit.is_none() || stdout.is_some() || stderr.is_some()) {
            let cancels = if self.end == End::Cancelled { 2 } else { 1 };
            let (may_feed, silent_at) = (self.may_feed(), self.silent_at());
            let step = tokio::select! {
                count = read(&mut stdout, &mut buffers.0), if stdout.is_some() => Step::Stdout(count),
                count = read(&mut stderr, &mut buffers.1), if stderr.is_some() => Step::Stderr(count),
                status = self.child.wait(), if self.exit.is_none() => Step::Ended(status),
                count = feed(&mut self.stdin, &self.input), if self.stdin.is_some() && may_feed => Step::Input(count),
                done = serve(&mut self.terminal, &self.request.password), if self.terminal.is_some() => Step::Terminal(done),
                () = sleep_until(alarm), if alarm.is_some() => Step::Clock,
                () = sleep_until(silent_at), if silent_at.is_some() => Step::Silence,
                () = self.cancel.reached(cancels), if self.may_cancel() => Step::Cancelled,
            };
            match step {
                Step::Stdout(count) => {
                    let data = &buffers.0[..count.unwrap_or(0)];
                    let body = bare(self.far.as_mut().map(|far| &mut far.out), data);
                    self.stdout.push(&body, &mut |line| events.log(line));
                    if data.is_empty() || self.far.as_ref().is_some_and(|far| far.out.closed().is_some()) {
                        stdout = None;
                    }
                }
                Step::Stderr(count) => {
                    let data = &buffers.1[..count.unwrap_or(0)];
                    let body = bare(self.far.as_mut().map(|far| &mut far.err), data);
                    self.stderr.push(&body, &mut |line| events.warning(line));
                    if data.is_empty() || self.far.as_ref().is_some_and(|far| far.err.closed().is_some()) {
                        stderr = None;
                    }
                }
                Step::Ended(status) => {
                    self.exit = Some(status.map_or(Exit::Status(255), exit_of));
                    self.stopper.leader_ended().await;
                    self.guard.disarm();
                    self.stdin = None;
                    self.terminal = None;
                    drain_end = Instant::now().checked_add(DRAIN_LIMIT);
                }
                Step::Input(count) => match count {
                    Ok(count) if count > 0 => drop(self.input.drain(..count)),
                    // Done, or nobody reads any more: the process sees the end of the file.
                    _ => self.stdin = None,
                },
                Step::Silence => {
                    self.far.iter_mut().for_each(Session::give_up);
                    self.stopper.kill().await;
                }
                Step::Terminal(Ok(())) => {}
                Step::Terminal(Err(_)) => self.terminal = None,
                Step::Clock if self.exit.is_some() => break,
                Step::Clock if self.end == End::Exited => alarm = self.stop(End::TimedOut).await,
                Step::Clock | Step::Cancelled if self.end != End::Exited => alarm = self.escalate().await,
                Step::Clock | Step::Cancelled => alarm = self.stop(End::Cancelled).await,
            }
            self.follow_far().await;
            let flooded = self.stdout.cut() || self.stderr.cut();
            if flooded && self.request.stop_on_flood && self.end == End::Exited && self.exit.is_none() {
                alarm = self.stop(End::Flooded).await;
            }
            if let Some(end) = drain_end {
                // Reset by everything that comes, but never beyond the limit.
                alarm = Some(end.min(Instant::now() + DRAIN_IDLE));
            }
        }
    }

    /// Starts pct at the other end when it is ready there, and sees it end.
    async fn follow_far(&mut self) {
        let Some(far) = &mut self.far else { return };
        match far.start() {
            Some(Start::Ready(pid, session)) => {
                let connection = far.connection.clone();
                self.guard.runs_far(connection.clone(), pid);
                self.stopper.runs_far(Far { connection, pid, session });
                self.input.splice(0..0, GO.iter().copied());
            }
            Some(Start::Missing) => self.stdin = None,
            None => {}
        }
        if let Some(status) = far.status().filter(|_| far.is_over() && self.exit.is_none()) {
            self.exit = Some(Exit::Status(status));
            self.stopper.leader_ended().await;
            self.guard.far_ended();
        }
    }

    /// At the end of a run at the other end: what ssh returned is of no interest, only what the marks say.
    fn settle(&mut self) {
        let Some(far) = &mut self.far else { return };
        self.exit = far.status().map(Exit::Status);
        if self.end == End::TimedOut && !far.sent {
            far.give_up();
            self.end = End::Lost { sent: false };
        } else if self.end == End::Exited && self.exit.is_none() {
            self.end = End::Lost { sent: far.sent };
        }
    }

    /// Input waits until the other end is ready for it.
    fn may_feed(&self) -> bool {
        self.far.as_ref().is_none_or(|far| far.sent)
    }

    fn silent_at(&self) -> Option<Instant> {
        self.far.as_ref().filter(|_| self.exit.is_none()).and_then(|far| far.silent_at)
    }

    fn may_cancel(&self) -> bool {
        self.exit.is_none() && !self.stopper.killed()
    }

    /// Asks the process to end and returns when the grace is over.
    async fn stop(&mut self, end: End) -> Option<Instant> {
        self.end = end;
        if self.may_feed() {
            self.stopper.terminate().await;
        } else {
            // Nothing runs at the other end yet, and nothing will without its line.
            self.stopper.kill().await;
        }
        let grace =
            if end == End::Flooded { self.stopper.grace.min(FLOOD_GRACE) } else { self.stopper.grace };
        Instant::now().checked_add(grace)
    }

    /// Kills the process; when that was done already, gives up waiting for it.
    async fn escalate(&mut self) -> Option<Instant> {
        if self.stopper.killed() {
            self.gave_up = true;
            return None;
        }
        self.stopper.kill().await;
        Instant::now().checked_add(REAP_LIMIT)
    }

    fn finish(mut self, argv: Vec<String>, duration: Duration, events: &mut dyn Events) -> Finished {
        self.settle();
        let words = self.far.as_ref().map(Session::words).unwrap_or_default();
        let cut = self.stdout.cut() || self.stderr.cut();
        let stdout = self.stdout.finish(&mut |line| events.log(line));
        let stderr = self.stderr.finish(&mut |line| events.warning(line));
        Finished { end: self.end, exit: self.exit, stdout, stderr, cut, words, duration, argv }
    }
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

/// Leaves out what is not the command's own: marks and noise around it. An empty piece is the end of the stream.
fn bare<'a>(frame: Option<&mut Frame>, data: &'a [u8]) -> Cow<'a, [u8]> {
    match frame {
        Some(frame) if data.is_empty() => frame.finish().into(),
        Some(frame) => frame.push(data).into(),
        None => data.into(),
    }
}

async fn read<R: AsyncRead + Unpin>(stream: &mut Option<R>, buffer: &mut [u8]) -> io::Result<usize> {
    match stream {
        Some(stream) => stream.read(buffer).await,
        None => Ok(0),
    }
}

async fn feed(stdin: &mut Option<ChildStdin>, input: &[u8]) -> io::Result<usize> {
    match stdin {
        Some(stdin) if !input.is_empty() => stdin.write(input).await,
        _ => Ok(0),
    }
}

async fn serve(terminal: &mut Option<Terminal>, password: &Option<SecretString>) -> io::Result<()> {
    match (terminal, password) {
        (Some(terminal), Some(password)) => terminal.serve(password).await,
        _ => Ok(()),
    }
}

async fn sleep_until(alarm: Option<Instant>) {
    let Some(alarm) = alarm else { return };
    let sleep: Pin<Box<_>> = Box::pin(tokio::time::sleep_until(alarm.into()));
    sleep.await;
}
