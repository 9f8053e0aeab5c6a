//! Where a command's texts go.

use std::io::Write;

/// stdout and stderr of one command.
pub struct Output<'a> {
    /// stdout.
    pub out: &'a mut dyn Write,
    /// stderr.
    pub err: &'a mut dyn Write,
    warned: u32,
    /// Whether nothing but warnings goes to stdout.
    brief: bool,
}

impl<'a> Output<'a> {
    /// The streams of one command.
    pub fn new(out: &'a mut dyn Write, err: &'a mut dyn Write) -> Self {
        Self { out, err, warned: 0, brief: false }
    }

    /// Writes `WARN: text` to stdout and counts it: a task that did so ends with `WARNINGS: n`.
    pub fn warning(&mut self, text: impl AsRef<str>) {
        self.warned += 1;
        let _ = writeln!(self.out, "WARN: {}", text.as_ref());
    }

    /// Does work of which only the warnings and what is for stderr are shown.
    pub(crate) fn briefly<T>(&mut self, work: impl FnOnce(&mut Self) -> T) -> T {
        let before = std::mem::replace(&mut self.brief, true);
        let done = work(self);
        self.brief = before;
        done
    }

    /// Returns how many warnings were written.
    pub fn warned(&self) -> u32 {
        self.warned
    }

    /// Writes one line to stdout. A closed pipe is not an error of the command.
    pub fn line(&mut self, text: impl AsRef<str>) {
        if !self.brief {
            let _ = writeln!(self.out, "{}", text.as_ref());
        }
    }

    /// Writes one line to stderr.
    pub fn warn(&mut self, text: impl AsRef<str>) {
        let _ = writeln!(self.err, "{}", text.as_ref());
    }

    /// Writes text to stdout as it is.
    pub fn text(&mut self, text: impl AsRef<str>) {
        if !self.brief {
            let _ = self.out.write_all(text.as_ref().as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_of_what_is_done_briefly_are_shown_and_counted() {
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut out, &mut err);
        output.briefly(|output| {
            output.line("Creating filesystem");
            output.text("x");
            output.warning("it is small");
            output.warn("and odd");
        });
        output.line("done");
        assert_eq!(output.warned(), 1);
        assert_eq!((&out[..], &err[..]), (&b"WARN: it is small\ndone\n"[..], &b"and odd\n"[..]));
    }
}
