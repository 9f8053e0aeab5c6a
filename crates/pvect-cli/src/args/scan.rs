//! Reads the words of a command line.

mod command;
mod dashed;
mod verb;

use std::collections::VecDeque;

use pvect_core::{Result, Verb};

use super::globals::Globals;
use super::options::{Found, by_letter, find};
use command::{Command, command};
use dashed::{Dashed, value_of};
use verb::pct;

/// The value of an option as it was given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Given {
    /// This text.
    Text(String),
    /// No value: a password to be asked for.
    Ask,
    /// `--password-file FILE`.
    File(String),
    /// `--password-stdin`.
    Stdin,
}

/// A verb of pct with its words.
#[derive(Debug, Clone, PartialEq)]
pub struct PctLine {
    /// The verb.
    pub verb: Verb,
    /// The arguments.
    pub args: Vec<String>,
    /// The options by full name, in order.
    pub options: Vec<(String, Given)>,
    /// The words after `--`, or the command of `exec`.
    pub rest: Vec<String>,
    /// Options that pvect adds to the verb, with their values.
    pub extras: Vec<(&'static str, Option<String>)>,
}

impl PctLine {
    /// Returns whether an option that pvect adds was given.
    pub fn has_extra(&self, name: &str) -> bool {
        self.extras.iter().any(|(known, _)| *known == name)
    }

    /// Returns the value of an option that pvect adds.
    pub fn extra(&self, name: &str) -> Option<&str> {
        self.extras.iter().rev().find(|(known, _)| *known == name)?.1.as_deref()
    }

    /// Adds an option. Variables of the environment add up; of everything else the last one counts.
    fn push(&mut self, name: String, value: String) {
        let known =
            self.options.iter_mut().find(|(known, given)| *known == name && matches!(given, Given::Text(_)));
        match known {
            Some((_, Given::Text(text))) if name == "env" => *text += &format!("\0{value}"),
            _ => self.options.push((name, Given::Text(value))),
        }
    }
}

/// What was typed.
#[derive(Debug, Clone, PartialEq)]
pub enum Line {
    /// Nothing but options.
    Nothing,
    /// A verb of pct.
    Pct(PctLine),
    /// A command of pvect: its name and words, to be read by clap.
    Own(&'static str, Vec<String>),
    /// `pvect pct ...`: words for the standalone node's pct, untouched.
    NodePct(Vec<String>),
    /// `pvect node vzdump ...`: words for the standalone node's vzdump, untouched.
    NodeVzdump(Vec<String>),
}

/// Reads the words after `pvect`.
///
/// # Errors
/// `InvalidArgument` with the option or command named, and the nearest one; `Unsupported` for virtual machines.
pub fn read(words: &[String], globals: &mut Globals) -> Result<Line> {
    let line = scan(words.to_vec().into(), globals);
    if line.is_err() && globals.output.is_none() && wants_json(words) {
        globals.output = Some(super::Form::Json);
    }
    line
}

/// Whether errors are to be JSON although the words could not be read to their end.
fn wants_json(words: &[String]) -> bool {
    let glued = words.iter().any(|word| ["-ojson", "-o=json", "--output=json"].contains(&word.as_str()));
    glued || words.windows(2).any(|pair| ["-o", "--output"].contains(&pair[0].as_str()) && pair[1] == "json")
}

fn scan(mut words: VecDeque<String>, globals: &mut Globals) -> Result<Line> {
    while let Some(word) = words.pop_front() {
        if let Some(option) = Dashed::parse(&word) {
            global(globals, &option, &mut words)?;
            continue;
        }
        let line = match command(&word)? {
            Command::Own("pct") => Line::NodePct(words.into()),
            Command::Own("node") if words.front().is_some_and(|word| word == "vzdump") => {
                words.pop_front();
                let words_left = words.make_contiguous();
                let asks_help = matches!(words_left, [only] if ["--help", "-h"].contains(&only.as_str()));
                if asks_help {
                    globals.help = true;
                    return Ok(Line::Own("node", vec!["vzdump".to_owned()]));
                }
                Line::NodeVzdump(words.into())
            }
            Command::Own(name) => own(name, globals, words)?,
            // `template build` is ours, `template 101` is pct's.
            Command::Verb(Verb::Template) if is_template_command(&words) => own("template", globals, words)?,
            Command::Verb(Verb::Help) => own("help", globals, words)?,
            Command::Verb(verb) => Line::Pct(pct(verb, globals, words)?),
        };
        return Ok(line);
    }
    Ok(Line::Nothing)
}

fn is_template_command(words: &VecDeque<String>) -> bool {
    let first = words.iter().find(|word| !word.starts_with('-'));
    first.is_some_and(|word| ["build", "list", "remove"].contains(&word.as_str()))
}

/// Takes a global option that comes before the verb.
fn global(globals: &mut Globals, option: &Dashed, words: &mut VecDeque<String>) -> Result<()> {
    if let Some(letter) = option.letters() {
        return letters(globals, letter, option, words);
    }
    match find(None, &option.name)? {
        Found::Global(spec) => {
            let value = match spec.value {
                Some(_) => Some(value_of(spec.name, option, words)?),
                None => None,
            };
            globals.take(spec, value)
        }
        // Only a verb has others.
        Found::Verb(..) | Found::Password(..) | Found::Extra(_) | Found::Argument(..) => Ok(()),
    }
}

fn letters(globals: &mut Globals, letter: char, option: &Dashed, words: &mut VecDeque<String>) -> Result<()> {
    let Some(spec) = by_letter(letter) else { return Ok(()) };
    if spec.value.is_none() {
        return option.name.chars().try_for_each(|_| globals.take(spec, None));
    }
    let glued = (option.name.len() > 1).then(|| option.name[1..].to_owned());
    let value = match glued {
        Some(value) => value,
        None => value_of(spec.name, option, words)?,
    };
    globals.take(spec, Some(value))
}

/// Picks the global options out of the words of a command of pvect; clap reads the rest.
fn own(name: &'static str, globals: &mut Globals, mut words: VecDeque<String>) -> Result<Line> {
    let mut kept = Vec::new();
    while let Some(word) = words.pop_front() {
        if word == "--" {
            kept.push(word);
            kept.extend(words);
            break;
        }
        let known = Dashed::parse(&word).filter(|option| {
            option.letters().is_some()
                || matches!(find(None, &option.name), Ok(Found::Global(spec)) if spec.name == option.name)
        });
        match known {
            Some(option) => global(globals, &option, &mut words)?,
            None => kept.push(word),
        }
    }
    Ok(Line::Own(name, kept))
}

#[cfg(test)]
mod tests;
