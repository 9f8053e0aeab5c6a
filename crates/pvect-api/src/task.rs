//! Tasks, followed to their end.

use std::time::{Duration, Instant};

use pvect_core::error::Run;
use pvect_core::schema::Verb;
use pvect_core::upid::Upid;
use pvect_core::{Error, ErrorKind, Events, Outcome, Result, classify};
use serde::Deserialize;
use serde_json::Value;

use crate::api::{Api, Purpose};
use crate::request::{Request, encode};

/// The pauses between two looks: short at first, since most tasks take less than a second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How many lines of a log are asked for at a time.
const PAGE: u32 = 500;

/// A task of the API.
#[derive(Debug, Clone)]
pub struct Task {
    upid: Upid,
    lines: u32,
    log: String,
}

#[derive(Deserialize)]
struct State {
    status: String,
    exitstatus: Option<String>,
}

#[derive(Deserialize)]
struct Line {
    n: u32,
    t: String,
}

impl Task {
    /// Starts to follow a task.
    pub fn new(upid: Upid) -> Self {
        Self { upid, lines: 0, log: String::new() }
    }

    /// Returns the task's name.
    pub fn upid(&self) -> &Upid {
        &self.upid
    }

    fn path(&self, rest: &str) -> String {
        format!("/nodes/{}/tasks/{}/{rest}", encode(self.upid.node.as_str()), encode(&self.upid.to_string()))
    }

    /// Follows the task until it has ended; its log goes to `events` as it comes. A lost connection is made again.
    ///
    /// # Errors
    /// As the task's own end; `PctTimeout` when the limit passes first: the task goes on, and its UPID is in the error.
    pub(crate) async fn follow(
        mut self,
        api: &Api,
        purpose: Purpose,
        events: &mut dyn Events,
    ) -> Result<Outcome> {
        let began = Instant::now();
        let mut pause = FIRST_PAUSE;
        let mut silent_since: Option<Instant> = None;
        loop {
            let looked = tokio::select! {
                biased;
                () = api.interrupted() => return Err(self.left_alone(purpose)),
                looked = self.look(api, events) => looked,
            };
            match looked {
                Ok(Some(end)) => return self.ended(&end, purpose),
                Ok(None) => silent_since = None,
                Err(error) => {
                    let since = *silent_since.get_or_insert_with(Instant::now);
                    let passes = matches!(
                        error.kind(),
                        ErrorKind::ConnectionLost | ErrorKind::ApiUnreachable | ErrorKind::NodeUnreachable
                    );
                    if !passes || since.elapsed() > api.config().patience {
                        return Err(self.unwatched(error, purpose));
                    }
                }
            }
            if began.elapsed() + pause > purpose.limit {
                let message = format!(
                    "the task has not ended after {:.0} s and goes on: {}",
                    purpose.limit.as_secs_f64(),
                    self.upid
                );
                return Err(self.failed(ErrorKind::PctTimeout, message, purpose));
            }
            tokio::select! {
                biased;
                () = api.interrupted() => return Err(self.left_alone(purpose)),
                () = tokio::time::sleep(pause) => {}
            }
            // So the end is seen at most a third of the whole time late.
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// One look: the state first, then what the log has by then, so that nothing of an ended task's log is missed.
    async fn look(&mut self, api: &Api, events: &mut dyn Events) -> Result<Option<String>> {
        let state: State = parse(api.send(&Request::get(self.path("status"))).await?)?;
        loop {
            let request = Request::get(self.path("log"))
                .param("start", self.lines.to_string())
                .param("limit", PAGE.to_string());
            let lines: Vec<Line> = parse(api.send(&request).await?)?;
            let count = lines.len();
            for line in lines {
                // An empty log is one line that says so.
                if line.n <= self.lines || line.t == "no content" {
                    continue;
                }
                self.lines = line.n;
                if !line.t.starts_with("TASK ") {
                    events.log(&line.t);
                    self.log += &line.t;
                    self.log.push('\n');
                }
            }
            if count < PAGE as usize {
                break;
            }
        }
        let ended = state.status == "stopped";
        Ok(ended.then(|| state.exitstatus.unwrap_or_else(|| "unexpected status".to_owned())))
    }

    fn ended(self, end: &str, purpose: Purpose) -> Result<Outcome> {
        if end == "OK" || end.starts_with("WARNINGS: ") {
            let warnings =
                self.log.lines().filter_map(|line| line.strip_prefix("WARN: ")).map(str::to_owned).collect();
            return Ok(Outcome { stdout: self.log.into_bytes(), warnings, status: 0 });
        }
        let verb = purpose.verb.unwrap_or(Verb::Help);
        let (kind, message) = match classify::judge(verb, 255, "", end) {
            classify::Verdict::Failure { kind, message } => (kind, message),
            classify::Verdict::Success { .. } => (ErrorKind::PctOperationFailed, end.to_owned()),
        };
        Err(self.failed(kind, message, purpose))
    }

    fn failed(&self, kind: ErrorKind, message: String, purpose: Purpose) -> Error {
        let run = Run { argv: vec![self.upid.to_string()], stdout: self.log.clone(), ..Run::default() };
        Error::Failed { kind, message, vmid: purpose.vmid, run: Box::new(run) }
    }

    /// The user does not want to wait any more.
    fn left_alone(&self, purpose: Purpose) -> Error {
        let message = format!("interrupted; the task goes on: {}", self.upid);
        self.failed(ErrorKind::PctTimeout, message, purpose)
    }

    fn unwatched(&self, error: Error, purpose: Purpose) -> Error {
        match error.kind() {
            ErrorKind::ConnectionLost | ErrorKind::ApiUnreachable | ErrorKind::NodeUnreachable => {
                Error::ConnectionLost {
                    node: self.upid.node.to_string(),
                    may_have_run: true,
                    what: format!("the task {} could not be watched any more: {error}", self.upid),
                    vmid: purpose.vmid,
                    run: Box::new(Run { stdout: self.log.clone(), ..Run::default() }),
                }
            }
            _ => error,
        }
    }
}

/// Reads data of an expected shape.
pub(crate) fn parse<T: serde::de::DeserializeOwned>(data: Value) -> Result<T> {
    let raw = data.to_string();
    serde_json::from_value(data).map_err(|error| Error::InvalidOutput {
        what: format!("it has another shape than expected: {error}"),
        run: Box::new(Run {
            argv: vec!["GET".to_owned()],
            stdout: raw.chars().take(4096).collect(),
            ..Run::default()
        }),
    })
}
