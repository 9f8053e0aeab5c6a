//! The command tree of clap, made from the table of verbs: for help, completions and manual pages.

use clap::builder::{PossibleValuesParser, StyledStr};
use clap::{Arg, ArgAction, Command};
use pvect_core::Verb;
use pvect_core::schema::{ArgSpec, Kind, OptionSpec, VERBS, VerbSpec};

use super::globals::{GLOBALS, GlobalSpec};
use super::options::{self, PASSWORD_OPTIONS};
pub use super::own::{NETWORK_KEYS, own};
use super::own::{OWN, bare, help_command, template_commands};

/// What the ids of global options begin with.
const GLOBAL: &str = "global-";

/// How families of options are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Families {
    /// `--net[n]`, for people.
    Bracketed,
    /// `--net0`, for shells.
    First,
}

/// The whole tree.
pub fn root(families: Families) -> Command {
    let verbs = VERBS.iter().filter(|spec| spec.verb != Verb::Help).map(|spec| verb(spec, families));
    let own = OWN.iter().filter(|(name, _)| *name != "pct").map(|(name, _)| with_globals(own(name)));
    let root = Command::new("pvect")
        .version(env!("CARGO_PKG_VERSION"))
        .about(
            "Manages LXC containers on Proxmox VE through pct, and without Proxmox VE on a standalone node.",
        )
        .disable_help_flag(true)
        .disable_version_flag(true)
        .disable_help_subcommand(true)
        .subcommand_required(true)
        .subcommands(verbs)
        .subcommands(own)
        .subcommand(with_globals(help_command()));
    with_globals(root)
}

/// The options that every command takes, as a command of their own.
pub fn options() -> Command {
    with_globals(bare("pvect", "Options that every command takes, before or after its name."))
}

/// Hides the options that every command takes.
pub fn without_globals(command: Command) -> Command {
    command.mut_args(|arg| {
        let is_global = arg.get_id().as_str().starts_with(GLOBAL);
        arg.hide(is_global)
    })
}

/// Adds the global options, to nested commands too; where a verb has an option of the name, that one stays.
fn with_globals(command: Command) -> Command {
    let taken: Vec<String> =
        command.get_arguments().filter_map(|arg| arg.get_long().map(str::to_owned)).collect();
    let free = GLOBALS.iter().filter(|spec| !taken.iter().any(|name| name == spec.name));
    let command = command.args(free.map(|spec| global(spec, &taken)));
    let nested: Vec<String> = command.get_subcommands().map(|one| one.get_name().to_owned()).collect();
    nested.into_iter().fold(command, |command, name| {
        let has_them = |one: &Command| one.get_arguments().any(|arg| arg.get_id() == "global-output");
        command.mut_subcommand(name, |one| if has_them(&one) { one } else { with_globals(one) })
    })
}

/// The tree of one verb.
pub fn verb(spec: &'static VerbSpec, families: Families) -> Command {
    let takes_password = spec.options.iter().any(|option| option.name == "password");
    let mut command = bare(spec.name, spec.text);
    // An optional argument before a required one.
    let skips = matches!(spec.verb, Verb::Create | Verb::Restore | Verb::RemoteMigrate);
    command = command.allow_missing_positional(skips);
    for (index, arg) in spec.args.iter().enumerate() {
        // The numbers that are taken when none is given.
        let found = match spec.verb {
            Verb::Create | Verb::Restore => index == 0,
            Verb::Clone => index == 1,
            _ => false,
        };
        let known = positional(arg, arg.optional || found);
        command = command.arg(match found {
            true => known.help(format!("{} The next free one if left out.", arg.text)),
            false => known,
        });
    }
    let mut options: Vec<Arg> = spec.all_options().into_iter().map(|spec| option(spec, families)).collect();
    if takes_password {
        options.extend(PASSWORD_OPTIONS.iter().map(|(name, value, text)| {
            let arg = Arg::new(*name).long(*name).help(*text);
            match value {
                Some(value) => arg.value_name(*value).value_hint(clap::ValueHint::FilePath),
                None => arg.action(ArgAction::SetTrue),
            }
        }));
        options.sort_by(|a, b| a.get_long().cmp(&b.get_long()));
    }
    command = command.args(options);
    command = command.args(options::extras(spec.verb).map(|spec| {
        let arg = Arg::new(format!("extra-{}", spec.name)).long(spec.name).help(spec.text);
        let arg = arg.help_heading("Options that pvect adds");
        let arg = match spec.short {
            Some(letter) => arg.short(letter),
            None => arg,
        };
        match spec.value {
            Some(value) if spec.without.is_some() => {
                arg.value_name(value).num_args(0..=1).require_equals(true)
            }
            Some(value) => arg.value_name(value).value_hint(clap::ValueHint::FilePath),
            None => arg.action(ArgAction::SetTrue),
        }
    }));
    if spec.verb == Verb::Template {
        command = command
            .args_conflicts_with_subcommands(true)
            .subcommand_negates_reqs(true)
            .subcommands(template_commands());
    }
    with_globals(command)
}

fn global(spec: &GlobalSpec, taken: &[String]) -> Arg {
    let arg = Arg::new(format!("{GLOBAL}{}", spec.name)).long(spec.name).help(spec.text);
    let arg = match spec.short {
        Some(letter) if !taken.iter().any(|name| name.starts_with(letter) && letter == 'v') => {
            arg.short(letter)
        }
        _ => arg,
    };
    let arg = arg.help_heading("Options of pvect");
    match spec.value {
        Some(value) if spec.choices.is_empty() => arg.value_name(value),
        Some(value) => arg.value_name(value).value_parser(PossibleValuesParser::new(spec.choices)),
        None if spec.name == "verbose" => arg.action(ArgAction::Count),
        None => arg.action(ArgAction::SetTrue),
    }
}

fn positional(spec: &ArgSpec, optional: bool) -> Arg {
    let arg = Arg::new(spec.name).help(spec.text).required(!optional);
    if spec.rest { arg.num_args(0..) } else { arg }
}

fn option(spec: &'static OptionSpec, families: Families) -> Arg {
    let long = match (spec.max_index, families) {
        (Some(_), Families::First) => format!("{}0", spec.name),
        _ => spec.display_name(),
    };
    let arg = Arg::new(spec.name).long(long).help(text(spec)).value_name(placeholder(spec));
    match spec.kind {
        Kind::Boolean => arg.num_args(0..=1),
        _ if spec.secret => arg.action(ArgAction::SetTrue),
        Kind::Enum(words) => {
            arg.value_parser(PossibleValuesParser::new(words)).hide_possible_values(words.len() > 12)
        }
        _ if spec.file => arg.value_hint(clap::ValueHint::FilePath),
        _ => arg,
    }
}

/// Help's sentence with bounds and default.
fn text(spec: &OptionSpec) -> StyledStr {
    let mut text = if spec.secret { "Ask for root's password.".to_owned() } else { spec.text.to_owned() };
    let mut notes = Vec::new();
    match spec.kind {
        Kind::Integer { min, max } => notes.extend(range(min, max)),
        Kind::Number { min, max } => notes.extend(range(min, max)),
        _ => {}
    }
    notes.extend(spec.max_index.map(|max| format!("n: 0 to {max}")));
    notes.extend(spec.default.map(|default| format!("default: {default}")));
    if !notes.is_empty() {
        text += &format!(" [{}]", notes.join("; "));
    }
    text.into()
}

fn range<T: std::fmt::Display>(min: Option<T>, max: Option<T>) -> Option<String> {
    match (min, max) {
        (Some(min), Some(max)) => Some(format!("{min} to {max}")),
        (Some(min), None) => Some(format!("at least {min}")),
        (None, Some(max)) => Some(format!("at most {max}")),
        (None, None) => None,
    }
}

fn placeholder(spec: &OptionSpec) -> String {
    match spec.kind {
        Kind::Boolean => "1|0".to_owned(),
        Kind::Integer { .. } | Kind::Number { .. } => "N".to_owned(),
        Kind::Enum(_) => "WORD".to_owned(),
        Kind::VolumeKey { .. } => "VOLUME".to_owned(),
        Kind::Text(_) if spec.file => "FILE".to_owned(),
        Kind::Text(_) => "TEXT".to_owned(),
        Kind::List(_) => "LIST".to_owned(),
        Kind::Properties(schema) => schema
            .properties
            .iter()
            .filter(|key| key.required || schema.default_key.is_none())
            .take(4)
            .map(|key| match schema.default_key {
                Some(default) if default == key.name => key.name.to_uppercase(),
                _ => format!("{}=..", key.name),
            })
            .chain(std::iter::once("...".to_owned()))
            .collect::<Vec<_>>()
            .join(","),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_sound_and_whole() {
        for families in [Families::Bracketed, Families::First] {
            let root = root(families);
            root.clone().debug_assert();
            for spec in &VERBS {
                let command = root.find_subcommand(spec.name).expect(spec.name);
                for option in spec.all_options().iter().filter(|_| spec.verb != Verb::Help) {
                    assert!(
                        command.get_arguments().any(|arg| arg.get_id() == option.name),
                        "{} lacks {}",
                        spec.name,
                        option.name
                    );
                }
            }
        }
    }
}
