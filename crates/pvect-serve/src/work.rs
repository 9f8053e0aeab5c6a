//! Workers: one process for each request that changes something.

use std::process::Stdio;
use std::sync::Arc;

use pvect_core::Call;
use pvect_node::Node;
use pvect_node::worker::{self, Answer, Job};
use secrecy::{ExposeSecret, SecretString};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::Command;
use tokio::sync::Semaphore;

use crate::refusal::Refusal;

/// How many workers may be starting (until a task begins or they end) at a time; further ones wait.
const AT_A_TIME: usize = 16;
/// The longest line of a worker, bytes.
const LONGEST_LINE: u64 = 512 * 1024;

/// Starts workers.
#[derive(Debug, Clone)]
pub(crate) struct Workers {
    node: Node,
    places: Arc<Semaphore>,
}

impl Workers {
    pub(crate) fn new(node: Node) -> Self {
        Self { node, places: Arc::new(Semaphore::new(AT_A_TIME)) }
    }

    /// Runs a call for a user. Returns the UPID of its task as soon as that begins, or null when the call is done
    /// without a task. The work goes on even if nobody waits for it any more.
    pub(crate) async fn run(&self, user: &str, call: &Call) -> Result<Value, Refusal> {
        self.start(Job::of(user.to_owned(), call)).await
    }

    /// As [`Workers::run`], for a job of any kind.
    pub(crate) async fn start(&self, job: Job) -> Result<Value, Refusal> {
        let this = self.clone();
        let begun = tokio::spawn(async move { this.begin(job).await });
        begun.await.unwrap_or_else(|_| Err(Refusal::failed("the worker could not be watched")))
    }

    async fn begin(self, job: Job) -> Result<Value, Refusal> {
        let failed = |error: std::io::Error| Refusal::failed(format!("can't start a worker - {error}"));
        let _place = Arc::clone(&self.places).acquire_owned().await;
        let text = serde_json::to_string(&job).map_err(|error| Refusal::failed(error.to_string()))?;
        let text = SecretString::from(text);
        drop(job);
        let mut command = Command::new(&self.node.helper);
        command
            .args(["__node", worker::NAME])
            .arg(self.node.layout.root())
            .arg(self.node.name.as_str())
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().map_err(failed)?;
        if let Some(mut stdin) = child.stdin.take() {
            // If the worker has ended already, its answer says why.
            let _ = stdin.write_all(text.expose_secret().as_bytes()).await;
        }
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            let mut reader = BufReader::new(stdout.take(LONGEST_LINE));
            let _ = reader.read_line(&mut line).await;
        }
        tokio::spawn(async move { child.wait().await });
        match serde_json::from_str(&line) {
            Ok(Answer::Upid(upid)) => Ok(upid.into()),
            Ok(Answer::Done) => Ok(Value::Null),
            Ok(Answer::Failed(failure)) => Err(Refusal::of_failure(&failure)),
            Err(_) => Err(Refusal::failed("the worker ended without a result")),
        }
    }
}
