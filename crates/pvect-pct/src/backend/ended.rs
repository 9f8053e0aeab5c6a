//! What became of a run: its end, its verdict, and what a run that was stopped left behind.

use std::time::Duration;

use pvect_core::classify::{Verdict, judge};
use pvect_core::error::{Exit, LeftBehind, Run, Unavailable};
use pvect_core::{Call, Error, Events, Lock, Result, Verb};
use tracing::Instrument;

use super::{LOOK_LIMIT, PctBackend, record, span};
use crate::CancelHandle;
use crate::config::{PctConfig, Transport};
use crate::parse;
use crate::runner::{End, Finished, Request, Runner, Streams};

/// The grace period of a check that also hangs.
const LOOK_GRACE: Duration = Duration::from_secs(1);

impl PctBackend {
    /// Runs a request until pct ends by itself; a run that had to be stopped is an error.
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

    /// Checks what a stopped change left behind, as far as that can be seen in a short time.
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
        // With a handle of its own, because the cancelled one would stop this run, too.
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
}
