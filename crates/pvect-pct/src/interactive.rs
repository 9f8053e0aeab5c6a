//! Verbs that take over the terminal: `exec`, `enter`, `console`.

use std::process::Stdio;

use pvect_core::error::Exit;
use pvect_core::{Error, Result};
use rustix::process::{Pid, Signal, kill_process};
use tokio::signal::unix::{SignalKind, signal};

use crate::runner::exit_of;
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
    let mut command = runner.command(words, &[]);
    command.stdin(Stdio::inherit()).stdout(Stdio::inherit()).stderr(Stdio::inherit());
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().map_err(failed)?;
    let pid = child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    let pass = |signal: Signal| {
        // It may have ended meanwhile; the wait below tells.
        let _ = pid.map(|pid| kill_process(pid, signal));
    };
    let status = loop {
        tokio::select! {
            status = child.wait() => break status.map_err(failed)?,
            _ = interrupt.recv() => {}
            _ = quit.recv() => {}
            _ = terminate.recv() => pass(Signal::TERM),
            _ = hangup.recv() => pass(Signal::HUP),
        }
    };
    Ok(match exit_of(status) {
        Exit::Status(code) => code,
        Exit::Signal(number) => 128 + number,
    })
}
