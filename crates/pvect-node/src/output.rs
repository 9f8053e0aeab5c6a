//! Where a command's texts go.

use std::io::Write;

/// stdout and stderr of one command.
pub struct Output<'a> {
    /// stdout.
    pub out: &'a mut dyn Write,
    /// stderr.
    pub err: &'a mut dyn Write,
}

impl Output<'_> {
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
