//! Help of all commands, of all levels: each its own.

use std::collections::BTreeSet;
use std::process::Command;

use pvect_core::schema::VERBS;

fn pvect(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pvect")).args(words).output().expect("pvect runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("help is text")
}

/// The commands that a page lists: the first words of indented lines below a heading of commands.
fn listed(page: &str, is_heading: impl Fn(&str) -> bool) -> Vec<String> {
    let mut within = false;
    let mut names = Vec::new();
    for line in page.lines() {
        if !line.starts_with(' ') {
            within = is_heading(line);
        } else if within && line.starts_with("  ") && !line.starts_with("   ") {
            names.extend(line.split_whitespace().next().map(str::to_owned));
        }
    }
    names
}

/// The commands of the overview, which has them in groups.
fn outermost() -> Vec<String> {
    listed(&pvect(&["--help"]), |line| line.ends_with(':'))
}

#[test]
fn the_overview_groups_every_command_once() {
    let names = outermost();
    let unique: BTreeSet<&String> = names.iter().collect();
    assert_eq!(unique.len(), names.len(), "{names:?}");
    for spec in &VERBS {
        assert!(names.iter().any(|name| name == spec.name), "{} is in no group", spec.name);
    }
    // What can be completed is there, and nothing else is.
    let completions = pvect(&["completion", "fish"]);
    let known: BTreeSet<String> = completions
        .lines()
        .filter(|line| line.contains("__fish_pvect_needs_command") && line.contains(" -f -a "))
        .filter_map(|line| Some(line.split(" -a \"").nth(1)?.split('"').next()?.to_owned()))
        .filter(|name| !name.contains('\\'))
        .collect();
    assert!(known.len() > VERBS.len(), "{known:?}");
    assert_eq!(known, names.into_iter().collect());
}

#[test]
fn every_command_of_every_level_has_help_of_its_own() {
    let mut waiting: Vec<Vec<String>> = outermost().into_iter().map(|name| vec![name]).collect();
    let mut pages = BTreeSet::new();
    let mut deepest = 0;
    while let Some(path) = waiting.pop() {
        let words: Vec<&str> = path.iter().map(String::as_str).collect();
        let name = words.join(" ");
        let page = pvect(&[words.as_slice(), &["--help"]].concat());
        let usage = format!("Usage: pvect {name}");
        let has_usage =
            page.lines().any(|line| line.strip_prefix(&usage).is_some_and(|rest| !rest.starts_with('-')));
        assert!(has_usage, "{name}:\n{page}");
        let about = page.lines().next().unwrap_or_default();
        assert!(about.len() > 10 && about.ends_with('.'), "{name}: {about}");
        assert!(page.contains("pvect help options") && !page.contains("--log-level"), "{name}:\n{page}");
        assert_eq!(pvect(&[&["help"], words.as_slice()].concat()), page, "{name}");
        assert!(pages.insert(page.clone()), "{name} shows the page of another command");
        deepest = deepest.max(path.len());
        let inner = listed(&page, |line| line == "Commands:");
        waiting.extend(inner.into_iter().map(|inner| path.iter().cloned().chain([inner]).collect()));
    }
    assert!(pages.len() > 60 && deepest == 3, "{} pages, {deepest} levels", pages.len());
}

#[test]
fn the_options_of_every_command_have_a_page() {
    let page = pvect(&["help", "options"]);
    for option in ["--output", "--dry-run", "--log-level", "--help"] {
        assert!(page.contains(option), "{option}:\n{page}");
    }
    assert!(!pvect(&["--help"]).contains("--log-level"));
}

#[test]
fn what_has_no_help_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_pvect"))
        .args(["help", "node", "network", "upp"])
        .output()
        .expect("pvect runs");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "error: <command>: there is no help for 'node network upp'; did you mean 'up'?\n"
    );
}
