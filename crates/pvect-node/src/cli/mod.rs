//! The command line of pct: parsing, dispatch.
//!
//! - `getopt`: options as Getopt::Long takes them
//! - `parse`: words to a checked call
//! - `password`: the prompt for a password

pub(crate) mod getopt;
mod parse;
mod password;

use pvect_core::Verb;

use crate::usage::{Meant, refuse, resolve};
use crate::{Failure, Node, NodeResult, Output, store, verbs};
pub(crate) use parse::check_zone;

/// Parses the words after `pct`, runs the verb, and returns the exit status.
pub fn run(node: &Node, words: &[String], output: &mut Output<'_>) -> u8 {
    let first = words.first().map_or("", String::as_str);
    let verb = match resolve(first) {
        // pct treats 0 like an empty word.
        _ if first.is_empty() || first == "0" => return refuse("no command specified", None, output),
        Meant::Verb(verb) => verb,
        Meant::Several => {
            return refuse(&format!("incomplete command 'pct {first}'"), Some(first), output);
        }
        // Words of the real pct's shell completion and self-check: print nothing.
        Meant::Nothing if matches!(first, "bashcomplete" | "verifyapi") => return 0,
        Meant::Nothing => return refuse(&format!("unknown command 'pct {first}'"), None, output),
    };
    match run_verb(node, verb, &words[1..], output) {
        Ok(exit) => exit,
        Err(failure) => {
            output.warn(&failure.text);
            failure.exit
        }
    }
}

fn run_verb(node: &Node, verb: Verb, words: &[String], output: &mut Output<'_>) -> NodeResult<u8> {
    // The real pct checks this first; here anyone may read a verb's help.
    if verb != Verb::Help && !rustix::process::geteuid().is_root() {
        return Err(Failure::new("please run as root"));
    }
    let parsed = parse::parse(verb, words, &mut password::confirmed)?;
    if verb == Verb::Help {
        return verbs::dispatch(node, &parsed.call, output);
    }
    // A verb that only reads, or that enters a container, does not create a node.
    let makes_node = verb.spec().mutates && !matches!(verb, Verb::Exec | Verb::Enter | Verb::Console);
    if makes_node || node.layout.root().is_dir() {
        store::ensure_root(node)?;
    }
    if parsed.json {
        verbs::dispatch_json(node, &parsed.call, output)
    } else {
        verbs::dispatch(node, &parsed.call, output)
    }
}
