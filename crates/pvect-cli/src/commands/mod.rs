//! The commands: one file each.

pub mod backup;
pub mod bulk;
pub mod careful;
pub mod chosen;
pub mod clone;
pub mod compare;
pub mod completion;
pub mod create;
pub mod demo;
pub mod doctor;
pub mod help;
#[cfg(feature = "image")]
pub mod image;
pub mod inspect;
pub mod interactive;
pub mod ip;
pub mod list;
pub mod log;
pub mod man;
pub mod network;
pub mod node;
pub mod operate;
#[cfg(feature = "serve")]
pub mod serve;
pub mod settings;
pub mod tasks;
pub mod template;
#[cfg(feature = "top")]
pub mod top;
pub mod usage;
pub mod version;
pub mod watch;

use clap::ArgMatches;
use clap::error::{ContextKind, ContextValue, ErrorKind as Kind};
use pvect_core::{Error, Result};

use crate::args::tree;

/// The error for a command that this build was made without; see the features in Cargo.toml.
#[cfg(not(all(feature = "image", feature = "serve", feature = "top")))]
pub fn left_out(name: &str) -> Error {
    let what = format!("this build of pvect does not include '{name}'; 'make build' makes one that does");
    Error::Unsupported { what, vmid: None }
}

/// Reads the words of one of pvect's own commands.
///
/// # Errors
/// `InvalidArgument` with clap's complaint, in our form.
pub fn own_words(name: &'static str, words: &[String]) -> Result<ArgMatches> {
    let command = tree::own(name).no_binary_name(true).bin_name(format!("pvect {name}"));
    command.try_get_matches_from(words).map_err(|error| {
        let context = |kind| match error.get(kind) {
            Some(ContextValue::String(text)) => text.clone(),
            Some(ContextValue::Strings(list)) => list.join(", "),
            _ => String::new(),
        };
        let first = |kind| match error.get(kind) {
            Some(ContextValue::Strings(list)) => list.first().cloned().unwrap_or_default(),
            _ => context(kind),
        };
        let (about, text) = match error.kind() {
            Kind::MissingRequiredArgument => {
                let usage = match error.get(ContextKind::Usage) {
                    Some(ContextValue::StyledStr(usage)) => usage.to_string(),
                    _ => String::new(),
                };
                let usage = usage.trim().trim_start_matches("Usage: ").to_owned();
                // Where it is the only word, its name says as much.
                let usage =
                    if usage.matches(['<', '[']).count() > 1 { format!(": {usage}") } else { String::new() };
                (first(ContextKind::InvalidArg), format!("is missing and required{usage}"))
            }
            Kind::ValueValidation => {
                let value = context(ContextKind::InvalidValue);
                let why = std::error::Error::source(&error).map(|why| format!(": {why}")).unwrap_or_default();
                (context(ContextKind::InvalidArg), format!("'{value}' cannot be used{why}"))
            }
            Kind::MissingSubcommand | Kind::DisplayHelpOnMissingArgumentOrSubcommand => {
                let names: Vec<String> =
                    tree::own(name).get_subcommands().map(|one| one.get_name().to_owned()).collect();
                ("<command>".to_owned(), format!("is missing; it is one of: {}", names.join(", ")))
            }
            Kind::InvalidValue => {
                let value = context(ContextKind::InvalidValue);
                let words = context(ContextKind::ValidValue);
                (context(ContextKind::InvalidArg), format!("'{value}' is not one of: {words}"))
            }
            Kind::InvalidSubcommand => {
                (context(ContextKind::InvalidSubcommand), format!("pvect {name} has no such command"))
            }
            Kind::UnknownArgument => {
                let what = context(ContextKind::InvalidArg);
                match what.starts_with("--") {
                    true => (what, format!("pvect {name} does not take this")),
                    false => ("arguments".to_owned(), format!("pvect {name} does not take '{what}'")),
                }
            }
            _ => (String::new(), error.to_string().lines().next().unwrap_or_default().to_owned()),
        };
        let positional = !about.starts_with("--");
        let name = about.trim_matches(['<', '>', '-']).split(' ').next().unwrap_or_default().to_owned();
        if positional { Error::bad_argument(name, text) } else { Error::bad_option(name, text) }
    })
}
