//! pct behind the traits of pvect-core.

use std::time::Duration;

use async_trait::async_trait;
use pvect_core::backend::ConfigView;
use pvect_core::call::Value;
use pvect_core::config::{PendingItem, SnapshotEntry};
use pvect_core::error::{Exit, LeftBehind, Run, Unavailable};
use pvect_core::schema::TimeClass;
use pvect_core::{
    Call, CheckedCall, ContainerConfig, Error, Events, Inspect, Listing, Lock, Operate, Outcome, Result,
    Status, Verb, Vmid,
};
use secrecy::ExposeSecret;
use tracing::Instrument;

use crate::config::{PctConfig, Transport};
use crate::copy::Copies;
use crate::parse::{self, Clock, ParseError};
use crate::runner::{End, Finished, Request, Runner, Streams};
use crate::warned::Warned;
use crate::{CancelHandle, copy, interactive, program};
use pvect_core::classify::{Verdict, judge};

/// The option that pct asks for on its own when it has no value.
const PASSWORD: &str = "password";
/// How long a look at what was left behind may take.
const LOOK_LIMIT: Duration = Duration::from_secs(5);
/// How long a file may travel when nothing else is set.
const COPY_LIMIT: Duration = Duration::from_secs(30 * 60);
/// The grace of a look that hangs too.
const LOOK_GRACE: Duration = Duration::from_secs(1);

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
            // Only running it tells.
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
    /// and the terminal's signals reach it without help. Time-outs do not apply. From then on this process does not
    /// die of SIGINT, SIGQUIT, SIGTERM and SIGHUP any more: the terminal sends the first two to the command itself, the
    /// other two are passed on. pct's own messages go to the terminal, so they cannot be told from the command's.
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

    /// Runs a request to its own end; a run that had to be stopped is an error here.
    pub(crate) async fn ended(
        &self,
        call: &Call,
        request: &Request,
        streams: Streams,
        events: &mut dyn Events,
    ) -> Result<Finished> {
        let span = span(call, &request.shown);
        let finished = async {
            let finished = self.runner.run_on(request, streams, events).await?;
            record(&tracing::Span::current(), finished.duration, finished.exit);
            Ok::<_, Error>(finished)
        }
        .instrument(span)
        .await?;
        match finished.end {
            End::Exited => Ok(finished),
            End::Flooded => Err(Error::InvalidOutput {
                what: format!("it wrote more than {} bytes and was stopped", self.pct_config().output_limit),
                run: Box::new(finished.to_run()),
            }),
            End::Lost { sent } => Err(self.lost(sent, call, &finished)),
            End::TimedOut | End::Cancelled => Err(Error::Timeout {
                after: finished.duration,
                interrupted: finished.end == End::Cancelled,
                vmid: call.vmid(),
                left: Box::new(self.look(call).await),
                run: Box::new(finished.to_run()),
            }),
        }
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

    fn lost(&self, may_have_run: bool, call: &Call, finished: &Finished) -> Error {
        let ssh = self.pct_config().transport.ssh();
        Error::ConnectionLost {
            node: ssh.map(|connection| connection.target().destination()).unwrap_or_default(),
            may_have_run,
            what: finished.words.clone(),
            vmid: call.vmid(),
            run: Box::new(finished.to_run()),
        }
    }

    /// Looks at what a stopped change left behind, as far as that can be seen in a short time.
    async fn look(&self, call: &Call) -> LeftBehind {
        let mut left = LeftBehind::default();
        let Some(vmid) = call.vmid().filter(|_| call.verb().spec().mutates) else { return left };
        let words = Call::on(Verb::Status, vmid).flag("verbose", true).argv();
        let request = Request {
            shown: words.clone(),
            words,
            limit: Some(LOOK_LIMIT),
            stop_on_flood: true,
            ..Request::default()
        };
        let config = self.pct_config();
        let config = PctConfig { grace: config.grace.min(LOOK_GRACE), ..config.clone() };
        // A handle of its own: that the run was cancelled does not keep us from looking.
        let runner = Runner::new(config, CancelHandle::new());
        let Ok(seen) = runner.run(&request, &mut ()).await else { return left };
        if let (End::Exited, Ok(status)) = (seen.end, parse::status(&seen.stdout)) {
            left.fix = status.lock.as_ref().map(|lock| match lock {
                Lock::Mounted => format!("pct unmount {vmid}"),
                _ => format!("pct unlock {vmid}"),
            });
            left.lock = status.lock;
            left.status = Some(status.status);
        }
        left
    }

    /// Turns a run that ended by itself into warnings and a status, or into its error.
    pub(crate) fn verdict(&self, call: &Call, finished: &Finished) -> Result<(Vec<String>, i32)> {
        let run = finished.to_run();
        let status = match finished.exit {
            Some(Exit::Status(status)) => status,
            ended => {
                let what = ended
                    .map_or("it may still be running".to_owned(), |exit| format!("it was ended by {exit}"));
                return Err(Error::Spawn { what, run: Box::new(run), source: None });
            }
        };
        if let Some(error) = self.sudo_refused(status, &run) {
            return Err(error);
        }
        match judge(call.verb(), status, &run.stdout, &run.stderr) {
            Verdict::Failure { kind, message } => {
                Err(Error::Failed { kind, message, vmid: call.vmid(), run: Box::new(run) })
            }
            Verdict::Success { mut warnings } => {
                if finished.cut {
                    let limit = self.pct_config().output_limit;
                    warnings.push(format!("only the first {limit} bytes of the output were kept"));
                }
                Ok((warnings, status))
            }
        }
    }

    fn sudo_refused(&self, status: i32, run: &Run) -> Option<Error> {
        let config = self.pct_config();
        let through_sudo = match &config.transport {
            Transport::Local => false,
            Transport::Sudo { .. } => true,
            Transport::Ssh(connection) => connection.target().sudo,
        };
        let text = run.stderr.lines().find_map(|line| line.strip_prefix("sudo: "))?;
        (through_sudo && status == 1).then(|| Error::NotAvailable {
            path: match config.transport.ssh() {
                Some(connection) => connection.place(&config.program),
                None => config.program.clone(),
            },
            reason: Unavailable::Sudo(text.to_owned()),
        })
    }

    /// Runs a read, which is made of typed values, and parses what it printed.
    async fn read<T>(&self, call: &Call, parse: impl Fn(&[u8]) -> Result<T, ParseError>) -> Result<T> {
        self.read_words(call, call.argv(), parse).await
    }

    async fn read_words<T>(
        &self,
        call: &Call,
        words: Vec<String>,
        parse: impl Fn(&[u8]) -> Result<T, ParseError>,
    ) -> Result<T> {
        let finished = self.run(call, words, None, &mut ()).await?;
        let (warnings, _) = self.verdict(call, &finished)?;
        self.warned.keep(call.vmid(), warnings);
        parse(&finished.stdout).map_err(|error| Error::InvalidOutput {
            what: error.to_string(),
            run: Box::new(finished.to_run()),
        })
    }

    /// Reads the one word of `pct status`.
    ///
    /// # Errors
    /// As [`Inspect::status`].
    pub async fn state(&self, vmid: Vmid) -> Result<pvect_core::RunState> {
        self.read(&Call::on(Verb::Status, vmid), parse::state).await
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
impl Inspect for PctBackend {
    async fn list(&self) -> Result<Vec<Listing>> {
        let call = Call::new(Verb::List);
        if self.pct_config().json_list {
            let words = vec!["list".to_owned(), "--output-format".to_owned(), "json".to_owned()];
            return self.read_words(&call, words, parse::list_json).await;
        }
        self.read(&call, parse::list).await
    }

    async fn status(&self, vmid: Vmid) -> Result<Status> {
        self.read(&Call::on(Verb::Status, vmid).flag("verbose", true), parse::status).await
    }

    async fn config(&self, vmid: Vmid, view: &ConfigView) -> Result<ContainerConfig> {
        let call = Call::on(Verb::Config, vmid);
        let call = match view {
            ConfigView::Pending => call,
            ConfigView::Current => call.flag("current", true),
            ConfigView::Snapshot(name) => call.option("snapshot", name.as_str()),
        };
        self.read(&call, parse::config).await
    }

    async fn pending(&self, vmid: Vmid) -> Result<Vec<PendingItem>> {
        self.read(&Call::on(Verb::Pending, vmid), parse::pending).await
    }

    /// The time of a snapshot is left out through sudo, which may drop the time zone that was asked for.
    async fn snapshots(&self, vmid: Vmid) -> Result<Vec<SnapshotEntry>> {
        let clock = match self.pct_config().transport {
            // Through ssh the zone is set after sudo.
            Transport::Local | Transport::Ssh(_) => Clock::Utc,
            Transport::Sudo { .. } => Clock::Unknown,
        };
        self.read(&Call::on(Verb::Listsnapshot, vmid), |output| parse::snapshots(output, clock)).await
    }
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
