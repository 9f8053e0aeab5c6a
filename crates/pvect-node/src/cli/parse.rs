//! Words to a call, checked against the table of verbs.

use std::path::Path;

use pvect_core::schema::{Format, Kind, OptionSpec, Reason, Violation};
use pvect_core::{Call, Verb};

use super::getopt::{Spec, Takes};
use crate::usage::report::{USAGE_EXIT, bad_request, refused};
use crate::usage::usage_line;
use crate::{Failure, NodeResult};

/// An extension of this node: `--output-format json` on these verbs. The real pct has no such option; it is found
/// by its full name only, so that abbreviations and other unknown options fail here as they do there.
const WITH_FORMAT: [Verb; 3] = [Verb::List, Verb::Status, Verb::Config];
const FORMAT_OPTION: &str = "output-format";
/// Another one: `--trust-config 0` of a restore leaves out what a backup's configuration would do on the host.
const TRUST_OPTION: &str = crate::verbs::TRUST_CONFIG;
/// And one more: `--fill 1` lets a pull fill the disk.
const FILL_OPTION: &str = crate::verbs::FILL;

/// The time zones of the host.
const ZONES: &str = "/usr/share/zoneinfo/zone.tab";

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
/// Checks in the real pct's order: options, number of words, password, booleans, then the values. A file that an option
/// names is left to the verb.
///
/// # Errors
/// pct's text with the usage line, or that of the prompt.
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
    let switches = [TRUST_OPTION, FILL_OPTION].map(|name| (name, take(&mut found.options, name)));
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
            _ => call.option(name, text),
        };
    }
    let mut call = call.verified().map_err(|violations| refused(verb, &violations))?;
    check_zone(&call)?;
    for (name, text) in switches {
        let Some(text) = text else { continue };
        // The option is not in the real pct's schema, so it is checked here.
        let text = if text.is_empty() && name == FILL_OPTION { "1" } else { &text };
        if pvect_core::property::boolean(text).is_none() {
            return Err(bad_request(verb, "unable to parse boolean option"));
        }
        call = call.option(name, text);
    }
    Ok(Parsed { call, json: json.unwrap_or(false) })
}

/// Refuses a time zone that the host does not know.
///
/// # Errors
/// pct's text with the usage line.
pub(crate) fn check_zone(call: &Call) -> NodeResult<()> {
    let Some(zone) = call.get("timezone").filter(|zone| !is_known_zone(Path::new(ZONES), zone)) else {
        return Ok(());
    };
    let (pct, value) = (format!("invalid time zone '{zone}'"), zone.to_owned());
    let reason = Reason::Format { pct, allowed: Format::TimeZone.allowed().to_owned(), value };
    Err(refused(call.verb(), &[Violation::option("timezone", reason)]))
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
        spec.add_exact(FORMAT_OPTION, Takes::Value);
    }
    if matches!(verb, Verb::Create | Verb::Restore) {
        spec.add_exact(TRUST_OPTION, Takes::Value);
    }
    if verb == Verb::Pull {
        spec.add_exact(FILL_OPTION, Takes::MaybeValue);
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

/// Puts the words in the places of the positionals. A positional word wins over the same argument given by name; a
/// required argument must be a positional word.
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
            // An optional argument without a value stays empty only if a later one has a value.
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

/// Whether a time zone is in the host's list. Without a list (no tzdata) every well-formed name is accepted.
fn is_known_zone(list: &Path, zone: &str) -> bool {
    if matches!(zone, "host" | "UTC") {
        return true;
    }
    let Ok(text) = std::fs::read_to_string(list) else { return true };
    text.lines().any(|line| !line.starts_with('#') && line.split('\t').nth(2) == Some(zone))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(verb: Verb, line: &str) -> NodeResult<Parsed> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(verb, &words, &mut || Ok("asked-for".to_owned()))
    }

    fn text(verb: Verb, line: &str) -> String {
        parsed(verb, line).unwrap_err().text
    }

    #[test]
    fn options_become_a_call() {
        let call =
            parsed(Verb::Set, "101 --mem 256 -onboot --tags a --tags b,c --unused3=local:1").unwrap().call;
        assert_eq!(
            call.argv(),
            ["set", "101", "--memory", "256", "--onboot", "1", "--tags", "a,b,c", "--unused3", "local:1"]
        );
        let call = parsed(Verb::Exec, "101 --keep-env 0 -- ls -la").unwrap().call;
        assert_eq!(
            (call.args(), call.command_words()),
            (&["101".to_owned()][..], &["ls".into(), "-la".into()][..])
        );
        assert_eq!(text(Verb::Exec, "101 ls -la").lines().next(), Some("Unknown option: la"));
        let call = parsed(Verb::Status, "101 --vmid 102").unwrap().call;
        assert_eq!(call.args(), ["101"]);
        let call = parsed(Verb::MoveVolume, "101 rootfs --storage local").unwrap().call;
        assert_eq!(call.args(), ["101", "rootfs", "local"]);
    }

    #[test]
    fn passwords_are_secret_and_asked_for() {
        for (line, asked) in [("--password", true), ("--password=", true), ("--password hunter22", false)] {
            let call = parsed(Verb::Create, &format!("101 x.tar {line}")).unwrap().call;
            assert!(call.get_secret("password").is_some() && call.get("password").is_none(), "{line}");
            let debug = format!("{call:?}");
            assert!(!debug.contains("hunter22") && !debug.contains("asked-for"), "{line} {asked}");
        }
        let refused = parse(Verb::Create, &["1".into(), "x".into(), "--password".into()], &mut || {
            Err(Failure::new("passwords do not match"))
        });
        assert_eq!(refused.unwrap_err().text, "passwords do not match");
    }

    #[test]
    fn switches_of_this_node_have_their_full_names() {
        let call = parsed(Verb::Restore, "101 local:backup/x.tar --trust-config 0").unwrap().call;
        assert_eq!(call.get("trust-config"), Some("0"));
        let wrong = text(Verb::Restore, "101 local:backup/x.tar --trust-config maybe");
        assert!(wrong.starts_with("400 unable to parse boolean option\n"), "{wrong}");
        // An empty value, as from an unset variable of a script, does not mean trust.
        let words = ["101", "local:backup/x.tar", "--trust-config", ""].map(str::to_owned);
        let empty = parse(Verb::Restore, &words, &mut || unreachable!()).unwrap_err().text;
        assert!(empty.starts_with("400 unable to parse boolean option\n"), "{empty}");
        let call = parsed(Verb::Pull, "101 /a b --fill 1").unwrap().call;
        assert_eq!(call.get("fill"), Some("1"));
        assert_eq!(parsed(Verb::Pull, "101 /a b --fill").unwrap().call.get("fill"), Some("1"));
        assert!(text(Verb::Set, "101 --trust-config 0").starts_with("Unknown option: trust-config\n"));
    }

    #[test]
    fn json_is_asked_for_by_the_full_name() {
        assert!(parsed(Verb::List, "--output-format json").unwrap().json);
        assert!(!parsed(Verb::Status, "101 --output-format=text").unwrap().json);
        assert_eq!(
            text(Verb::List, "--output-format yaml"),
            "400 Parameter verification failed.\noutput-format: value 'yaml' does not have a value in the \
             enumeration 'json, text'\npct list "
        );
        for line in ["--output json", "--o json", "--verbose"] {
            assert!(text(Verb::List, line).starts_with("Unknown option: "), "{line}");
        }
        assert!(
            text(Verb::Pending, "101 --output-format json").starts_with("Unknown option: output-format\n")
        );
    }

    #[test]
    fn zones_are_those_of_the_host() {
        let list = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(list.path(), "#comment\nDE\t+5230+01322\tEurope/Berlin\tmost\n").unwrap();
        assert!(is_known_zone(list.path(), "Europe/Berlin") && is_known_zone(list.path(), "host"));
        assert!(!is_known_zone(list.path(), "Nowhere/City"));
        assert!(is_known_zone(Path::new("/nonexistent"), "Nowhere/City"));
    }
}
