//! Where a command's texts go.

use std::io::Write;

/// stdout and stderr of one command.
pub struct Output<'a> {
    /// stdout.
    pub out: &'a mut dyn Write,
    /// stderr.
    pub err: &'a mut dyn Write,
    warned: u32,
}

impl<'a> Output<'a> {
    /// The streams of one command.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err, warned: 0 }
    }

    /// Writes `WARN: text` to stdout and counts it: a task that did so ends with `WARNINGS: n`.
    pub fn warning(&mut self, text: impl AsRef<str>) {
        self.warned += 1;
        self.line(format!("WARN: {}", text.as_ref()));
    }

    /// Returns how many warnings were written.
    pub fn warned(&self) -> u32 {
        self.warned
    }

    /// Writes one line to stdout. A closed pipe is not an error of the command.
    pub fn line(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.out, "{}", text.as_ref());
    }

    /// Writes one line to stderr.
    pub fn warn(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.err, "{}", text.as_ref());
    }

    /// Writes text to stdout as it is.
    pub fn text(&mut self, text: impl AsRef<str>) {
        let _ = self.out.write_all(text.as_ref().as_bytes());
    }
}
