//! The words of a verb of pct.

use std::collections::VecDeque;

use pvect_core::schema::{Kind, OptionSpec, Reason, Violation};
use pvect_core::{Error, Result, Verb};

use super::dashed::{Dashed, value_of};
use super::{Given, PctLine, global, letters};
use crate::args::globals::Globals;
use crate::args::options::{ExtraSpec, Found, extras, find};

/// A line that is being read.
struct Reading {
    line: PctLine,
    /// Arguments that were given by name, with their places.
    named: Vec<(usize, String)>,
    /// The last switch before a word that may have been meant as its value, and that word.
    perhaps_value: Option<(String, String)>,
}

/// Reads the words of a verb of pct.
pub(super) fn pct(verb: Verb, globals: &mut Globals, mut words: VecDeque<String>) -> Result<PctLine> {
    let spec = verb.spec();
    let line = PctLine { verb, args: Vec::new(), options: Vec::new(), rest: Vec::new(), extras: Vec::new() };
    let mut reading = Reading { line, named: Vec::new(), perhaps_value: None };
    while let Some(word) = words.pop_front() {
        if word == "--" {
            reading.line.rest.extend(words);
            break;
        }
        // The words belong to the container's command, except one option that pct accepts there, too.
        let in_command = verb == Verb::Exec && !reading.line.rest.is_empty();
        let option =
            Dashed::parse(&word).filter(|option| !in_command || !option.single && option.name == "keep-env");
        match option {
            Some(option) => reading.option(&option, globals, &mut words)?,
            None => reading.word(word),
        }
    }
    let Reading { mut line, named, perhaps_value } = reading;
    let too_many = line.args.len() > spec.args.len() && !spec.args.last().is_some_and(|arg| arg.rest);
    if let Some((name, value)) = perhaps_value.filter(|_| too_many) {
        return Err(Error::invalid(Violation::option(name, Reason::Type { expected: "boolean", value })));
    }
    put_in_place(&mut line.args, named);
    Ok(line)
}

impl Reading {
    /// Takes a word that is not an option.
    fn word(&mut self, word: String) {
        if self.line.verb == Verb::Exec && !self.line.args.is_empty() {
            self.line.rest.push(word);
        } else {
            self.line.args.push(word);
        }
    }

    /// Takes an option, and its value from the words after it.
    fn option(&mut self, option: &Dashed, globals: &mut Globals, words: &mut VecDeque<String>) -> Result<()> {
        let spec = self.line.verb.spec();
        let line = &mut self.line;
        if let Some(extra) = extra_letter(line.verb, option) {
            line.extras.push((extra.name, None));
            return Ok(());
        }
        let verbose = option.name == "v" && spec.option("verbose").is_some();
        if let Some(letter) = option.letters().filter(|_| !verbose) {
            return letters(globals, letter, option, words);
        }
        match find(Some(spec), &option.name)? {
            Found::Global(_) => global(globals, option, words)?,
            Found::Extra(extra) => {
                let value = match extra.value {
                    Some(_) => Some(value_of(extra.name, option, words)?),
                    None => None,
                };
                line.extras.push((extra.name, value));
            }
            Found::Argument(name, index) => self.named.push((index, value_of(name, option, words)?)),
            Found::Password("password-stdin", _) => line.options.push(("password".into(), Given::Stdin)),
            Found::Password(name, _) => {
                let file = value_of(name, option, words)?;
                line.options.push(("password".into(), Given::File(file)));
            }
            Found::Verb(known, name) if known.secret => {
                refuse_secret(&name, option, words)?;
                line.options.push((name, Given::Ask));
            }
            Found::Verb(known, name) => self.value(known, name, option, words)?,
        }
        Ok(())
    }

    /// Takes the value of an option of the verb.
    fn value(
        &mut self,
        known: &OptionSpec,
        name: String,
        option: &Dashed,
        words: &mut VecDeque<String>,
    ) -> Result<()> {
        let value = match known.kind {
            Kind::Boolean => {
                let value = boolean(option, words);
                let next = words.front().filter(|word| option.value.is_none() && !word.starts_with('-'));
                let perhaps_value = next.map(|word| (name.clone(), word.clone()));
                self.perhaps_value = perhaps_value.or(self.perhaps_value.take());
                value
            }
            _ => value_of(&name, option, words)?,
        };
        self.line.push(name, value);
        Ok(())
    }
}

/// Puts arguments that were given by name into their places; a positional one wins, as in pct.
fn put_in_place(args: &mut Vec<String>, named: Vec<(usize, String)>) {
    for (index, value) in named {
        while args.len() < index {
            args.push(String::new());
        }
        if args.len() == index {
            args.push(value);
        } else if args[index].is_empty() {
            args[index] = value;
        }
    }
}

/// The option of a letter that pvect adds to a verb.
fn extra_letter(verb: Verb, option: &Dashed) -> Option<&'static ExtraSpec> {
    let mut letters = option.name.chars();
    let letter =
        letters.next().filter(|_| option.single && letters.next().is_none() && option.value.is_none())?;
    extras(verb).find(|spec| spec.short == Some(letter))
}

/// A password typed into the command line is in the process list and in the shell's history already.
fn refuse_secret(name: &str, option: &Dashed, words: &VecDeque<String>) -> Result<()> {
    let follows = words.front().is_some_and(|word| !word.starts_with('-') || word.len() == 1);
    if option.value.is_none() && !follows {
        return Ok(());
    }
    let text = format!(
        "takes no value, because others could read it in the process list: put --{name} last to be asked for it, \
         or use --{name}-file FILE or --{name}-stdin"
    );
    Err(Error::bad_option(name, &text))
}

/// The value of a switch: the text after `=`, the next word if it means yes or no, or else 1.
fn boolean(option: &Dashed, words: &mut VecDeque<String>) -> String {
    const WORDS: &[&str] = &["1", "0", "yes", "no", "on", "off", "true", "false"];
    if let Some(value) = &option.value {
        return value.clone();
    }
    let follows = words.front().is_some_and(|word| WORDS.contains(&word.to_ascii_lowercase().as_str()));
    let next = if follows { words.pop_front() } else { None };
    next.unwrap_or_else(|| "1".to_owned())
}
