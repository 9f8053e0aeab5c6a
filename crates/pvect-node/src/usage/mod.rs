//! What pct says about its own command line: which verb a word means, usage lines, help, errors.
//!
//! - `describe`, `wrap`: the help of a verb
//! - `report`: errors about the command line

mod describe;
pub(crate) mod report;
mod wrap;

use pvect_core::Verb;
use pvect_core::schema::{ArgSpec, Kind, OptionSpec};

pub(crate) use describe::describe;

use crate::Output;

/// What a word may mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meant {
    /// This verb.
    Verb(Verb),
    /// Several verbs begin with it.
    Several,
    /// No verb begins with it.
    Nothing,
}

/// Finds the verb of a name, an alias, or a unique beginning of a name.
pub(crate) fn resolve(word: &str) -> Meant {
    if let Some(verb) = Verb::from_name(word) {
        return Meant::Verb(verb);
    }
    let mut hits = Verb::ALL.iter().filter(|verb| verb.name().starts_with(word));
    match (hits.next(), hits.next()) {
        (Some(verb), None) => Meant::Verb(*verb),
        (Some(_), Some(_)) => Meant::Several,
        (None, _) => Meant::Nothing,
    }
}

/// The options of a verb that are not also positional arguments, sorted by name.
fn named_options(verb: Verb) -> Vec<&'static OptionSpec> {
    let spec = verb.spec();
    let positional = |name: &str| spec.args.iter().any(|arg| arg.name == name);
    spec.all_options().into_iter().filter(|option| !positional(option.name)).collect()
}

/// Returns the usage line of a verb, without a line end: `pct status <vmid> [OPTIONS]`.
pub(crate) fn usage_line(verb: Verb) -> String {
    line_after(&format!("pct {verb}"), verb)
}

fn line_after(prefix: &str, verb: Verb) -> String {
    let options = named_options(verb);
    let positional = |arg: &ArgSpec| {
        if arg.optional { format!("[<{}>]", arg.name) } else { format!("<{}>", arg.name) }
    };
    let required = |option: &&&OptionSpec| option.required;
    let mut words: Vec<String> = verb.spec().args.iter().map(positional).collect();
    words.extend(
        options
            .iter()
            .filter(required)
            .map(|option| format!("--{} <{}>", option.name, type_name(option.kind))),
    );
    let options = if options.is_empty() { "" } else { " [OPTIONS]" };
    // The blank after the verb is there without arguments, too.
    format!("{prefix} {}{options}", words.join(" "))
}

fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Boolean => "boolean",
        Kind::Integer { .. } => "integer",
        Kind::Number { .. } => "number",
        _ => "string",
    }
}

/// The verbs that begin a new paragraph of the usage: those of the next class of Proxmox VE's API.
const PARAGRAPHS: [Verb; 5] = [Verb::Config, Verb::Delsnapshot, Verb::Reboot, Verb::Console, Verb::Help];

/// Returns the usage of all verbs. After an incomplete verb pct repeats the `typed` word in each line and leaves
/// the empty lines between the classes out.
fn short(typed: Option<&str>) -> String {
    let mut text = "USAGE: pct <COMMAND> [ARGS] [OPTIONS]\n\n".to_owned();
    for verb in Verb::ALL {
        if typed.is_none() && PARAGRAPHS.contains(verb) {
            text.push('\n');
        }
        let prefix = typed.map_or_else(|| format!("pct {verb}"), |typed| format!("pct {typed} {verb}"));
        text += &format!("       {}\n", line_after(&prefix, *verb));
    }
    text
}

/// Returns the usage lines of all verbs by name, each after seven blanks, as `pct help --verbose 0` prints them.
pub(crate) fn all_usages(prefix: &str) -> String {
    by_name().map(|verb| format!("       {}\n", line_after(&format!("{prefix} {verb}"), verb))).collect()
}

/// All verbs, sorted by name.
fn by_name() -> impl Iterator<Item = Verb> {
    let mut verbs = Verb::ALL.to_vec();
    verbs.sort_by_key(|verb| verb.name());
    verbs.into_iter()
}

/// Prints an error and the usage of all verbs on stderr; returns 255.
pub(crate) fn refuse(reason: &str, typed: Option<&str>, output: &mut Output<'_>) -> u8 {
    output.warn(format!("ERROR: {reason}"));
    let _ = output.err.write_all(short(typed).as_bytes());
    255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_are_found_by_name_alias_and_beginning() {
        for (word, meant) in [
            ("list", Meant::Verb(Verb::List)),
            ("stat", Meant::Verb(Verb::Status)),
            ("snap", Meant::Verb(Verb::Snapshot)),
            ("move_volume", Meant::Verb(Verb::MoveVolume)),
            ("move", Meant::Verb(Verb::MoveVolume)),
            ("move_", Meant::Nothing),
            ("sta", Meant::Several),
            ("", Meant::Several),
            ("LIST", Meant::Nothing),
            ("--help", Meant::Nothing),
        ] {
            assert_eq!(resolve(word), meant, "{word:?}");
        }
    }

    #[test]
    fn usage_lines_are_those_of_pct() {
        for (verb, line) in [
            (Verb::List, "pct list "),
            (Verb::Unlock, "pct unlock <vmid>"),
            (Verb::Rescan, "pct rescan  [OPTIONS]"),
            (Verb::Exec, "pct exec <vmid> [<extra-args>] [OPTIONS]"),
            (
                Verb::MoveVolume,
                "pct move-volume <vmid> <volume> [<storage>] [<target-vmid>] [<target-volume>] [OPTIONS]",
            ),
            (
                Verb::RemoteMigrate,
                "pct remote-migrate <vmid> [<target-vmid>] <target-endpoint> --target-bridge <string> \
                 --target-storage <string> [OPTIONS]",
            ),
        ] {
            assert_eq!(usage_line(verb), line);
        }
    }
}
