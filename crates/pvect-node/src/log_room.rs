//! How long a log may become. A guest decides how many lines some logs have: a file that cannot be read is one.

/// The longest log, bytes.
const LIMIT: u64 = 16 * 1024 * 1024;

/// How much a log may still grow.
#[derive(Debug)]
pub(crate) struct LogRoom {
    /// Bytes; none once something was left out.
    left: Option<u64>,
    omitted: &'static str,
}

impl LogRoom {
    /// The room in a log that has `used` bytes. `omitted` will stand in it for what does not fit.
    pub(crate) fn after(used: u64, omitted: &'static str) -> Self {
        Self { left: Some(LIMIT.saturating_sub(used)), omitted }
    }

    /// Returns what is to be written for a line: the line, for the first one that does not fit the words for what is left
    /// out, and nothing from then on.
    pub(crate) fn take<'a>(&mut self, line: &'a str) -> Option<&'a str> {
        self.left = self.left?.checked_sub(line.len() as u64 + 1);
        Some(if self.left.is_some() { line } else { self.omitted })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_that_does_not_fit_is_the_last() {
        let mut room = LogRoom::after(LIMIT - 4, "...");
        assert_eq!(
            ["a", "b", "c", "d"].map(|line| room.take(line)),
            [Some("a"), Some("b"), Some("..."), None]
        );
        assert_eq!(LogRoom::after(LIMIT + 1, "...").take("a"), Some("..."));
    }
}
