//! Follows a process to its end.

use std::borrow::Cow;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::time::{Duration, Instant};

use pvect_core::Events;
use pvect_core::error::Exit;
use secrecy::SecretString;
use tokio::fs::File;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, ChildStdin};
use tokio::sync::mpsc;

use super::output::Capture;
use super::session::{Session, Start};
use super::stop::{Far, Guard, Stopper};
use super::terminal::{self, Terminal};
use super::{
    DRAIN_IDLE, DRAIN_LIMIT, End, FLOOD_GRACE, Finished, REAP_LIMIT, Request, Runner, Streams, exit_of,
};
use crate::CancelHandle;
use crate::ssh::{Frame, GO};

/// A process that is being watched.
pub(super) struct Watch<'a> {
    /// Kills what is left if this is dropped before the end. It is dropped before `child`, while the descendants can
    /// still be found by their parent.
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
    pub(super) far: Option<Session>,
    pub(super) pumps: Pumps,
    pub(super) end: End,
    exit: Option<Exit>,
    gave_up: bool,
}

/// The caller's streams when the process is at the other end of ssh and their contents must be passed through.
#[derive(Debug, Default)]
pub(super) struct Pumps {
    source: Option<mpsc::Receiver<io::Result<Vec<u8>>>>,
    sinks: [Option<File>; 2],
}

impl From<Streams> for Pumps {
    fn from(streams: Streams) -> Self {
        let file = |stream: OwnedFd| File::from_std(stream.into());
        Self {
            source: streams.stdin.map(source),
            sinks: [streams.stdout.map(file), streams.stderr.map(file)],
        }
    }
}

/// Reads a stream in a thread of its own that nobody waits for, because a read may never return.
fn source(stream: OwnedFd) -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        let mut file = std::fs::File::from(stream);
        let mut buffer = vec![0; 64 << 10];
        loop {
            let piece = match io::Read::read(&mut file, &mut buffer) {
                Ok(0) => break,
                Ok(count) => Ok(buffer[..count].to_vec()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
            let failed = piece.is_err();
            if sender.blocking_send(piece).is_err() || failed {
                break;
            }
        }
    });
    receiver
}

impl Pumps {
    /// Writes out what is still buffered. If the reader is gone, that is its own choice.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        for sink in self.sinks.iter_mut().flatten() {
            match sink.flush().await {
                Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// What happened next.
enum Step {
    Source(Option<io::Result<Vec<u8>>>),
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
    pub(super) fn new(
        runner: &'a Runner,
        request: &'a Request,
        mut child: Child,
        terminal: Option<Terminal>,
    ) -> Self {
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
            pumps: Pumps::default(),
            end: End::Exited,
            exit: None,
            gave_up: false,
            request,
            child,
        }
    }

    /// Reads and feeds the streams until the process has ended and its output is read.
    pub(super) async fn follow(&mut self, events: &mut dyn Events) {
        let mut stdout = self.child.stdout.take();
        let mut stderr = self.child.stderr.take();
        let mut buffers = (vec![0; 64 << 10], vec![0; 64 << 10]);
        let mut alarm = self.request.limit.and_then(|limit| Instant::now().checked_add(limit));
        let mut drain_end = None;
        while !self.gave_up && (self.exit.is_none() || stdout.is_some() || stderr.is_some()) {
            let cancels = if self.end == End::Cancelled { 2 } else { 1 };
            let silent_at = self.silent_at();
            let sources = self.pumps.source.is_some() && self.input.is_empty() && self.may_feed();
            let feeds = self.stdin.is_some() && self.may_feed() && !sources;
            let step = tokio::select! {
                count = read(&mut stdout, &mut buffers.0), if stdout.is_some() => Step::Stdout(count),
                count = read(&mut stderr, &mut buffers.1), if stderr.is_some() => Step::Stderr(count),
                status = self.child.wait(), if self.exit.is_none() => Step::Ended(status),
                count = feed(&mut self.stdin, &self.input), if feeds => Step::Input(count),
                piece = next(&mut self.pumps.source), if sources => Step::Source(piece),
                done = serve(&mut self.terminal, &self.request.password), if self.terminal.is_some() => Step::Terminal(done),
                () = sleep_until(alarm), if alarm.is_some() => Step::Clock,
                () = sleep_until(silent_at), if silent_at.is_some() => Step::Silence,
                () = self.cancel.reached(cancels), if self.may_cancel() => Step::Cancelled,
            };
            match step {
                Step::Stdout(count) => {
                    if self.took(0, &buffers.0[..count.unwrap_or(0)], events).await {
                        stdout = None;
                    }
                }
                Step::Stderr(count) => {
                    if self.took(1, &buffers.1[..count.unwrap_or(0)], events).await {
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
                Step::Source(Some(Ok(piece))) => self.input.extend(piece),
                Step::Source(None) => self.pumps.source = None,
                Step::Source(Some(Err(error))) => {
                    tracing::warn!(%error, "stdin cannot be read");
                    self.pumps.source = None;
                    self.stopper.terminate().await;
                }
                Step::Input(count) => match count {
                    Ok(count) if count > 0 => drop(self.input.drain(..count)),
                    // All is written, or nobody reads any more: close the stream.
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
                // Restarted by all output, but never beyond the limit.
                alarm = Some(end.min(Instant::now() + DRAIN_IDLE));
            }
        }
    }

    /// Takes what was read from stdout (0) or stderr (1), and returns whether that stream is over.
    async fn took(&mut self, index: usize, data: &[u8], events: &mut dyn Events) -> bool {
        let closed = |far: &Session| [far.out.closed().is_some(), far.err.closed().is_some()][index];
        let own = self.far.as_mut().map(|far| if index == 0 { &mut far.out } else { &mut far.err });
        let body = bare(own, data);
        if !self.carry(index, &body).await {
            match index {
                0 => self.stdout.push(&body, &mut |line| events.log(line)),
                _ => self.stderr.push(&body, &mut |line| events.warning(line)),
            }
        }
        data.is_empty() || self.far.as_ref().is_some_and(closed)
    }

    /// Writes to a stream of the caller's own; `false` when there is none.
    async fn carry(&mut self, index: usize, body: &[u8]) -> bool {
        let Some(sink) = &mut self.pumps.sinks[index] else { return false };
        // Flush at once, because somebody may be waiting for the answer.
        let done = async {
            sink.write_all(body).await?;
            sink.flush().await
        };
        if done.await.is_err() {
            // Nobody reads any more, by the reader's own choice.
            self.pumps.sinks[index] = None;
            self.stopper.terminate().await;
        }
        true
    }

    /// Starts pct at the other end when it is ready there, and follows it to its end.
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

    /// At the end of a run at the other end, takes the result from the marks and ignores the status of ssh.
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
    pub(super) fn may_feed(&self) -> bool {
        self.far.as_ref().is_none_or(|far| far.sent)
    }

    fn silent_at(&self) -> Option<Instant> {
        self.far.as_ref().filter(|_| self.exit.is_none()).and_then(|far| far.silent_at)
    }

    fn may_cancel(&self) -> bool {
        self.exit.is_none() && !self.stopper.killed()
    }

    /// Asks the process to end; returns when the grace period will be over.
    async fn stop(&mut self, end: End) -> Option<Instant> {
        self.end = end;
        if self.may_feed() {
            self.stopper.terminate().await;
        } else {
            // Nothing runs at the other end yet, and nothing will run without its line.
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

    pub(super) fn finish(
        mut self,
        argv: Vec<String>,
        duration: Duration,
        events: &mut dyn Events,
    ) -> Finished {
        self.settle();
        let words = self.far.as_ref().map(Session::words).unwrap_or_default();
        let cut = self.stdout.cut() || self.stderr.cut();
        let stdout = self.stdout.finish(&mut |line| events.log(line));
        let stderr = self.stderr.finish(&mut |line| events.warning(line));
        Finished { end: self.end, exit: self.exit, stdout, stderr, cut, words, duration, argv }
    }
}

/// Removes what is not the command's own output: the marks and the noise around them. An empty piece is the end of the
/// stream.
fn bare<'a>(frame: Option<&mut Frame>, data: &'a [u8]) -> Cow<'a, [u8]> {
    match frame {
        Some(frame) if data.is_empty() => frame.finish().into(),
        Some(frame) => frame.push(data).into(),
        None => data.into(),
    }
}

async fn next<T>(source: &mut Option<mpsc::Receiver<T>>) -> Option<T> {
    match source {
        Some(source) => source.recv().await,
        None => None,
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
