//! Helpers: short scripts of ours that run at the other end.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};

use super::Connection;
use super::log::{Log, plain_words};
use crate::ssh::{Frame, nonce};

/// How long a helper may take: reading the process table, sending signals.
const HELPER_LIMIT: Duration = Duration::from_secs(10);
/// How much a helper may write to each stream, in bytes. A table of 20,000 processes takes a third of it.
const HELPER_OUTPUT: u64 = 16 << 20;

/// The result of a helper at the other end.
pub(in crate::ssh) struct Helped {
    /// Its status; 255 may be ssh's.
    pub(in crate::ssh) status: Option<i32>,
    /// What it wrote to stdout.
    pub(in crate::ssh) stdout: Vec<u8>,
    /// What it wrote to stderr, and ssh's own messages.
    pub(in crate::ssh) stderr: String,
    /// It wrote more than any helper does, so not all of it was read.
    pub(in crate::ssh) excess: bool,
}

/// Reads a stream to its end; `FileTooLarge` when it is too long.
async fn heard(stream: Option<impl AsyncRead + Unpin>) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if let Some(stream) = stream {
        stream.take(HELPER_OUTPUT + 1).read_to_end(&mut bytes).await?;
    }
    if bytes.len() as u64 > HELPER_OUTPUT { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

impl Connection {
    /// Runs a constant script at the other end and reads what it writes between its marks. `None` when it did not end
    /// in time.
    pub(in crate::ssh) async fn help(&self, text: &str, args: &[String], stdin: Stdio) -> Option<Helped> {
        self.help_within(HELPER_LIMIT, text, args, stdin).await
    }

    /// As [`Connection::help`], with a time of its own.
    pub(in crate::ssh) async fn help_within(
        &self,
        limit: Duration,
        text: &str,
        args: &[String],
        stdin: Stdio,
    ) -> Option<Helped> {
        let (log, nonce) = (Log::new().ok()?, nonce().ok()?);
        let mut command = self.helper(&log, &nonce, text, args);
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Killed on drop, even if it never ends by itself.
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().ok()?;
        let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
        let work = async {
            let (stdout, stderr) = tokio::try_join!(heard(stdout), heard(stderr))?;
            Ok((child.wait().await?, stdout, stderr))
        };
        let (status, output, errors) = match tokio::time::timeout(limit, work).await.ok()? {
            Ok(done) => done,
            Err(error) if io::Error::kind(&error) == io::ErrorKind::FileTooLarge => {
                let stderr = format!("it sent more than {} MiB", HELPER_OUTPUT >> 20);
                return Some(Helped { status: None, stdout: Vec::new(), stderr, excess: true });
            }
            Err(_) => return None,
        };
        let mut frame = Frame::new(&nonce);
        let mut stdout = frame.push(&output);
        stdout.extend(frame.finish());
        let words = [log.text(), plain_words(&String::from_utf8_lossy(&errors))];
        let stderr = words.into_iter().filter(|text| !text.is_empty()).collect::<Vec<_>>().join("; ");
        Some(Helped { status: status.code(), stdout, stderr, excess: false })
    }
}
