//! Errors about the command line, as pct prints them.

use std::fmt::Write;

use pvect_core::Verb;
use pvect_core::schema::{Reason, Violation};

use super::usage_line;
use crate::Failure;

/// The exit status of most errors about the command line.
pub(crate) const USAGE_EXIT: u8 = 2;

/// `400 <what>` and the usage line.
pub(crate) fn bad_request(verb: Verb, what: &str) -> Failure {
    Failure::bad_request(format!("{what}\n{}", usage_line(verb)))
}

/// `400 Parameter verification failed.`, the same words for each of these parameters, and the usage line.
pub(crate) fn bad_parameters(verb: Verb, names: &[&str], what: &str) -> Failure {
    let errors = names.iter().map(|name| ((*name).to_owned(), what.to_owned())).collect();
    let lines: String = names.iter().map(|name| format!("{name}: {what}\n")).collect();
    Failure::bad_parameters(errors, &(lines + &usage_line(verb)))
}

/// `400 Parameter verification failed.`, a line for each violation, and the usage line.
///
/// An unknown time zone ends the real one with 255, everything else with 2.
pub(crate) fn refused(verb: Verb, violations: &[Violation]) -> Failure {
    let text = lines(violations) + &usage_line(verb);
    let zone = violations.first().is_some_and(|first| first.name == "timezone");
    Failure::bad_parameters(Violation::by_option(violations), &text).exiting(if zone {
        255
    } else {
        USAGE_EXIT
    })
}

/// `400 Result verification failed`, a line for each violation, and the usage line: what was about to be shown breaks
/// the schema.
pub(crate) fn unfit(verb: Verb, violations: &[Violation]) -> Failure {
    Failure::new(format!("400 Result verification failed\n{}{}", lines(violations), usage_line(verb)))
}

/// pct's line for each violation.
///
/// pct prints an empty line after each text of a format check, and another one after those inside a property
/// string; so does this.
fn lines(violations: &[Violation]) -> String {
    let mut text = String::new();
    let mut rest = violations;
    while let Some((first, others)) = rest.split_first() {
        let inner = format!("{}.", first.name);
        let count = others.iter().take_while(|violation| violation.name.starts_with(&inner)).count();
        let (group, after) = others.split_at(count);
        rest = after;
        text += &first.pct_text();
        text.push('\n');
        for violation in group {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", violation.pct_text());
            if is_format(violation) {
                text.push('\n');
            }
        }
        if is_format(first) {
            text.push('\n');
        }
    }
    text
}

fn is_format(violation: &Violation) -> bool {
    matches!(violation.reason, Reason::Format { .. })
}
