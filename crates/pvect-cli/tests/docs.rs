//! The generated pages of the book: `docs/verbs.md` and `docs/traps.md`. `make docs` writes them anew
//! (`PVECT_DOCS=write`); here they are compared with what the tables of the code say.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use pvect::traps::TRAPS;
use pvect_core::Verb;

/// The typed methods of `pvect::Client` for each verb.
const METHODS: [(Verb, &[&str]); 38] = [
    (Verb::Clone, &["clone_container"]),
    (Verb::Create, &["create", "create_in"]),
    (Verb::Destroy, &["destroy", "destroy_with"]),
    (Verb::List, &["list"]),
    (Verb::Migrate, &["migrate"]),
    (Verb::MoveVolume, &["move_volume", "reassign_volume"]),
    (Verb::Pending, &["pending"]),
    (Verb::Resize, &["resize"]),
    (Verb::Restore, &["create", "create_in"]),
    (Verb::Template, &["template"]),
    (Verb::Config, &["config"]),
    (Verb::Set, &["set", "set_with"]),
    (Verb::Delsnapshot, &["delete_snapshot"]),
    (Verb::Listsnapshot, &["snapshots"]),
    (Verb::Rollback, &["rollback"]),
    (Verb::Snapshot, &["snapshot"]),
    (Verb::Reboot, &["reboot", "reboot_with"]),
    (Verb::Resume, &["resume"]),
    (Verb::Shutdown, &["shutdown"]),
    (Verb::Start, &["start", "start_with"]),
    (Verb::Stop, &["stop", "stop_with"]),
    (Verb::Suspend, &["suspend"]),
    (Verb::Console, &["attach"]),
    (Verb::Cpusets, &["cpusets"]),
    (Verb::Df, &["df"]),
    (Verb::Enter, &["attach"]),
    (Verb::Exec, &["exec", "exec_piped", "attach"]),
    (Verb::Fsck, &["fsck"]),
    (Verb::Fstrim, &["fstrim"]),
    (Verb::Mount, &["mount"]),
    (Verb::Pull, &["pull", "pull_with", "pull_directory"]),
    (Verb::Push, &["push", "push_with", "push_directory"]),
    (Verb::RemoteMigrate, &["remote_migrate"]),
    (Verb::Rescan, &["rescan"]),
    (Verb::Status, &["status"]),
    (Verb::Unlock, &["unlock"]),
    (Verb::Unmount, &["unmount"]),
    (Verb::Help, &["help"]),
];

fn workspace() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace is there")
}

/// Every file below a directory with this extension, by name, with its text.
fn files(below: &str, extension: &str) -> BTreeMap<String, String> {
    let root = workspace();
    let mut found = BTreeMap::new();
    let mut waiting = vec![root.join(below)];
    while let Some(dir) = waiting.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                let name = path.strip_prefix(&root).expect("it is below").display().to_string();
                found.insert(name, fs::read_to_string(&path).expect("it is text"));
            }
        }
    }
    found
}

/// Compares a page with the generated text, or writes it.
fn check(page: &str, text: &str, comparable: impl Fn(&str) -> String) {
    let path = workspace().join("docs").join(page);
    if std::env::var("PVECT_DOCS").is_ok_and(|value| value == "write") {
        fs::write(&path, text).expect("the page can be written");
    }
    let present = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(comparable(&present), comparable(text), "docs/{page} is out of date: run `make docs`");
}

#[test]
fn the_page_of_verbs() {
    let dispatch =
        fs::read_to_string(workspace().join("crates/pvect-node/src/verbs/mod.rs")).expect("the source");
    let cases = files("tests/conformance/cases", "case");
    let client = files("crates/pvect/src/client", "rs");
    let tests: Vec<(String, String)> =
        files("tests/e2e/tests", "rs").into_iter().chain(files("crates/pvect-cli/tests", "rs")).collect();
    let mut text = String::from(
        "# Verbs\n\n\
         Every verb of pct, where it is done and where it is tested. This page is generated: `make docs` writes it.\n\n\
         - **client**: the methods of `pvect::Client`; every verb is a command of `pvect` too (`pvect help VERB`)\n\
         - **standalone**: whether the standalone node does it\n\
         - **API**: the twin in the HTTPS API of Proxmox VE; a dash where there is none\n\
         - **tests**: the number of commands in the conformance suite, and the files of whole-command tests\n\n\
         | verb | client | standalone | API | tests |\n|---|---|---|---|---|\n",
    );
    for (verb, methods) in METHODS {
        let spec = verb.spec();
        for method in methods {
            let defined = client.values().any(|source| source.contains(&format!("async fn {method}")));
            assert!(defined, "there is no method {method}");
        }
        let methods: Vec<String> = methods.iter().map(|method| format!("`{method}`")).collect();
        let standalone = if dispatch.contains(&format!("Verb::{verb:?} =>")) { "yes" } else { "-" };
        let api = spec.api.map_or("-".to_owned(), |twin| format!("{} {}", twin.method, twin.path));
        let command = format!("$ pct {}", spec.name);
        let played = cases
            .values()
            .flat_map(|text| text.lines())
            .filter(|line| {
                line.strip_prefix(&command).is_some_and(|rest| rest.is_empty() || rest.starts_with(' '))
            })
            .count();
        assert!(played > 0, "no conformance case for {verb}");
        let word = format!("\"{}\"", spec.name);
        let mut places = vec![format!("conformance {played}")];
        for (place, below) in [("e2e", "tests/e2e/"), ("cli", "crates/pvect-cli/")] {
            let files = tests.iter().filter(|(name, text)| {
                name.starts_with(below) && text.contains(&word) && !name.ends_with("/docs.rs")
            });
            let names: Vec<_> = files
                .map(|(name, _)| Path::new(name).file_stem().unwrap_or_default().to_string_lossy())
                .collect();
            if !names.is_empty() {
                places.push(format!("{place} {}", names.join(" ")));
            }
        }
        let tests = places.join(", ");
        let _ =
            writeln!(text, "| {} | {} | {standalone} | {api} | {} |", spec.name, methods.join(", "), tests);
    }
    // Tests come and go; only the other columns must be right at any time.
    check("verbs.md", &text, |text| {
        text.lines()
            .map(|line| line.rsplit_once(" | ").map_or(line, |(kept, _)| kept))
            .collect::<Vec<_>>()
            .join("\n")
    });
}

#[test]
fn the_page_of_traps() {
    let sources: Vec<(String, String)> = ["crates", "tests"]
        .iter()
        .flat_map(|dir| files(dir, "rs"))
        .filter(|(name, _)| !name.ends_with("/docs.rs"))
        .collect();
    let mut text = String::from(
        "# Traps\n\n\
         What `pct` does that one does not expect, and what pvect does instead. `pvect help traps` shows the same. Each has \
         tests that bear its name. This page is generated: `make docs` writes it.\n",
    );
    for trap in &TRAPS {
        let prefix = format!("fn trap_{}", trap.id.replace('-', "_"));
        let mut tests = Vec::new();
        for (file, source) in &sources {
            for line in source.lines().filter(|line| line.trim_start().starts_with(&prefix)) {
                let name = line.trim_start().trim_start_matches("fn ").split('(').next().unwrap_or_default();
                tests.push(format!("`{name}` ({file})"));
            }
        }
        assert!(!tests.is_empty(), "no test bears the name of the trap {}", trap.id);
        let _ = write!(
            text,
            "\n## {}\n- pct: {}\n- pvect: {}\n- tests: {}\n",
            trap.id,
            trap.pct,
            trap.pvect,
            tests.join(", ")
        );
    }
    check("traps.md", &text, str::to_owned);
}

/// Every test that bears the name of a trap bears one of ours.
#[test]
fn no_test_names_an_unknown_trap() {
    let known: Vec<String> = TRAPS.iter().map(|trap| format!("trap_{}", trap.id.replace('-', "_"))).collect();
    for (file, source) in ["crates", "tests"].iter().flat_map(|dir| files(dir, "rs")) {
        for line in source.lines().filter_map(|line| line.trim_start().strip_prefix("fn trap_")) {
            let name = format!("trap_{line}");
            assert!(known.iter().any(|id| name.starts_with(id.as_str())), "{file}: {name}");
        }
    }
}
