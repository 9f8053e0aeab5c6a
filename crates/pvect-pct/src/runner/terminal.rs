//! A controlling terminal for a pct that asks for a password there.

use std::io;

use pty_process::{Pts, Pty};
use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
use secrecy::{ExposeSecret, SecretString};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;

/// pct asks twice; a program that asks more often has refused the answer.
const MAX_ANSWERS: usize = 2;
/// A prompt is short, so only the end of a longer text is checked.
const PROMPT_LIMIT: usize = 256;

/// The master side of the pty.
pub(super) struct Terminal {
    pty: Pty,
    /// Kept open so that reading does not fail before the process has opened its terminal.
    _pts: Pts,
    text: Vec<u8>,
    /// What is still to be written; kept here because a turn of `serve` may be dropped at any await.
    reply: Vec<u8>,
    answers: usize,
}

impl Terminal {
    /// Starts the command as the leader of a new session on a new pty that does not echo. Its streams stay as they are.
    pub(super) fn spawn(command: std::process::Command) -> io::Result<(Child, Self)> {
        let (pty, pts) = pty_process::open().map_err(to_io)?;
        let mut modes = tcgetattr(&pts)?;
        modes
            .local_modes
            .remove(LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ECHOE | LocalModes::ECHOK);
        tcsetattr(&pts, OptionalActions::Now, &modes)?;
        let child = leader(command).spawn_borrowed(&pts).map_err(to_io)?;
        Ok((child, Self { pty, _pts: pts, text: Vec::new(), reply: Vec::new(), answers: 0 }))
    }

    /// Takes one turn: reads what is written to the terminal, or answers a prompt for the password.
    ///
    /// # Errors
    /// When the terminal is closed, or a third answer is asked for: dropping the terminal then hangs it up.
    pub(super) async fn serve(&mut self, password: &SecretString) -> io::Result<()> {
        if !self.reply.is_empty() {
            let count = self.pty.write(&self.reply).await?;
            self.reply.drain(..count);
            return Ok(());
        }
        let mut buffer = [0; 256];
        let count = self.pty.read(&mut buffer).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.text.extend_from_slice(&buffer[..count]);
        let excess = self.text.len().saturating_sub(PROMPT_LIMIT);
        self.text.drain(..excess);
        if is_prompt(&self.text) {
            if self.answers == MAX_ANSWERS {
                return Err(io::ErrorKind::PermissionDenied.into());
            }
            self.answers += 1;
            self.text.clear();
            self.reply = answer(password);
        }
        Ok(())
    }
}

/// `pty_process` owns its command, so program, words, environment and streams are carried over.
fn leader(command: std::process::Command) -> pty_process::Command {
    pty_process::Command::from(tokio::process::Command::from(command))
        .kill_on_drop(true)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
}

fn to_io(error: pty_process::Error) -> io::Error {
    match error {
        pty_process::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}

/// Returns the line that answers one question for the password.
pub(super) fn answer(password: &SecretString) -> Vec<u8> {
    format!("{}\n", password.expose_secret()).into_bytes()
}

/// Whether a text is a prompt: it mentions a password and ends with a colon, without a line end.
fn is_prompt(text: &[u8]) -> bool {
    let line = text.rsplit(|byte| matches!(byte, b'\n' | b'\r')).next().unwrap_or_default();
    let line = String::from_utf8_lossy(line).to_lowercase();
    line.contains("password") && line.trim_end().ends_with(':')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_known() {
        for text in ["Enter new password: ", "Retype new password: ", "x\r\nPassword:", "Enter password: "] {
            assert!(is_prompt(text.as_bytes()), "{text:?}");
        }
        for text in ["", "password", "Password: \r\n", "passwords do not match\n", "Enter name: "] {
            assert!(!is_prompt(text.as_bytes()), "{text:?}");
        }
    }
}
