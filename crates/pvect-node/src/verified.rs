//! What is shown is verified by the table first, as the real pct verifies what its API returns: one stored value outside
//! the schema, and `config` shows nothing of the container, `list` nothing of the node.
//!
//! `status` verifies nothing, but counts with what is stored as Perl does, and warns where that is no number.
//!
//! Source: `PVE::RESTHandler` and `PVE::JSONSchema` of pve-common, `vmstatus` of pve-container.

use pvect_core::config::Section;
use pvect_core::schema::{Reason, Violation, check};
use pvect_core::{ContainerConfig, Verb, shape};
use pvect_native::Counted;

use crate::usage::report::unfit;
use crate::{Failure, NodeResult, Output};

/// Checks a configuration that `config` is about to show.
///
/// # Errors
/// `400 Result verification failed`, with a line for each value that breaks the schema (255).
pub(crate) fn config(section: &Section) -> NodeResult<()> {
    let found = section.keys().into_iter().filter_map(|key| check::shown(key, &section.get(key)?).err());
    all_fit(Verb::Config, &found.flatten().collect::<Vec<_>>())
}

/// Checks what `list` is about to show: one entry for each file, `None` for a file whose number cannot be a
/// container's. The real pct numbers them in the order of a hash, this node in their own order.
///
/// # Errors
/// As [`config`].
pub(crate) fn list(entries: &[Option<Counted>]) -> NodeResult<()> {
    let of_one = |(index, entry): (usize, &Option<Counted>)| {
        let named = move |(name, reason)| Violation::option(format!("[{index}].{name}"), reason);
        unfit_fields(entry.as_ref()).into_iter().map(named).collect::<Vec<_>>()
    };
    all_fit(Verb::List, &entries.iter().enumerate().flat_map(of_one).collect::<Vec<_>>())
}

/// The fields that are not of their type.
fn unfit_fields(counted: Option<&Counted>) -> Vec<(&'static str, Reason)> {
    let Some(counted) = counted else {
        let pct = "value does not look like a valid VM ID".to_owned();
        let reason = Reason::Format { pct, allowed: "100 to 999999999".to_owned(), value: String::new() };
        return vec![("vmid", reason)];
    };
    let cpus = counted.cpus.as_ref().and_then(|cpus| cpus.as_ref().err());
    let bytes = [("maxmem", counted.memory.as_ref().err()), ("maxswap", counted.swap.as_ref().err())];
    let mut wrong: Vec<(&'static str, Reason)> = Vec::new();
    wrong.extend(cpus.map(|value| ("cpus", Reason::Type { expected: "number", value: value.clone() })));
    wrong.extend(bytes.into_iter().filter_map(|(name, value)| {
        let value = value.filter(|value| !shape::is_integer(value))?.clone();
        Some((name, Reason::Type { expected: "integer", value }))
    }));
    wrong
}

fn all_fit(verb: Verb, violations: &[Violation]) -> NodeResult<()> {
    if violations.is_empty() { Ok(()) } else { Err(unfit(verb, violations)) }
}

/// The values that `list` and `status` calculate with. Warns as Perl does if memory or swap is not a number.
///
/// # Errors
/// What is wrong with the stored `rootfs`, in pct's words, if its size matters because the container does not run.
pub(crate) fn counted(
    config: &ContainerConfig,
    running: bool,
    output: &mut Output<'_>,
) -> NodeResult<Counted> {
    match config.main.options.get("rootfs") {
        Some(text) if !running => drop(check::stored("rootfs", text).map_err(Failure::new)?),
        _ => {}
    }
    let counted = Counted::of(config);
    for text in &counted.not_numeric {
        output.warn(format!("Argument \"{text}\" isn't numeric in multiplication (*)"));
    }
    Ok(counted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(lines: &[(&str, &str)]) -> Section {
        let mut section = Section::default();
        lines.iter().for_each(|(key, value)| section.set(key, *value));
        section
    }

    #[test]
    fn a_configuration_is_shown_whole_or_not_at_all() {
        let good =
            [("memory", "512"), ("onboot", "1"), ("bogus", "x"), ("parent", "s 1"), ("lock", "backup")];
        assert_eq!(config(&section(&good)), Ok(()));
        let bad = [
            ("hostname", "a_b"),
            ("memory", "0"),
            ("mp0", "bogus"),
            ("net0", "bogus"),
            ("onboot", "maybe"),
            ("rootfs", "local:1,size=x"),
        ];
        let failure = config(&section(&bad)).unwrap_err();
        assert_eq!(failure.exit, 255);
        assert_eq!(
            failure.text,
            "400 Result verification failed\n\
             hostname: invalid format - value does not look like a valid DNS name\n\n\
             memory: value must have a minimum value of 16\n\
             mp0: invalid format - format error\n\
             mp0.mp: property is missing and it is not optional\n\n\
             net0: invalid format - value without key, but schema does not define a default key\n\n\
             onboot: type check ('boolean') failed - got 'maybe'\n\
             rootfs: invalid format - format error\n\
             rootfs.size: invalid format - value does not look like a valid disk size: x\n\n\n\
             pct config <vmid> [OPTIONS]"
        );
    }

    #[test]
    fn a_list_is_shown_whole_or_not_at_all() {
        let of = |lines: &[(&str, &str)]| {
            Some(Counted::of(&ContainerConfig { main: section(lines), ..ContainerConfig::default() }))
        };
        // The list does not check what config refuses; a word counts as 0.
        assert_eq!(list(&[of(&[("memory", "abc"), ("mp0", "bogus")]), of(&[("cores", "2")])]), Ok(()));
        let failure = list(&[None, of(&[]), of(&[("cores", "abc"), ("swap", "0.00001")])]).unwrap_err();
        assert_eq!(
            failure.text,
            "400 Result verification failed\n\
             [0].vmid: invalid format - value does not look like a valid VM ID\n\n\
             [2].cpus: type check ('number') failed - got 'abc'\n\
             [2].maxswap: type check ('integer') failed - got '10.48576'\n\
             pct list "
        );
    }
}
