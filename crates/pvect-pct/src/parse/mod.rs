//! What pct prints, as typed values. Pure functions over bytes; none panics.

mod list;
mod pending;
mod snapshots;
mod status;
mod usage;

pub use list::{list, list_json};
pub use pending::pending;
pub use snapshots::{Clock, snapshots};
pub use status::{state, status};
pub use usage::{cpusets, df, mounted};

use pvect_core::ContainerConfig;
use pvect_core::config::ConfigError;

/// Why an output could not be understood.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", described(*line, what))]
pub struct ParseError {
    /// The number of the bad line, from 1, if the error is about a line.
    pub line: Option<usize>,
    /// What was expected or found.
    pub what: String,
}

impl ParseError {
    pub(crate) fn at(line: usize, what: impl Into<String>) -> Self {
        Self { line: Some(line), what: what.into() }
    }

    pub(crate) fn whole(what: impl Into<String>) -> Self {
        Self { line: None, what: what.into() }
    }
}

fn described(line: Option<usize>, what: &str) -> String {
    line.map_or_else(|| what.to_owned(), |line| format!("line {line}: {what}"))
}

/// Parses what `pct config` prints.
///
/// # Errors
/// For the first line that is not `key: value`, and for bytes that are not UTF-8.
pub fn config(output: &[u8]) -> Result<ContainerConfig, ParseError> {
    text(output)?;
    ContainerConfig::parse_output(output).map_err(|error| match error {
        ConfigError::Line { line, what } => ParseError::at(line, what),
        other => ParseError::whole(other.to_string()),
    })
}

/// Returns the output as text.
fn text(output: &[u8]) -> Result<&str, ParseError> {
    std::str::from_utf8(output).map_err(|error| {
        let before = &output[..error.valid_up_to()];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        ParseError::at(line, "it is not UTF-8")
    })
}

/// Returns numbered lines. Only `\n` ends a line, so other odd characters remain part of the values.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.strip_suffix('\n').unwrap_or(text).split('\n').enumerate().map(|(index, line)| (index + 1, line))
}

/// Shows a line in an error, shortened.
fn shown(line: &str) -> String {
    const LIMIT: usize = 80;
    if line.chars().count() > LIMIT {
        format!("'{}...'", line.chars().take(LIMIT).collect::<String>().escape_debug())
    } else {
        format!("'{}'", line.escape_debug())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn any_bytes_parse_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = (list(&bytes), list_json(&bytes), state(&bytes), status(&bytes), pending(&bytes));
            let _ = (snapshots(&bytes, Clock::Utc), config(&bytes));
        }

        #[test]
        fn any_text_parses_without_panic(text in "(VMID       Status     Lock         Name *\n)?([ `>a-z0-9:-]{0,60}\n){0,5}") {
            let bytes = text.as_bytes();
            let _ = (list(bytes), state(bytes), status(bytes), pending(bytes), snapshots(bytes, Clock::Utc));
        }
    }

    #[test]
    fn the_recorded_configuration_parses() {
        let parsed = config(include_bytes!("../../fixtures/config.txt")).unwrap();
        assert_eq!(parsed.main.get("memory").as_deref(), Some("4096"));
        assert_eq!(parsed.main.description.as_deref(), Some("a description line\nsecond: line %\n"));
        assert_eq!(parsed.main.raw.len(), 2);
        assert_eq!(parsed.lock(), Some(pvect_core::Lock::Backup));
        assert!(config(b"no key\n").unwrap_err().to_string().starts_with("line 1: "));
    }

    /// Trap nul-output.
    #[test]
    fn environment_entries_are_separated_by_nul() {
        let parsed = config(b"arch: amd64\nenv: A=1\0B=x: y\nostype: debian\n").unwrap();
        assert_eq!(parsed.main.env, ["A=1", "B=x: y"]);
    }

    #[test]
    fn bytes_that_are_not_utf8_name_their_line() {
        let error = list(b"VMID       Status     Lock         Name\n\xff").unwrap_err();
        assert_eq!(error.to_string(), "line 2: it is not UTF-8");
        assert_eq!(config(b"a: b\n\xff").unwrap_err().to_string(), "line 2: it is not UTF-8");
    }
}
