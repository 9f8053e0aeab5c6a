//! A word that begins with a dash, and its value.

use std::collections::VecDeque;

use pvect_core::{Error, Result};

use crate::args::options::by_letter;

/// A word that begins with a dash.
pub(super) struct Dashed {
    pub(super) name: String,
    pub(super) value: Option<String>,
    pub(super) single: bool,
}

impl Dashed {
    pub(super) fn parse(word: &str) -> Option<Self> {
        let name = word.strip_prefix('-').filter(|rest| !rest.is_empty())?;
        let (name, single) = name.strip_prefix('-').map_or((name, true), |name| (name, false));
        let (name, value) = match name.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (name.to_owned(), None),
        };
        Some(Self { name, value, single })
    }

    /// Letters of pvect's switches (`-q`, `-vv`, `-ojson`).
    pub(super) fn letters(&self) -> Option<char> {
        let first = self.name.chars().next().filter(|_| self.single)?;
        let spec = by_letter(first)?;
        let alone = self.name.chars().all(|letter| letter == first);
        (alone || spec.value.is_some() && self.name.len() > 1 && spec.choices.contains(&&self.name[1..]))
            .then_some(first)
    }
}

/// The value of an option: after `=`, or the next word, whatever it looks like.
pub(super) fn value_of(name: &str, option: &Dashed, words: &mut VecDeque<String>) -> Result<String> {
    if let Some(value) = &option.value {
        return Ok(value.clone());
    }
    match words.front() {
        Some(word) if word != "--" => Ok(words.pop_front().unwrap_or_default()),
        _ => Err(Error::bad_option(name, "needs a value")),
    }
}
