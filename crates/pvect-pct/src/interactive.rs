//! Verbs that take over the terminal: `exec`, `enter`, `console`.

use std::io::IsTerminal;
use std::process::Stdio;

use pvect_core::error::Exit;
use pvect_core::{Error, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::runner::exit_of;
use crate::ssh::{Connection, Log, nonce};
use crate::{Runner, program};

/// Runs a call on the caller's own stdin, stdout and stderr and returns its status, 128+signal when it was killed.
///
/// It stays in the caller's process group, so the terminal's size changes, Ctrl-C and Ctrl-\ reach it directly.
/// SIGTERM and SIGHUP are passed on. From the first use on, this process no longer dies of these four signals.
pub(crate) async fn run(runner: &Runner, words: Vec<String>, shown: Vec<String>) -> Result<i32> {
    program::check(runner.config())?;
    let failed = |source: std::io::Error| Error::Spawn {
        what: format!("it did not start: {source}"),
        run: Box::new(pvect_core::error::Run {
            argv: runner.config().command_line(shown.clone()),
            ..Default::default()
        }),
        source: Some(source),
    };
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut quit = signal(SignalKind::quit()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let mut hangup = signal(SignalKind::hangup()).map_err(failed)?;
    let far = match runner.config().transport.ssh() {
        Some(connection) => Some(Far::open(connection).await?),
        None => None,
    };
    let mut command = match &far {
        Some(far) => far.command(runner, words),
        None => runner.command(words, &[]),
    };
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().map_err(failed)?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let pass = |signal: Signal| {
        // It may have ended meanwhile; the wait below tells.
        let _ = pid.map(|pid| kill_process(pid, signal));
    };
    let mut told = false;
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(failed)?,
            _ = interrupt.recv() => told = true,
            _ = quit.recv() => told = true,
            _ = terminate.recv() => { told = true; pass(Signal::TERM); }
            _ = hangup.recv() => { told = true; pass(Signal::HUP); }
        }
    };
    if let Some(far) = far {
        far.ended(exit_of(status), told).await.map_err(|what| Error::ConnectionLost {
            node: far.connection.target().destination(),
            // sshd had no room for the session.
            may_have_run: !what.contains("refused by peer"),
            what,
            vmid: None,
            run: Box::new(pvect_core::error::Run {
                argv: runner.config().command_line(shown.clone()),
                ..Default::default()
            }),
        })?;
    }
    Ok(match exit_of(status) {
        Exit::Status(code) => code,
        Exit::Signal(number) => 128 + number,
    })
}

/// A run at the other end of ssh, on the caller's own streams.
struct Far {
    connection: Connection,
    log: Log,
    nonce: String,
    terminal: bool,
}

impl Far {
    /// Connects. A terminal at the other end is made where our stdin is one.
    async fn open(connection: &Connection) -> Result<Self> {
        connection.open().await?;
        let source = |source| Error::Io { what: "cannot read /dev/urandom".to_owned(), source };
        let terminal = std::io::stdin().is_terminal();
        Ok(Self {
            connection: connection.clone(),
            log: Log::new()?,
            nonce: nonce().map_err(source)?,
            terminal,
        })
    }

    fn command(&self, runner: &Runner, words: Vec<String>) -> std::process::Command {
        let config = runner.config();
        let mut command =
            self.connection.plain(&self.log, &self.nonce, self.terminal, &config.env, &config.words(words));
        if let Some((name, value)) = config.env.iter().find(|(name, _)| name == "TERM") {
            // ssh gives this to the terminal at the other end.
            command.env(name, value);
        }
        command
    }

    /// Tells ssh's own failures from the status of the command, and ends what would go on without us.
    ///
    /// The script around pct turns a signal into 128 and its number, so ssh's 255 is pct's own unless ssh has said
    /// something or the connection is gone.
    async fn ended(&self, exit: Exit, told: bool) -> std::result::Result<(), String> {
        if told && !self.terminal && exit != Exit::Status(0) {
            // Without a terminal, ssh goes and the command stays.
            self.connection.end_by_number(&self.nonce).await;
        }
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
