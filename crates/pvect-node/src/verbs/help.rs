//! `pct help`: explains a verb.

use pvect_core::Call;

use crate::usage::{self, Meant};
use crate::{Node, NodeResult, Output};

/// Explains a verb, or all of them. Returns the exit status.
///
/// # Errors
/// None: an unknown verb is reported with the usage of all (255).
pub fn run(_node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let word = call.args().first().map(String::as_str);
    let full = call.get("verbose") != Some("0");
    // If several verbs begin with the word, it is explained as in pct: all verbs, with the word repeated in each.
    let (prefix, verb) = match word.map(|word| (word, usage::resolve(word))) {
        None => ("pct".to_owned(), None),
        Some((_, Meant::Verb(verb))) => ("pct".to_owned(), Some(verb)),
        Some((word, Meant::Several)) => (format!("pct {word}"), None),
        Some((word, Meant::Nothing)) => {
            return Ok(usage::refuse(&format!("unknown command '{word}'"), None, output));
        }
    };
    let text = match verb {
        _ if full => usage::describe(&prefix, verb),
        Some(verb) => format!("USAGE: {}\n", usage::usage_line(verb)),
        None => format!("USAGE: {}", usage::all_usages(&prefix).trim_start()),
    };
    output.line(text);
    Ok(0)
}

#[cfg(test)]
mod tests {
    use pvect_core::Verb;

    use super::*;

    fn help(words: &[&str]) -> (u8, String) {
        let node = crate::fixture::node("/nonexistent");
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let exit = crate::cli::run(&node, &words, &mut Output::new(&mut out, &mut err));
        (exit, String::from_utf8(out).unwrap())
    }

    #[test]
    fn a_short_help_is_the_usage() {
        assert_eq!(
            help(&["help", "stat", "--verbose", "0"]),
            (0, "USAGE: pct status <vmid> [OPTIONS]\n\n".into())
        );
        let (exit, text) = help(&["help", "--verbose=0"]);
        assert!(
            exit == 0
                && text.starts_with("USAGE: pct clone <vmid> <newid> [OPTIONS]\n       pct config <vmid>")
        );
        assert_eq!(text.lines().count(), Verb::ALL.len() + 1);
    }

    #[test]
    fn a_full_help_ends_with_an_empty_line() {
        assert_eq!(help(&["help", "list"]).1, "USAGE: pct list \n\n  List the containers of the node.\n\n\n");
        assert!(help(&["help"]).1.starts_with("USAGE: pct clone <vmid> <newid> [OPTIONS]\n\n"));
        assert!(help(&["help", "sta"]).1.starts_with("USAGE: pct sta clone <vmid>"));
    }
}
