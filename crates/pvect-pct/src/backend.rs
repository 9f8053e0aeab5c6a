//! pct behind the traits of pvect-core.

mod ended;
mod reads;

use std::time::Duration;

use async_trait::async_trait;
use pvect_core::call::Value;
use pvect_core::error::{Exit, Run, Unavailable};
use pvect_core::schema::TimeClass;
use pvect_core::{Call, CheckedCall, Error, Events, Inspect, Operate, Outcome, Result, Verb};
use secrecy::ExposeSecret;
use tracing::Instrument;

use crate::config::{PctConfig, Transport};
use crate::copy::Copies;
use crate::runner::{Finished, Request, Runner, Streams};
use crate::warned::Warned;
use crate::{CancelHandle, copy, interactive, program};

/// The option that pct asks for on its own when it has no value.
const PASSWORD: &str = "password";
/// How long a look at what was left behind may take.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// How long a file may travel when nothing else is set.
const COPY_LIMIT: Duration = Duration::from_secs(30 * 60);

/// Drives one pct. Clones share the cancel handle.
#[derive(Debug, Clone)]
pub struct PctBackend {
    pub(crate) runner: Runner,
    warned: Warned,
}

/// What a captured `exec` gave.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Captured {
    /// The status of the command: 126 not executable, 127 not found, 128+signal when killed.
    pub status: i32,
    /// Its stdout, byte for byte.
    pub stdout: Vec<u8>,
    /// Its stderr, byte for byte.
    pub stderr: Vec<u8>,
}

impl PctBackend {
    /// Makes a backend. Nothing is started; [`PctBackend::probe`] finds out whether pct is there.
    pub fn new(config: PctConfig) -> Self {
        Self { runner: Runner::new(config, CancelHandle::new()), warned: Warned::default() }
    }

    /// Makes the backend's runs stop when the handle is cancelled.
    #[must_use]
    pub fn with_cancel(self, handle: CancelHandle) -> Self {
        Self { runner: Runner::new(self.runner.config().clone(), handle), ..self }
    }

    /// Keeps what pct warns of while it is only read in a place that the caller has, too.
    #[must_use]
    pub fn with_warned(self, warned: Warned) -> Self {
        Self { warned, ..self }
    }

    /// Returns the configuration.
    pub fn pct_config(&self) -> &PctConfig {
        self.runner.config()
    }

    /// Returns the command line of a call, program first, secrets masked: what `--dry-run` shows.
    pub fn command_line(&self, call: &Call) -> Vec<String> {
        let far = self.pct_config().transport.ssh().is_some();
        let words = if far { copy::shown(call).masked_argv() } else { call.masked_argv() };
        self.pct_config().command_line(words)
    }

    /// Checks that pct can be run: the file, and root or sudo. On another node it is run, to list containers.
    ///
    /// # Errors
    /// `NotAvailable` for a missing or not executable program and for a sudo that refuses, `PermissionDenied` without
    /// root.
    pub async fn probe(&self) -> Result<()> {
        program::check(self.pct_config())?;
        if self.pct_config().transport.ssh().is_some() {
            // Only running it shows whether it works.
            return self.list().await.map(drop);
        }
        let Transport::Sudo { program: sudo } = &self.pct_config().transport else { return Ok(()) };
        let mut command = tokio::process::Command::new(sudo);
        command.args(["-n", "-l", "--"]).arg(&self.pct_config().program).env_clear().kill_on_drop(true);
        let refused = |text: String| Error::NotAvailable {
            path: self.pct_config().program.clone(),
            reason: Unavailable::Sudo(text),
        };
        match tokio::time::timeout(LOOK_LIMIT, command.stdin(std::process::Stdio::null()).output()).await {
            Err(_) => Err(refused("it does not answer".into())),
            Ok(Err(error)) => Err(refused(error.to_string())),
            Ok(Ok(output)) if output.status.success() => Ok(()),
            Ok(Ok(output)) => Err(refused(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    }

    /// Runs `exec`, `enter` or `console` on the caller's terminal and returns the status, 128+signal when killed.
    ///
    /// stdin, stdout and stderr are inherited and the process stays in the foreground process group, so size changes
    /// and the terminal's signals reach it without help. Time-outs do not apply. From then on this process does not die
    /// of SIGINT, SIGQUIT, SIGTERM and SIGHUP any more: the terminal sends the first two to the command itself, the
    /// other two are passed on. pct's own messages go to the terminal, so they cannot be told apart from the command's.
    ///
    /// # Errors
    /// When pct is not there or does not start.
    pub async fn interactive(&self, call: &CheckedCall) -> Result<i32> {
        Self::deliverable(call)?;
        let span = span(call, &call.masked_argv());
        let inner = span.clone();
        async move {
            let started = std::time::Instant::now();
            let status = interactive::run(&self.runner, call.argv(), call.masked_argv()).await?;
            record(&inner, started.elapsed(), Some(Exit::Status(status)));
            Ok(status)
        }
        .instrument(span)
        .await
    }

    /// Runs `exec` with the given stdin and keeps what the command writes.
    ///
    /// # Errors
    /// As [`Operate::operate`]; output beyond the bound ends the run with `InvalidOutput`, so nothing is cut silently.
    pub async fn exec_captured(&self, call: &CheckedCall, stdin: Option<Vec<u8>>) -> Result<Captured> {
        Self::deliverable(call)?;
        let finished = self.run(call, call.argv(), stdin, &mut ()).await?;
        let status = self.verdict(call, &finished)?.1;
        Ok(Captured { status, stdout: finished.stdout, stderr: finished.stderr })
    }

    /// Runs `exec` between streams of the caller's own, of any length. [`Captured::stdout`] is empty when stdout goes
    /// to one of them.
    ///
    /// # Errors
    /// As [`PctBackend::exec_captured`].
    pub async fn exec_piped(&self, call: &CheckedCall, streams: Streams) -> Result<Captured> {
        Self::deliverable(call)?;
        let finished = self.run_on(call, call.argv(), None, streams, &mut ()).await?;
        let status = self.verdict(call, &finished)?.1;
        Ok(Captured { status, stdout: finished.stdout, stderr: finished.stderr })
    }

    /// Refuses what cannot be handed to a process.
    fn deliverable(call: &CheckedCall) -> Result<()> {
        if call.argv().iter().any(|word| word.contains('\0')) {
            return Err(Error::bad_argument("arguments", "a NUL byte cannot be handed to pct"));
        }
        for (name, value) in call.options() {
            let Value::Secret(secret) = value else { continue };
            if name != PASSWORD {
                let text = "pct does not ask for this option, and a secret is never put into argv";
                return Err(Error::bad_option(name, text));
            }
            if secret.expose_secret().contains(['\n', '\r', '\0']) {
                return Err(Error::bad_option(name, "must not contain a line break or NUL"));
            }
        }
        Ok(())
    }

    /// Runs a call to its own end; a run that had to be stopped is an error here.
    async fn run(
        &self,
        call: &Call,
        words: Vec<String>,
        stdin: Option<Vec<u8>>,
        events: &mut dyn Events,
    ) -> Result<Finished> {
        self.run_on(call, words, stdin, Streams::default(), events).await
    }

    async fn run_on(
        &self,
        call: &Call,
        words: Vec<String>,
        stdin: Option<Vec<u8>>,
        streams: Streams,
        events: &mut dyn Events,
    ) -> Result<Finished> {
        let spec = call.verb().spec();
        let in_utc = call.verb() == Verb::Listsnapshot;
        let request = Request {
            shown: if words == call.argv() { call.masked_argv() } else { words.clone() },
            words,
            env: if in_utc { vec![("TZ".into(), "UTC".into())] } else { Vec::new() },
            stdin,
            password: call.get_secret(PASSWORD).cloned(),
            limit: self.pct_config().limit(call),
            // A task goes on: its log is not parsed, and half a task is worse than half a log.
            stop_on_flood: spec.task.is_none() || spec.time == TimeClass::Read,
        };
        self.ended(call, &request, streams, events).await
    }

    async fn done(&self, call: &Call, events: &mut dyn Events) -> Result<Outcome> {
        let finished = self.run(call, call.argv(), None, events).await?;
        let (warnings, status) = self.verdict(call, &finished)?;
        Ok(Outcome { stdout: finished.stdout, warnings, status })
    }

    /// Does what goes on while pct does not run, unless the caller cancels.
    async fn unless_cancelled<T>(&self, call: &Call, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            () = self.runner.cancelled() => Err(Error::Timeout {
                after: Duration::ZERO,
                interrupted: true,
                vmid: call.vmid(),
                left: Box::default(),
                run: Box::new(Run { argv: self.command_line(call), ..Run::default() }),
            }),
        }
    }

    /// Reads what a cluster's files at the other end of ssh say about ids: `nodes/NODE/lxc/VMID.conf` and the like, and
    /// the line `next-id` of datacenter.cfg, one a line. `pve` is `/etc/pve` there. Without ssh it is empty.
    ///
    /// # Errors
    /// When the other end cannot be reached.
    pub async fn cluster_files(&self, pve: &str) -> Result<String> {
        match self.pct_config().transport.ssh() {
            Some(connection) => connection.cluster_files(pve).await,
            None => Ok(String::new()),
        }
    }
}

fn span(call: &Call, shown: &[String]) -> tracing::Span {
    tracing::info_span!(
        "pct",
        verb = call.verb().name(),
        vmid = call.vmid().map(|vmid| vmid.get()),
        argv = pvect_core::call::shell_quoted(shown),
        duration_ms = tracing::field::Empty,
        exit = tracing::field::Empty,
    )
}

fn record(span: &tracing::Span, duration: Duration, exit: Option<Exit>) {
    span.record("duration_ms", u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    if let Some(exit) = exit {
        span.record("exit", exit.to_string());
    }
    tracing::debug!("pct ended");
}

#[async_trait]
impl Operate for PctBackend {
    async fn operate(&self, call: &CheckedCall, events: &mut dyn Events) -> Result<Outcome> {
        Self::deliverable(call)?;
        let far = self.pct_config().transport.ssh().filter(|_| copy::are_needed(call));
        let Some(connection) = far else { return self.done(call, events).await };
        let limit = self.pct_config().limit(call).unwrap_or(COPY_LIMIT);
        let (copies, new) = self.unless_cancelled(call, Copies::send(connection, call, limit)).await?;
        let done = async {
            let outcome = self.done(&new, events).await?;
            self.unless_cancelled(call, copies.fetch()).await?;
            Ok(outcome)
        };
        let done = done.await;
        copies.remove().await;
        done
    }
}
