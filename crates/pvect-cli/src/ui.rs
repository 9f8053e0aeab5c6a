//! All that is written: results to stdout, everything else to stderr.

use std::io::{IsTerminal, Write};

use pvect_core::{Error, Result};

use crate::args::{Color, Form, Globals};

/// Where and how to write.
#[derive(Debug, Clone)]
pub struct Ui {
    /// The global options.
    pub globals: Globals,
    no_color: bool,
}

/// What a text on stderr is; it decides its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Label {
    /// The word `error`.
    Error,
    /// The word `warning`.
    Warning,
    /// The word `hint`.
    Hint,
}

impl Ui {
    /// Makes one; `no_color` is whether `NO_COLOR` is set.
    pub fn new(globals: Globals, no_color: bool) -> Self {
        Self { globals, no_color }
    }

    /// The form of results: as asked, or the command's default.
    pub fn form(&self, default: Form) -> Form {
        self.globals.output.unwrap_or(default)
    }

    /// Whether errors are JSON objects.
    pub fn json_errors(&self) -> bool {
        self.globals.output == Some(Form::Json)
    }

    /// Whether stderr is a terminal on which progress may be shown.
    pub fn shows_progress(&self) -> bool {
        !self.globals.quiet && !self.json_errors() && std::io::stderr().is_terminal()
    }

    /// Writes a result to stdout.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print(&self, text: impl AsRef<[u8]>) -> Result<()> {
        let mut out = std::io::stdout().lock();
        out.write_all(text.as_ref())
            .and_then(|()| out.flush())
            .map_err(|source| Error::Io { what: "cannot write to stdout".to_owned(), source })
    }

    /// Writes one line to stderr. A closed stderr is no error.
    pub fn note(&self, text: &str) {
        let _ = writeln!(std::io::stderr().lock(), "{}", printable(text));
    }

    /// Writes `warning: TEXT` to stderr.
    pub fn warning(&self, text: &str) {
        self.labelled(Label::Warning, text);
    }

    /// Writes a line that begins with a word in its colour.
    pub fn labelled(&self, label: Label, text: &str) {
        let (word, code) = match label {
            Label::Error => ("error", "1;31"),
            Label::Warning => ("warning", "1;33"),
            Label::Hint => ("hint", "1;36"),
        };
        let text = printable(text);
        let line = if self.colored(std::io::stderr().is_terminal()) {
            format!("\x1b[{code}m{word}:\x1b[0m {text}\n")
        } else {
            format!("{word}: {text}\n")
        };
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    /// Whether stdout shows colours.
    pub fn colored_out(&self) -> bool {
        self.colored(std::io::stdout().is_terminal())
    }

    fn colored(&self, terminal: bool) -> bool {
        match self.globals.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => terminal && !self.no_color,
        }
    }
}

/// Returns the text with control characters made visible: what a container wrote must not drive a terminal.
pub fn printable(text: &str) -> String {
    let shown = |c: char| !c.is_control() || c == '\n' || c == '\t';
    if text.chars().all(shown) {
        return text.to_owned();
    }
    text.chars().map(|c| if shown(c) { c.to_string() } else { c.escape_default().to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_become_visible() {
        assert_eq!(printable("a\tb\nc"), "a\tb\nc");
        assert_eq!(printable("\x1b[31mred\r"), "\\u{1b}[31mred\\r");
    }
}
