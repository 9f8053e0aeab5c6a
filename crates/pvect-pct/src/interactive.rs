//! Verbs that take over the terminal: `exec`, `enter`, `console`.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::process::Stdio;
use std::task::Poll;

use pvect_core::error::Exit;
use pvect_core::{Error, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::runner::{End, Request, Streams, Target, exit_of};
use crate::ssh::{Connection, Log};
use crate::{CancelHandle, Runner, program};

/// Runs a call on the caller's own stdin, stdout and stderr and returns its status, 128+signal when it was killed.
///
/// If one of the three is a terminal, the process stays in the caller's process group, so that the terminal's size
/// changes, Ctrl-C and Ctrl-\ reach it directly; SIGTERM and SIGHUP are passed on. If none is, lxc-attach does not make
/// a terminal for the command, which would then have the caller's. So the process gets a session of its own, and the
/// terminal's signals are passed on to its process group. From the first use on, this process no longer dies of these
/// signals.
///
/// Through ssh, there is a terminal at the other end if stdin and stdout are terminals here. Otherwise the streams are
/// passed through, and each of the four signals ends pct there, like a time-out.
pub(crate) async fn run(runner: &Runner, words: Vec<String>, shown: Vec<String>) -> Result<i32> {
    program::check(runner.config())?;
    let (stdin, stdout) = (std::io::stdin().is_terminal(), std::io::stdout().is_terminal());
    let terminal = stdin && stdout;
    let ssh = runner.config().transport.ssh();
    let apart = ssh.is_none() && !stdin && !stdout && !std::io::stderr().is_terminal();
    let mut signals = Signals::new(apart)?;
    let far = match ssh {
        Some(_) if !terminal => return carried(runner, words, shown, signals).await,
        Some(connection) => Some(Far::open(connection).await?),
        None => None,
    };
    let argv = runner.config().command_line(shown);
    let failed = |source: std::io::Error| Error::Spawn {
        what: format!("it did not start: {source}"),
        run: Box::new(pvect_core::error::Run { argv: argv.clone(), ..Default::default() }),
        source: Some(source),
    };
    let mut command = match &far {
        Some(far) => far.command(runner, words),
        None => runner.command(words, &[]),
    };
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    if apart {
        pvect_sys::child::new_session(&mut command);
    }
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().map_err(failed)?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(failed)?,
            signal = signals.next() => if let Some(pid) = pid {
                pass_on(runner, pid, signal, apart).await;
            },
        }
    };
    if let Some(far) = far {
        far.ended(exit_of(status)).map_err(|what| Error::ConnectionLost {
            node: far.connection.target().destination(),
            // sshd had no room for the session.
            may_have_run: !what.contains("refused by peer"),
            what,
            vmid: None,
            run: Box::new(pvect_core::error::Run { argv: argv.clone(), ..Default::default() }),
        })?;
    }
    Ok(status_of(exit_of(status)))
}

fn status_of(exit: Exit) -> i32 {
    match exit {
        Exit::Status(code) => code,
        Exit::Signal(number) => 128 + number,
    }
}

/// Passes a signal on. The terminal's signals go to the process group; if the command is in ours, the terminal has sent
/// them already.
async fn pass_on(runner: &Runner, pid: Pid, signal: Signal, apart: bool) {
    let transport = &runner.config().transport;
    // It may have ended meanwhile, which the wait for it notices.
    match signal {
        Signal::TERM => transport.send(&[Target::Process(pid)], signal).await,
        Signal::HUP if !apart => transport.send(&[Target::Process(pid)], signal).await,
        Signal::TSTP => {
            transport.send(&[Target::Group(pid)], Signal::STOP).await;
            // Stops until the shell continues us.
            let _ = kill_process(rustix::process::getpid(), Signal::STOP);
            transport.send(&[Target::Group(pid)], Signal::CONT).await;
        }
        _ if apart => transport.send(&[Target::Group(pid)], signal).await,
        _ => {}
    }
}

/// The signals that would end or stop this process.
struct Signals(Vec<(Signal, tokio::signal::unix::Signal)>);

impl Signals {
    /// `apart` says that the command does not get the terminal's stop signals by itself. Ignored signals stay ignored.
    fn new(apart: bool) -> Result<Self> {
        let watched = [Signal::INT, Signal::QUIT, Signal::TERM, Signal::HUP].into_iter();
        let watched = watched.chain(apart.then_some(Signal::TSTP));
        let streams = watched.filter(|one| !pvect_sys::child::is_ignored(one.as_raw())).map(|one| {
            let stream = signal(SignalKind::from_raw(one.as_raw()));
            let failed = |source| Error::Io { what: "cannot wait for signals".to_owned(), source };
            Ok((one, stream.map_err(failed)?))
        });
        Ok(Self(streams.collect::<Result<_>>()?))
    }

    async fn next(&mut self) -> Signal {
        std::future::poll_fn(|context| {
            let came = self
                .0
                .iter_mut()
                .find_map(|(signal, stream)| stream.poll_recv(context).is_ready().then_some(*signal));
            came.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }
}

/// Runs a call at the other end of ssh without a terminal. Its streams pass through this process, so that they arrive
/// unchanged and without the output of a login shell.
async fn carried(
    runner: &Runner,
    words: Vec<String>,
    shown: Vec<String>,
    mut signals: Signals,
) -> Result<i32> {
    let cancel = CancelHandle::new();
    let runner = Runner::new(runner.config().clone(), cancel.clone());
    let double = |stream: std::os::fd::BorrowedFd<'_>| {
        let broken = |source| Error::Io { what: "cannot duplicate a stream".to_owned(), source };
        stream.try_clone_to_owned().map(Some).map_err(broken)
    };
    let streams = Streams {
        stdin: double(std::io::stdin().as_fd())?,
        stdout: double(std::io::stdout().as_fd())?,
        stderr: double(std::io::stderr().as_fd())?,
    };
    let request = Request { words, shown, ..Request::default() };
    let mut events = ();
    let run = runner.run_on(&request, streams, &mut events);
    tokio::pin!(run);
    let finished = loop {
        tokio::select! {
            finished = &mut run => break finished?,
            _ = signals.next() => cancel.cancel(),
        }
    };
    match (finished.end, finished.exit) {
        (End::Lost { sent }, _) => Err(Error::ConnectionLost {
            node: runner.config().transport.ssh().map(|one| one.target().destination()).unwrap_or_default(),
            may_have_run: sent,
            what: finished.words.clone(),
            vmid: None,
            run: Box::new(finished.to_run()),
        }),
        (_, Some(exit)) => Ok(status_of(exit)),
        // It was stopped before it started, or its end was not seen.
        (_, None) => Ok(128 + Signal::TERM.as_raw()),
    }
}

/// A run on a terminal at the other end of ssh.
struct Far {
    connection: Connection,
    log: Log,
}

impl Far {
    async fn open(connection: &Connection) -> Result<Self> {
        connection.open().await?;
        Ok(Self { connection: connection.clone(), log: Log::new()? })
    }

    fn command(&self, runner: &Runner, words: Vec<String>) -> std::process::Command {
        let config = runner.config();
        let mut command = self.connection.plain(&self.log, &config.env, &config.words(words));
        if let Some((name, value)) = config.env.iter().find(|(name, _)| name == "TERM") {
            // ssh passes this on to the terminal at the other end.
            command.env(name, value);
        }
        command
    }

    /// Tells ssh's own failures apart from the status of the command.
    ///
    /// The script around pct turns a signal into 128 and its number, so ssh's 255 is pct's own unless ssh has said
    /// something or the connection is gone. When a terminal closes, the command on it ends.
    fn ended(&self, exit: Exit) -> std::result::Result<(), String> {
        if exit != Exit::Status(255) {
            return Ok(());
        }
        match self.log.text() {
            text if !text.is_empty() => Err(text),
            _ if !self.connection.lives() => Err("it was closed".to_owned()),
            _ => Ok(()),
        }
    }
}
