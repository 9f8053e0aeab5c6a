//! The files in which a distribution says what it is.

use std::collections::BTreeMap;
use std::path::Path;

use crate::rooted::Rooted;
use crate::{Failure, NodeResult};

/// Returns whether this is the lsb-release of an Ubuntu.
pub(super) fn is_ubuntu(lsb: &str) -> bool {
    lsb.split('\n').any(|line| line.eq_ignore_ascii_case("DISTRIB_ID=Ubuntu"))
}

/// Reads a file of the guest; `None` when it does not exist.
pub(super) fn text(files: &Rooted, path: &str) -> NodeResult<Option<String>> {
    files.read_text(path).map_err(|error| Failure::io("can't read", Path::new(path), &error))
}

/// A word from the guest, made fit for a message: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 100;
    let safe = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().take(LONGEST).map(safe).collect()
}

/// The assignments of os-release(5).
#[derive(Debug, Default)]
pub(super) struct OsRelease(BTreeMap<String, String>);

impl OsRelease {
    /// Reads the guest's file; without one nothing is assigned.
    pub(super) fn read(files: &Rooted) -> NodeResult<Self> {
        let path = ["/etc/os-release", "/usr/lib/os-release"].into_iter().find(|path| files.is_file(path));
        let text = path.map(|path| text(files, path)).transpose()?.flatten();
        Ok(text.map(|text| Self::parse(&text)).unwrap_or_default())
    }

    /// Parses the text of the file.
    pub(super) fn parse(text: &str) -> Self {
        Self(text.split('\n').filter_map(assignment).collect())
    }

    /// The value of a variable; the last one that the file gives it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// A line `NAME=value`. A value without quotes ends where letters and digits end, as pct reads it.
fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim_start().split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let plain = || value.chars().take_while(char::is_ascii_alphanumeric).collect();
    let quoted = match value.chars().next() {
        Some('\'') => value[1..].split_once('\'').map(|(text, _)| text.to_owned()),
        Some('"') => double_quoted(&value[1..]),
        _ => None,
    };
    is_name.then(|| (name.to_owned(), quoted.unwrap_or_else(plain)))
}

/// The text before the closing quote; `None` without one.
fn double_quoted(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                escaped @ ('"' | '\'' | '`' | '$' | '\\') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
    }
}
