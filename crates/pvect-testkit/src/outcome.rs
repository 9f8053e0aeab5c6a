//! A finished command.

use std::process::Output;

/// What a command printed and how it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finished {
    /// The words, for messages.
    pub command: String,
    /// stdout, lossily decoded.
    pub stdout: String,
    /// stderr, lossily decoded.
    pub stderr: String,
    /// The exit status; 128 + signal when a signal ended it.
    pub status: i32,
}

impl Finished {
    /// Takes what a finished process gave.
    pub fn of(command: &str, output: &Output) -> Self {
        Self::new(command.to_owned(), output)
    }

    pub(crate) fn new(command: String, output: &Output) -> Self {
        use std::os::unix::process::ExitStatusExt;
        let status = output.status.code().or_else(|| output.status.signal().map(|n| 128 + n)).unwrap_or(-1);
        Self {
            command,
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status,
        }
    }

    /// Asserts success and returns stdout.
    ///
    /// # Panics
    /// When the status is not 0; shows everything.
    #[track_caller]
    pub fn ok(self) -> String {
        assert_eq!(self.status, 0, "`{}` failed:\n{}{}", self.command, self.stdout, self.stderr);
        self.stdout
    }

    /// Asserts a failure with this status and returns stderr.
    ///
    /// # Panics
    /// When the status differs; shows everything.
    #[track_caller]
    pub fn fails(self, status: i32) -> String {
        assert_eq!(
            self.status, status,
            "`{}` ended otherwise:\n{}{}",
            self.command, self.stdout, self.stderr
        );
        self.stderr
    }
}
