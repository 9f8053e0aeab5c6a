//! What the other end of ssh tells while a command runs there.

use std::time::{Duration, Instant};

use pvect_core::error::Unavailable;

use crate::ssh::{Connection, Frame, Log};

/// What is known about the other end while a command runs there.
pub(super) struct Session {
    pub(super) connection: Connection,
    pub(super) out: Frame,
    pub(super) err: Frame,
    pub(super) log: Log,
    /// Whether the line that starts pct was written.
    pub(super) sent: bool,
    /// Why there is nothing to start.
    pub(super) missing: Option<Unavailable>,
    /// When the other side must have sent its first mark.
    pub(super) silent_at: Option<Instant>,
    started: Instant,
    /// How long we waited for it in vain.
    silent: Option<Duration>,
}

/// What the first mark says.
pub(super) enum Start {
    /// pct waits for its line: its process id, and that of the script around it.
    Ready(i32, i32),
    /// There is no pct.
    Missing,
}

impl Session {
    pub(super) fn new(connection: Connection, nonce: &str, log: Log) -> Self {
        let started = Instant::now();
        let silent_at = started.checked_add(connection.target().patience);
        let (out, err) = (Frame::new(nonce), Frame::new(nonce));
        Self { connection, out, err, log, sent: false, missing: None, silent_at, started, silent: None }
    }

    /// Returns what the first mark says, when it has come just now.
    pub(super) fn start(&mut self) -> Option<Start> {
        let fields = self.out.opened().filter(|_| !self.sent && self.missing.is_none())?;
        self.silent_at = None;
        let number = |index: usize| fields.get(index).and_then(|field| field.parse().ok());
        match (number(0), number(1), fields.get(2).map(String::as_str)) {
            (Some(pid), Some(session), Some("ok")) if pid > 1 && session > 1 => {
                self.sent = true;
                return Some(Start::Ready(pid, session));
            }
            (_, _, Some("noexec")) => self.missing = Some(Unavailable::NotExecutable),
            _ => self.missing = Some(Unavailable::Missing),
        }
        Some(Start::Missing)
    }

    /// Notes that the first mark did not come in time.
    pub(super) fn give_up(&mut self) {
        self.silent_at = None;
        self.silent = Some(self.started.elapsed());
    }

    /// Returns the status in the last mark.
    pub(super) fn status(&self) -> Option<i32> {
        let fields = self.out.closed().or_else(|| self.err.closed())?;
        fields.first()?.parse().ok()
    }

    /// Whether everything that the command wrote has arrived.
    pub(super) fn is_over(&self) -> bool {
        self.out.closed().is_some() && self.err.closed().is_some()
    }

    /// The message about a lost connection.
    pub(super) fn words(&self) -> String {
        let noise = self.err.before();
        if let Some(waited) = self.silent {
            return format!("no answer within {:.1} s", waited.as_secs_f64());
        }
        match self.log.text() {
            text if !text.is_empty() => text,
            _ if !self.sent && !noise.is_empty() => noise,
            _ => "it was closed".to_owned(),
        }
    }
}
