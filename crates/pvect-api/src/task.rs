//! Tasks, followed to their end.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pvect_core::error::{Finding, Run};
use pvect_core::schema::Verb;
use pvect_core::upid::Upid;
use pvect_core::{Error, ErrorKind, Events, Outcome, Result, classify};
use serde::Deserialize;
use serde_json::Value;

use crate::answer::{LONGEST_TEXT, bounded};
use crate::api::{Api, Purpose};
use crate::request::{Request, encode};

/// The pauses between two checks: short at first, because most tasks take less than a second.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How many lines of a log are requested at a time.
const PAGE: usize = 500;
/// How many pages are read in one check, because a server that always had one more would never be asked for the state
/// again.
const PAGES: usize = 100;
/// The longest line of a log, in bytes.
const LONGEST_LINE: usize = 64 * 1024;
/// How much is kept of a log's beginning, and how much of its end, in bytes. All of it goes to the events.
const KEPT: usize = 2 * 1024 * 1024;
/// The overhead of a kept line at the end, in bytes.
const LINE_COST: usize = 32;

/// What is kept of a log: its beginning and its end.
#[derive(Debug, Clone, Default)]
struct Kept {
    head: String,
    tail: VecDeque<String>,
    size: usize,
    omitted: u64,
}

impl Kept {
    fn push(&mut self, line: &str) {
        if self.tail.is_empty() && self.head.len() + line.len() < KEPT {
            self.head += line;
            self.head.push('\n');
            return;
        }
        self.size += line.len() + LINE_COST;
        self.tail.push_back(line.to_owned());
        while self.size > KEPT {
            let Some(first) = self.tail.pop_front() else { return };
            self.size -= first.len() + LINE_COST;
            self.omitted += 1;
        }
    }

    /// The lines; if some are missing, one line says so.
    fn lines(&self) -> impl Iterator<Item = String> {
        let missing = (self.omitted > 0).then(|| format!("[... {} lines left out ...]", self.omitted));
        self.head.lines().map(str::to_owned).chain(missing).chain(self.tail.iter().cloned())
    }

    fn text(&self) -> String {
        self.lines().fold(String::new(), |text, line| text + &line + "\n")
    }
}

/// A task of the API.
#[derive(Debug, Clone)]
pub struct Task {
    upid: Upid,
    lines: u32,
    log: Kept,
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
        Self { upid, lines: 0, log: Kept::default() }
    }

    /// Returns the task's name.
    pub fn upid(&self) -> &Upid {
        &self.upid
    }

    fn path(&self, rest: &str) -> String {
        format!("/nodes/{}/tasks/{}/{rest}", encode(self.upid.node.as_str()), encode(&self.upid.to_string()))
    }

    /// Follows the task until it has ended; its log goes to `events` as it comes. A lost connection is made anew.
    ///
    /// # Errors
    /// As the task's own end; `PctTimeout` when the limit passes first: the task goes on, and its UPID is in the error.
    pub(crate) async fn follow(
        mut self,
        api: &Api,
        purpose: Purpose,
        events: &mut dyn Events,
    ) -> Result<Outcome> {
        let mut pause = FIRST_PAUSE;
        let mut silent_since: Option<Instant> = None;
        loop {
            let looked = tokio::select! {
                biased;
                () = api.interrupted() => return Err(self.left_alone(purpose)),
                // The limit applies however slowly the server answers, and however long the log is.
                looked = tokio::time::timeout(purpose.left(), self.look(api, events)) => looked,
            };
            let Ok(looked) = looked else { return Err(self.not_ended(purpose)) };
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
            if pause > purpose.left() {
                return Err(self.not_ended(purpose));
            }
            tokio::select! {
                biased;
                () = api.interrupted() => return Err(self.left_alone(purpose)),
                () = tokio::time::sleep(pause) => {}
            }
            // So the end is noticed late by at most a third of the whole time.
            pause = (pause * 3 / 2).min(LONGEST_PAUSE);
        }
    }

    /// One check: first the state, then what the log has by then, so that nothing of an ended task's log is missed.
    async fn look(&mut self, api: &Api, events: &mut dyn Events) -> Result<Option<String>> {
        let state: State = parse(api.send(&Request::get(self.path("status"))).await?)?;
        let ended = state.status == "stopped";
        let mut whole = false;
        for _ in 0..PAGES {
            let request = Request::get(self.path("log"))
                .param("start", self.lines.to_string())
                .param("limit", PAGE.to_string());
            let lines: Vec<Line> = parse(api.send(&request).await?)?;
            let count = lines.len();
            if count > PAGE {
                return Err(Error::InvalidOutput {
                    what: format!("it has {count} lines of a log where {PAGE} were asked for"),
                    run: Box::default(),
                });
            }
            let (before, mut is_last) = (self.lines, false);
            for line in lines {
                // An empty log has one line that says so.
                if line.n <= self.lines || line.t == "no content" {
                    continue;
                }
                self.lines = line.n;
                is_last = line.t.starts_with("TASK ");
                if !is_last {
                    let text = bounded(line.t, LONGEST_LINE);
                    events.log(&text);
                    self.log.push(&text);
                }
            }
            // A page may be short because its lines are long. For a task that has ended this is the last check, so read
            // on.
            if self.lines == before || (count < PAGE && (is_last || !ended)) {
                whole = true;
                break;
            }
        }
        if ended && !whole {
            let text = format!("the log goes on after line {}: {}", self.lines, self.upid);
            events.warning(&text);
        }
        let end = state.exitstatus.unwrap_or_else(|| "unexpected status".to_owned());
        Ok(ended.then(|| bounded(end, LONGEST_TEXT)))
    }

    /// The limit has passed.
    fn not_ended(&self, purpose: Purpose) -> Error {
        self.goes_on(Some(purpose.limit), purpose)
    }

    fn ended(self, end: &str, purpose: Purpose) -> Result<Outcome> {
        if end == "OK" || end.starts_with("WARNINGS: ") {
            let warnings =
                self.log.lines().filter_map(|line| line.strip_prefix("WARN: ").map(str::to_owned)).collect();
            return Ok(Outcome { stdout: self.log.text().into_bytes(), warnings, status: 0 });
        }
        let verb = purpose.verb.unwrap_or(Verb::Help);
        let (kind, message) = match classify::judge(verb, 255, "", end) {
            classify::Verdict::Failure { kind, message } => (kind, message),
            classify::Verdict::Success { .. } => (ErrorKind::PctOperationFailed, end.to_owned()),
        };
        Err(self.failed(kind, message, purpose))
    }

    fn failed(&self, kind: ErrorKind, message: String, purpose: Purpose) -> Error {
        Error::Failed { kind, message, vmid: purpose.vmid, run: Box::new(self.run()) }
    }

    /// The user does not want to wait any more.
    fn left_alone(&self, purpose: Purpose) -> Error {
        self.goes_on(None, purpose)
    }

    fn goes_on(&self, after: Option<Duration>, purpose: Purpose) -> Error {
        let finding = Finding::TaskGoesOn { upid: self.upid.to_string(), after };
        Error::Found { finding, vmid: purpose.vmid, run: Some(Box::new(self.run())) }
    }

    fn run(&self) -> Run {
        Run { argv: vec![self.upid.to_string()], stdout: self.log.text(), ..Run::default() }
    }

    fn unwatched(&self, error: Error, purpose: Purpose) -> Error {
        match error.kind() {
            ErrorKind::ConnectionLost | ErrorKind::ApiUnreachable | ErrorKind::NodeUnreachable => {
                Error::ConnectionLost {
                    node: self.upid.node.to_string(),
                    may_have_run: true,
                    what: format!("the task {} could not be watched any more: {error}", self.upid),
                    vmid: purpose.vmid,
                    run: Box::new(Run { stdout: self.log.text(), ..Run::default() }),
                }
            }
            _ => error,
        }
    }
}

/// Reads data of an expected shape.
#[expect(clippy::needless_pass_by_value, reason = "no caller has a use for it afterwards")]
pub(crate) fn parse<T: serde::de::DeserializeOwned>(data: Value) -> Result<T> {
    T::deserialize(&data).map_err(|error| Error::InvalidOutput {
        what: format!("it does not have the expected form: {error}"),
        run: Box::new(Run {
            argv: vec!["GET".to_owned()],
            stdout: data.to_string().chars().take(4096).collect(),
            ..Run::default()
        }),
    })
}
