//! How long a log may become. A guest decides how many lines some logs have: a file that cannot be read is one.

/// The longest log, bytes.
const LIMIT: u64 = 16 * 1024 * 1024;

/// How much a log may still grow.
#[derive(Debug)]
pub(crate) struct LogRoom {
    /// In bytes; `None` once something was left out.
    left: Option<u64>,
    omitted: &'static str,
}

impl LogRoom {
    /// The room in a log of `used` bytes. `omitted` is written instead of what does not fit.
    pub(crate) fn after(used: u64, omitted: &'static str) -> Self {
        Self { left: Some(LIMIT.saturating_sub(used)), omitted }
    }

    /// Returns what to write for a line: the line itself; for the first that does not fit, the notice that the rest is
    /// left out; then nothing. `prefix` is how many bytes the log puts before each line.
    pub(crate) fn take<'a>(&mut self, line: &'a str, prefix: usize) -> Option<&'a str> {
        self.left = self.left?.checked_sub((prefix + line.len()) as u64 + 1);
        Some(if self.left.is_some() { line } else { self.omitted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_does_not_fit_is_the_last() {
        let mut room = LogRoom::after(LIMIT - 8, "...");
        assert_eq!(
            ["a", "b", "c", "d"].map(|line| room.take(line, 2)),
            [Some("a"), Some("b"), Some("..."), None]
        );
        assert_eq!(LogRoom::after(LIMIT + 1, "...").take("a", 0), Some("..."));
    }
}
