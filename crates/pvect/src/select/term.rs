//! One term of a selector.

use glob::Pattern;
use pvect_core::{Error, NodeName, Result, Vmid};

use super::{Candidate, wrong};

/// A condition that a container must meet to be chosen.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Term {
    All,
    Number(Vmid),
    Range(Vmid, Vmid),
    /// A host name without wildcards.
    Name(String),
    Glob(Pattern),
    Tag(Pattern),
    Pool(String),
    Status(&'static str),
    Lock(Pattern),
    Node(NodeName),
}

impl Term {
    /// Reads a term. Numbers and ranges go before host names.
    pub(super) fn parse(text: &str) -> Result<Self> {
        if text == "all" {
            return Ok(Self::All);
        }
        if let Some(tag) = text.strip_prefix('@') {
            return pattern(text, &tag.to_lowercase()).map(Self::Tag);
        }
        if let Some((kind, value)) = text.split_once(':') {
            return Self::keyed(text, kind, value);
        }
        if let Some(range) = range(text) {
            return range;
        }
        if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Number).map_err(|error| because(text, error.rule));
        }
        let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '*' | '?' | '[' | ']');
        if text.is_empty() || !text.chars().all(allowed) {
            return Err(unknown(text));
        }
        if text.contains(['*', '?', '[', ']']) {
            pattern(text, text).map(Self::Glob)
        } else {
            Ok(Self::Name(text.to_owned()))
        }
    }

    fn keyed(text: &str, kind: &str, value: &str) -> Result<Self> {
        match (kind, value) {
            ("pool" | "status" | "lock" | "node", "") => Err(because(text, "a name is missing")),
            ("pool", _) => Ok(Self::Pool(value.to_owned())),
            ("status", "running") => Ok(Self::Status("running")),
            ("status", "stopped") => Ok(Self::Status("stopped")),
            ("status", _) => Err(because(text, "the state is 'running' or 'stopped'")),
            ("lock", _) => pattern(text, value).map(Self::Lock),
            ("node", _) => value
                .parse()
                .map(Self::Node)
                .map_err(|error: pvect_core::id::InvalidId| because(text, error.rule)),
            _ => Err(unknown(text)),
        }
    }

    /// Returns whether the container meets it.
    pub(super) fn chooses(&self, one: &Candidate) -> bool {
        match self {
            Self::All => true,
            Self::Number(vmid) => one.vmid == *vmid,
            Self::Range(first, last) => (*first..=*last).contains(&one.vmid),
            Self::Name(name) => one.name == *name,
            Self::Glob(pattern) => pattern.matches(&one.name),
            Self::Tag(pattern) => one.tags.iter().any(|tag| pattern.matches(&tag.to_lowercase())),
            Self::Pool(pool) => one.pool.as_ref() == Some(pool),
            Self::Status(word) => one.status.as_str() == *word,
            Self::Lock(pattern) => one.lock.as_ref().is_some_and(|lock| pattern.matches(lock.as_str())),
            Self::Node(node) => one.node == *node,
        }
    }
}

/// `100-120`, `100-`; `None` for what is not a range (`web-1` is a host name).
fn range(text: &str) -> Option<Result<Term>> {
    let (first, last) = text.split_once('-')?;
    let number = |word: &str| word.bytes().all(|byte| byte.is_ascii_digit());
    if first.is_empty() || !number(first) || !number(last) {
        return None;
    }
    let ends = first
        .parse()
        .and_then(|first: Vmid| Ok((first, if last.is_empty() { Vmid::MAX } else { last.parse()? })));
    Some(match ends {
        Err(error) => Err(because(text, error.rule)),
        Ok((first, last)) if last < first => Err(because(text, "the range ends before it begins")),
        Ok((first, last)) => Ok(Term::Range(first, last)),
    })
}

fn pattern(term: &str, text: &str) -> Result<Pattern> {
    if text.is_empty() {
        return Err(because(term, "a name is missing"));
    }
    Pattern::new(text).map_err(|error| {
        // The crate's message for an unclosed bracket is "invalid range pattern".
        because(term, if error.msg.contains("range") { "the bracket is not closed" } else { error.msg })
    })
}

fn because(text: &str, why: &str) -> Error {
    wrong(format!("'{text}': {why}"))
}

fn unknown(text: &str) -> Error {
    wrong(format!("'{text}' is not a number, range, host name, @TAG, pool:, status:, lock:, node: or 'all'"))
}
