//! All output: results to stdout, everything else to stderr.

use std::io::{IsTerminal, Write};

use pvect_core::{Error, Result};

use crate::args::{Color, Form, Globals};
use crate::visible::{Visible, printable};

/// Where and how to write.
#[derive(Debug, Clone)]
pub struct Ui {
    /// The global options.
    pub globals: Globals,
    no_color: bool,
}

/// The kind of a text on stderr, which decides its colour.
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

    /// Writes a result to stdout: byte for byte, and on a terminal with its control characters made visible.
    ///
    /// # Errors
    /// When stdout cannot be written.
    pub fn print(&self, text: impl AsRef<[u8]>) -> Result<()> {
        write(Visible::new(std::io::stdout().lock()), text.as_ref())
    }

    /// Writes a text of our own to stdout, with colours. Nothing in it may come from elsewhere.
    ///
    /// # Errors
    /// As [`Ui::print`].
    pub fn print_styled(&self, text: &str) -> Result<()> {
        write(std::io::stdout().lock(), text.as_bytes())
    }

    /// Writes a question to the terminal, without an end of the line.
    ///
    /// # Errors
    /// When stderr cannot be written.
    pub fn ask(&self, question: &str) -> Result<()> {
        let mut err = std::io::stderr().lock();
        let asked = write!(err, "{} [y/N] ", printable(question)).and_then(|()| err.flush());
        asked.map_err(|source| Error::Io { what: "cannot ask on the terminal".to_owned(), source })
    }

    /// Writes one line to stderr. A closed stderr is not an error.
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

fn write(mut out: impl Write, bytes: &[u8]) -> Result<()> {
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(|source| Error::Io { what: "cannot write to stdout".to_owned(), source })
}
