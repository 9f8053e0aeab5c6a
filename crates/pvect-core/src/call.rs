//! One request to pct: a verb with its arguments and options.

use std::fmt;

use secrecy::{ExposeSecret, SecretString};

use crate::schema::{Reason, Violation, check, rules};
use crate::{Verb, Vmid};

/// The text that stands for a secret wherever a call is shown.
pub const MASK: &str = "********";

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

/// A verb with its arguments and options, not yet an argv: each transport makes its own of it.
#[derive(Debug, Clone)]
pub struct Call {
    verb: Verb,
    args: Vec<String>,
    options: Vec<(String, Value)>,
    command: Vec<String>,
    passthrough: Vec<String>,
}

impl Call {
    /// Starts a call of a verb that names no container (`list`, `rescan`, `cpusets`).
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

    /// Checks arguments and options, each by itself and with each other, and puts values into canonical form
    /// (booleans as 1 or 0).
    ///
    /// This is what a client checks before it starts pct. The standalone node, which finds some of it only after
    /// it has read the configuration, uses [`Call::verified`] and [`crate::schema::rules`].
    ///
    /// # Errors
    /// All violations at once, arguments first.
    pub fn checked(self) -> Result<Self, Vec<Violation>> {
        let call = self.verified()?;
        let mut violations = rules::before_load(&call);
        violations.extend(rules::after_load(&call));
        if violations.is_empty() { Ok(call) } else { Err(violations) }
    }

    /// Does pct's parameter verification: types, bounds, formats, and options that need each other.
    ///
    /// # Errors
    /// All violations at once, arguments first.
    pub fn verified(mut self) -> Result<Self, Vec<Violation>> {
        let mut violations = self.check_arguments();
        violations.extend(self.check_options());
        violations.extend(rules::together(&self));
        if violations.is_empty() { Ok(self) } else { Err(violations) }
    }

    fn check_arguments(&mut self) -> Vec<Violation> {
        let spec = self.verb.spec();
        let mut violations = Vec::new();
        let required = spec.args.iter().filter(|arg| !arg.optional).count();
        if self.args.len() < required {
            let missing = spec.args.iter().filter(|arg| !arg.optional).skip(self.args.len());
            violations.extend(missing.map(|arg| Violation::positional(arg.name, Reason::Missing)));
        }
        if self.args.len() > spec.args.len() && !spec.args.last().is_some_and(|arg| arg.rest) {
            let extra = self.args[spec.args.len()..].join(" ");
            let text = format!("'{extra}' is too much: pct {} takes {}", spec.name, count(spec.args.len()));
            let reason = Reason::Other { pct: "too many arguments".into(), text };
            violations.push(Violation::positional("arguments", reason));
        }
        for (arg, text) in spec.args.iter().zip(self.args.iter_mut()) {
            match check::argument(arg, text) {
                Ok(canonical) => *text = canonical,
                Err(found) => violations.extend(found),
            }
        }
        violations
    }

    fn check_options(&mut self) -> Vec<Violation> {
        let spec = self.verb.spec();
        let mut violations = Vec::new();
        for (name, value) in &mut self.options {
            let Some((option, _)) = spec.option(name) else {
                let reason = Reason::UnknownOption { verb: spec.name, nearest: spec.nearest_option(name) };
                violations.push(Violation::option(name.clone(), reason));
                continue;
            };
            match value {
                Value::Text(text) => match check::option(option, name, text) {
                    Ok(canonical) => *text = canonical,
                    Err(found) => violations.extend(found),
                },
                Value::Secret(secret) => {
                    if let Err(found) = check::option(option, name, secret.expose_secret()) {
                        violations.extend(found);
                    }
                }
            }
        }
        violations
    }

    /// Returns the words after `pct`: verb, arguments, options, `--` and the command.
    ///
    /// Secret options are left out (pct asks for them on its terminal, see [`Call::get_secret`]); the secret
    /// positional of remote-migrate has no other way and is in it. Every option has an explicit value, so no
    /// optional value of pct's parser can eat the next word.
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
        for (index, arg) in self.args.iter().enumerate() {
            let secret = spec.args.get(index).is_some_and(|spec| spec.secret);
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

fn count(arguments: usize) -> String {
    match arguments {
        0 => "no arguments".to_owned(),
        1 => "1 argument".to_owned(),
        more => format!("{more} arguments"),
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
mod tests {
    use super::*;

    fn vmid() -> Vmid {
        "101".parse().unwrap()
    }

    #[test]
    fn argv_has_arguments_options_and_command_in_order() {
        let call = Call::on(Verb::Exec, vmid()).flag("keep-env", false).command(["ls", "-la"]);
        assert_eq!(call.argv(), ["exec", "101", "--keep-env", "0", "--", "ls", "-la"]);
    }

    #[test]
    fn a_secret_is_in_no_argv_and_no_debug() {
        let call =
            Call::on(Verb::Create, vmid()).arg("local:vztmpl/x.tar").secret("password", "hunter22".into());
        assert_eq!(call.argv(), ["create", "101", "local:vztmpl/x.tar", "--password"]);
        assert!(!format!("{call:?}").contains("hunter22"));
        let call = Call::on(Verb::Create, vmid()).option("password", "hunter22");
        assert!(!call.masked_argv().join(" ").contains("hunter22"));
    }

    #[test]
    fn shell_quoting_leaves_plain_words() {
        assert_eq!(shell_quoted(&["pct", "exec", "a b", "it's", ""]), r"pct exec 'a b' 'it'\''s' ''");
    }
}
