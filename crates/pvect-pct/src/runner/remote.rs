//! A run at the other end of ssh.

use std::process::Stdio;
use std::time::{Duration, Instant};

use pvect_core::error::Unavailable;
use pvect_core::{Error, Events, Result};

use super::session::Session;
use super::watch::{Pumps, Watch};
use super::{End, Finished, Request, Runner, Streams};
use crate::ssh::{Connection, Log, Opened, nonce};

/// How long to try again when the other side has no room for a session.
const REFUSED_LIMIT: Duration = Duration::from_secs(20);
const REFUSED_PAUSE: Duration = Duration::from_millis(250);

impl Runner {
    /// Runs one pct at the other end. If it has certainly not run there, it is tried again on a new connection.
    pub(super) async fn run_far(
        &self,
        connection: &Connection,
        request: &Request,
        streams: Streams,
        events: &mut dyn Events,
    ) -> Result<Finished> {
        let mut pumps = Pumps::from(streams);
        let argv = self.config.command_line(request.shown.clone());
        let started = Instant::now();
        let mut renewed = false;
        loop {
            if self.cancel.is_cancelled() {
                return Ok(Finished::not_started(argv));
            }
            let left = request.limit.map(|limit| limit.saturating_sub(started.elapsed()));
            let opened = tokio::select! {
                opened = within(left, connection.open()) => opened,
                () = self.cancel.reached(1) => return Ok(Finished::not_started(argv)),
            };
            let limit = request.limit.unwrap_or_default();
            let opened = opened.unwrap_or_else(|| {
                Err(connection.unreachable(format!("no answer within {} s", limit.as_secs_f64())))
            })?;
            let _room = connection.session().await;
            let left = request.limit.map(|limit| limit.saturating_sub(started.elapsed()));
            let (finished, missing) =
                self.once(connection, request, left, &mut pumps, argv.clone(), events).await?;
            if let Some(reason) = missing {
                return Err(Error::NotAvailable { path: connection.place(&self.config.program), reason });
            }
            let finished = Finished { duration: started.elapsed(), ..finished };
            if finished.end != (End::Lost { sent: false }) {
                let what = || "cannot pass stdout on".to_owned();
                pumps.flush().await.map_err(|source| Error::Io { what: what(), source })?;
                return Ok(finished);
            }
            let refused = finished.words.contains("refused by peer");
            if refused && started.elapsed() < REFUSED_LIMIT {
                tracing::debug!("no room for a session; trying again");
                tokio::time::sleep(REFUSED_PAUSE).await;
            } else if opened == Opened::Before && !renewed {
                tracing::info!(why = finished.words, "the kept connection is dead; connecting again");
                renewed = true;
                connection.retire().await?;
            } else {
                return Ok(finished);
            }
        }
    }

    async fn once(
        &self,
        connection: &Connection,
        request: &Request,
        limit: Option<Duration>,
        pumps: &mut Pumps,
        argv: Vec<String>,
        events: &mut dyn Events,
    ) -> Result<(Finished, Option<Unavailable>)> {
        let failed = |source: std::io::Error| Error::Spawn {
            what: format!("it did not start: {source}"),
            run: Box::new(pvect_core::error::Run { argv: argv.clone(), ..Default::default() }),
            source: Some(source),
        };
        let (number, log) = (nonce().map_err(failed)?, Log::new()?);
        let env: Vec<(String, String)> = self.config.env.iter().chain(&request.env).cloned().collect();
        let words = self.config.words(request.words.clone());
        let mut command = connection.marked(&log, &number, &env, &words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let mut command = tokio::process::Command::from(command);
        let child = command.kill_on_drop(true).spawn().map_err(failed)?;
        let request = &Request { limit, ..request.clone() };
        let mut watch = Watch::new(self, request, child, None);
        watch.far = Some(Session::new(connection.clone(), &number, log));
        std::mem::swap(&mut watch.pumps, pumps);
        let started = Instant::now();
        watch.follow(events).await;
        // If nothing was sent they are untouched, for another try.
        std::mem::swap(&mut watch.pumps, pumps);
        let missing = watch.far.as_mut().and_then(|far| far.missing.take());
        if watch.end == End::Cancelled && !watch.may_feed() {
            return Ok((Finished::not_started(argv), missing));
        }
        Ok((watch.finish(argv.clone(), started.elapsed(), events), missing))
    }
}

/// Waits as long as there is time left; `None` when it is over.
async fn within<T>(left: Option<Duration>, work: impl Future<Output = T>) -> Option<T> {
    match left {
        Some(left) => tokio::time::timeout(left, work).await.ok(),
        None => Some(work.await),
    }
}
