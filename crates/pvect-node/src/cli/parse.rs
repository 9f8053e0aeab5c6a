//! Words to a call, checked against the table of verbs.

use std::fs;

use pvect_core::schema::{Kind, OptionSpec, Reason, Violation};
use pvect_core::{Call, Verb};

use super::getopt::{Spec, Takes};
use super::report::{USAGE_EXIT, bad_request, refused};
use super::usage::usage_line;
use crate::error::os_text;
use crate::{Failure, NodeResult};

/// An extension of this node: `--output-format json` on these verbs. The real pct has no such option; it is found
/// by its full name only, so that abbreviations and other unknown options fail here as they do there.
const WITH_FORMAT: [Verb; 3] = [Verb::List, Verb::Status, Verb::Config];
const FORMAT_OPTION: &str = "output-format";

/// What a command line says.
#[derive(Debug)]
pub(super) struct Parsed {
    /// The request, its types verified.
    pub call: Call,
    /// Whether JSON is asked for.
    pub json: bool,
}

/// Parses the words after a verb; `ask` prompts for a password.
///
/// In the order of the real one: options, number of words, password, booleans, files, then the values.
///
/// # Errors
/// pct's text with the usage line, or that of the prompt or the file.
pub(super) fn parse(
    verb: Verb,
    words: &[String],
    ask: &mut dyn FnMut() -> NodeResult<String>,
) -> NodeResult<Parsed> {
    let spec = verb.spec();
    let mut found = options_of(verb).scan(words);
    if !found.complaints.is_empty() {
        let text =
            format!("{}\n400 unable to parse option\n{}", found.complaints.join("\n"), usage_line(verb));
        return Err(Failure::with_exit(text, USAGE_EXIT));
    }
    let json = take(&mut found.options, FORMAT_OPTION).map(|value| json_asked(verb, &value)).transpose()?;
    let mut call = positionals(verb, found.words, &mut found.options)?;
    let mut values = Vec::new();
    for (name, given) in found.options {
        let Some((option, _)) = spec.option(&name) else { continue };
        values.push((option, name, given));
    }
    for (_, _, given) in values.iter_mut().filter(|(option, _, _)| option.secret) {
        if given.iter().all(|text| text.is_empty() || text == "0") {
            *given = vec![ask()?];
        }
    }
    for (option, _, given) in &values {
        let text = given.join(",");
        if option.kind == Kind::Boolean && !text.is_empty() && pvect_core::property::boolean(&text).is_none()
        {
            return Err(bad_request(verb, "unable to parse boolean option"));
        }
    }
    for (option, name, given) in values {
        let text = given.join(",");
        call = match option {
            OptionSpec { secret: true, .. } => call.secret(name, text.into()),
            OptionSpec { file: true, .. } => call.option(name, read_file(&text)?),
            _ => call.option(name, text),
        };
    }
    let call = call.verified().map_err(|violations| refused(verb, &violations))?;
    Ok(Parsed { call, json: json.unwrap_or(false) })
}

/// The options that Getopt knows of a verb: its own, and the positionals, which may be named too.
fn options_of(verb: Verb) -> Spec {
    let mut spec = Spec::default();
    for option in verb.spec().all_options() {
        let takes = match option.kind {
            Kind::Boolean => Takes::MaybeValue,
            Kind::List(_) => Takes::Values,
            _ if option.secret => Takes::MaybeValue,
            _ => Takes::Value,
        };
        match option.max_index {
            None => spec.add(option.name, takes),
            Some(max) => (0..=max).for_each(|index| spec.add(format!("{}{index}", option.name), takes)),
        }
    }
    for arg in verb.spec().args {
        spec.add(arg.name, if arg.rest { Takes::Values } else { Takes::Value });
    }
    if WITH_FORMAT.contains(&verb) {
        spec.add_exact(FORMAT_OPTION);
    }
    spec
}

fn take(options: &mut Vec<(String, Vec<String>)>, name: &str) -> Option<String> {
    let at = options.iter().position(|(known, _)| known == name)?;
    Some(options.remove(at).1.join(","))
}

fn json_asked(verb: Verb, value: &str) -> NodeResult<bool> {
    match value {
        "json" => Ok(true),
        "text" => Ok(false),
        _ => {
            let allowed = vec!["json".to_owned(), "text".to_owned()];
            let reason = Reason::NotInEnum { allowed, value: value.to_owned() };
            Err(refused(verb, &[Violation::option(FORMAT_OPTION, reason)]))
        }
    }
}

/// Puts the words in the places of the positionals. One that stands in its place wins over one that is named; a
/// required one has to stand in its place.
fn positionals(verb: Verb, words: Vec<String>, options: &mut Vec<(String, Vec<String>)>) -> NodeResult<Call> {
    let mut call = Call::new(verb);
    let mut words = words.into_iter();
    let mut waiting = Vec::new();
    for arg in verb.spec().args {
        let named = take(options, arg.name);
        if arg.rest {
            return Ok(if verb == Verb::Exec { call.command(words) } else { words.fold(call, Call::arg) });
        }
        let word = match words.next() {
            None if !arg.optional => return Err(bad_request(verb, "not enough arguments")),
            word => word.or(named),
        };
        match word {
            // An optional one without a value stays empty only if a later one has one.
            None => waiting.push(String::new()),
            Some(word) => {
                call = waiting.drain(..).fold(call, Call::arg).arg(word);
            }
        }
    }
    if words.next().is_some() {
        return Err(bad_request(verb, "too many arguments"));
    }
    Ok(call)
}

/// Reads the file that an option names; the exit status is the system's error number, as with the real one.
fn read_file(path: &str) -> NodeResult<String> {
    let failed = |error: &std::io::Error| {
        let exit = error.raw_os_error().and_then(|code| u8::try_from(code).ok()).unwrap_or(255);
        Failure::with_exit(format!("can't open '{path}' - {}", os_text(error)), exit)
    };
    fs::read_to_string(path).map_err(|error| failed(&error))
}
