//! The command line: what was typed, brought into one form.
//!
//! Words are read as pct reads them, and more kindly: options before or after the arguments, with one dash or two,
//! cut to a unique prefix, in any case. Values are not checked here.

pub mod elsewhere;
pub mod globals;
pub mod groups;
mod image;
pub mod options;
pub mod own;
pub mod scan;
pub mod tree;

pub use globals::{Color, Form, Globals};
pub use scan::{Given, Line, PctLine, read};

/// A word that can only be a host name: numbers, good or bad, are judged by the schema.
pub fn is_name(word: &str) -> bool {
    word.chars().any(|c| !c.is_ascii_digit())
}
