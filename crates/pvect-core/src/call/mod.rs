//! One request to pct: a verb with its arguments and options.

mod check;
mod late;
pub mod rules;

use std::fmt;

use secrecy::SecretString;

pub use crate::schema::MASK;
use crate::{Verb, Vmid};

/// The value of an option.
#[derive(Clone)]
pub enum Value {
    /// Open text.
    Text(String),
    /// Never shown and never put into argv.
    Secret(SecretString),
}

impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => fmt::Debug::fmt(text, f),
            Self::Secret(_) => f.write_str(MASK),
        }
    }
}

/// A verb with its arguments and options. It is not an argv yet; each transport makes its own form from it.
#[derive(Clone)]
pub struct Call {
    verb: Verb,
    args: Vec<String>,
    options: Vec<(String, Value)>,
    command: Vec<String>,
    passthrough: Vec<String>,
}

/// Shows the words for pct with secrets masked, because an argument may contain one (the token of remote-migrate).
impl fmt::Debug for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Call").field(&self.masked_argv()).finish()
    }
}

impl Call {
    /// Starts a call of a verb that does not name a container (`list`, `rescan`, `cpusets`).
    pub fn new(verb: Verb) -> Self {
        Self { verb, args: Vec::new(), options: Vec::new(), command: Vec::new(), passthrough: Vec::new() }
    }

    /// Starts a call about one container.
    pub fn on(verb: Verb, vmid: Vmid) -> Self {
        Self::new(verb).arg(vmid.to_string())
    }

    /// Adds a positional argument.
    #[must_use]
    pub fn arg(mut self, text: impl Into<String>) -> Self {
        self.args.push(text.into());
        self
    }

    /// Adds or replaces the positional argument at this index; missing ones before it stay empty.
    #[must_use]
    pub fn arg_at(mut self, index: usize, text: impl Into<String>) -> Self {
        if self.args.len() <= index {
            self.args.resize(index + 1, String::new());
        }
        if let Some(slot) = self.args.get_mut(index) {
            *slot = text.into();
        }
        self
    }

    /// Removes an option from the call.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.options.retain(|(known, _)| known != name);
        self
    }

    /// Sets an option by its full name (`memory`, `net0`); a later value replaces an earlier one.
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.set(name.into(), Value::Text(value.into()));
        self
    }

    /// Sets a boolean option.
    #[must_use]
    pub fn flag(self, name: impl Into<String>, on: bool) -> Self {
        self.option(name, if on { "1" } else { "0" })
    }

    /// Sets a secret option (`password`).
    #[must_use]
    pub fn secret(mut self, name: impl Into<String>, value: SecretString) -> Self {
        self.set(name.into(), Value::Secret(value));
        self
    }

    /// Sets the command of `exec`, each word as it is.
    #[must_use]
    pub fn command<I, S>(mut self, words: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.command = words.into_iter().map(Into::into).collect();
        self
    }

    /// Adds words for pct that pvect does not know (options of a newer version), unchecked.
    #[must_use]
    pub fn passthrough<I, S>(mut self, words: I) -> Self
    where
        I: IntoIterator<Item = S>,
        S: Into<String>,
    {
        self.passthrough = words.into_iter().map(Into::into).collect();
        self
    }

    /// Returns the words for pct that are not checked.
    pub fn passthrough_words(&self) -> &[String] {
        &self.passthrough
    }

    fn set(&mut self, name: String, value: Value) {
        match self.options.iter_mut().find(|(known, _)| *known == name) {
            Some(slot) => slot.1 = value,
            None => self.options.push((name, value)),
        }
    }

    /// Returns the verb.
    pub fn verb(&self) -> Verb {
        self.verb
    }

    /// Returns the container that the call is about, where the first argument names one.
    pub fn vmid(&self) -> Option<Vmid> {
        if self.verb.spec().takes_vmid() { self.args.first()?.parse().ok() } else { None }
    }

    /// Returns the positional arguments.
    pub fn args(&self) -> &[String] {
        &self.args
    }

    /// Returns the options in the order they were set.
    pub fn options(&self) -> &[(String, Value)] {
        &self.options
    }

    /// Returns the open value of an option.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.options.iter().find_map(|(known, value)| match value {
            Value::Text(text) if known == name => Some(text.as_str()),
            _ => None,
        })
    }

    /// Returns the secret value of an option.
    pub fn get_secret(&self, name: &str) -> Option<&SecretString> {
        self.options.iter().find_map(|(known, value)| match value {
            Value::Secret(secret) if known == name => Some(secret),
            _ => None,
        })
    }

    /// Returns the command of `exec`.
    pub fn command_words(&self) -> &[String] {
        &self.command
    }

    /// Returns whether an option is set, to whatever value.
    pub fn has(&self, name: &str) -> bool {
        self.options.iter().any(|(known, _)| known == name)
    }

    /// Returns the words after `pct`: verb, arguments, options, `--` and the command.
    ///
    /// An empty optional argument counts as left out; those after it are given by name (`--target-vmid 102`). Secret
    /// options are left out (pct asks for them on its terminal, see [`Call::get_secret`]); the secret positional
    /// argument of remote-migrate is included, because pct does not accept it in any other way. Every option has an
    /// explicit value, so pct's parser cannot take the next word for an optional value.
    pub fn argv(&self) -> Vec<String> {
        self.words(false)
    }

    /// Returns the words after `pct` for logs, errors and `--dry-run`: secrets replaced by [`MASK`].
    pub fn masked_argv(&self) -> Vec<String> {
        self.words(true)
    }

    fn words(&self, masked: bool) -> Vec<String> {
        let spec = self.verb.spec();
        let mut words = vec![spec.name.to_owned()];
        let mut skipped = false;
        for (index, arg) in self.args.iter().enumerate() {
            let known = spec.args.get(index);
            if known.is_some_and(|spec| spec.optional && !spec.rest) && arg.is_empty() {
                skipped = true;
                continue;
            }
            if let Some(known) = known.filter(|_| skipped) {
                words.push(format!("--{}", known.name));
            }
            let secret = known.is_some_and(|spec| spec.secret);
            words.push(if masked && secret { MASK.to_owned() } else { arg.clone() });
        }
        for (name, value) in &self.options {
            match value {
                Value::Text(text) => {
                    let secret = spec.option(name).is_some_and(|(option, _)| option.secret);
                    words.push(format!("--{name}"));
                    words.push(if masked && secret { MASK.to_owned() } else { text.clone() });
                }
                // Without a value pct asks for it on its terminal.
                Value::Secret(_) => words.push(format!("--{name}")),
            }
        }
        words.extend(self.passthrough.iter().cloned());
        if !self.command.is_empty() {
            words.push("--".to_owned());
            words.extend(self.command.iter().cloned());
        }
        words
    }
}

/// Quotes words for a POSIX shell, for showing a command line to people.
pub fn shell_quoted<S: AsRef<str>>(words: &[S]) -> String {
    words.iter().map(|word| quote(word.as_ref())).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,+@%^".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests;
