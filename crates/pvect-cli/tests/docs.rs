//! The generated pages of the book: `docs/verbs.md` and `docs/traps.md`. `make docs` writes them anew
//! (`PVECT_DOCS=write`); here they are compared with what the tables of the code say.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use pvect::traps::TRAPS;
use pvect::{Client, Inspect};
use pvect_core::schema::VERBS;
use pvect_core::{Call, Verb};
use pvect_node::{Layout, Node, Output, verbs};

/// Makes the function that returns the names of `pvect::Client`'s typed methods for each verb. The methods are named
/// as code, and every verb must have some: what is missing does not compile.
macro_rules! methods {
    ($($verb:ident: $($method:ident $(::<$($kind:ty),+>)?),+;)+) => {
        fn methods(verb: Verb) -> &'static [&'static str] {
            $(let _ = ($(Client::$method$(::<$($kind),+>)?,)+);)+
            match verb {
                $(Verb::$verb => &[$(stringify!($method)),+],)+
            }
        }
    };
}

methods! {
    Clone: clone_container;
    Create: create, create_in;
    Destroy: destroy, destroy_with;
    List: list;
    Migrate: migrate;
    MoveVolume: move_volume, reassign_volume;
    Pending: pending;
    Resize: resize;
    Restore: create, create_in;
    Template: template;
    Config: config;
    Set: set::<[(String, String); 1], String, String>, set_with;
    Delsnapshot: delete_snapshot;
    Listsnapshot: snapshots;
    Rollback: rollback;
    Snapshot: snapshot;
    Reboot: reboot, reboot_with;
    Resume: resume;
    Shutdown: shutdown;
    Start: start, start_with;
    Stop: stop, stop_with;
    Suspend: suspend;
    Console: attach;
    Cpusets: cpusets;
    Df: df;
    Enter: attach;
    Exec: exec::<[String; 1], String>, exec_piped::<[String; 1], String>, attach;
    Fsck: fsck;
    Fstrim: fstrim;
    Mount: mount;
    Pull: pull, pull_with, pull_directory;
    Push: push, push_with, push_directory;
    RemoteMigrate: remote_migrate;
    Rescan: rescan;
    Status: status;
    Unlock: unlock;
    Unmount: unmount;
    Help: help;
}

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
    let cases = files("tests/conformance/cases", "case");
    let tests: Vec<(String, String)> =
        files("tests/e2e/tests", "rs").into_iter().chain(files("crates/pvect-cli/tests", "rs")).collect();
    let mut text = String::from(
        "# Verbs\n\n\
         Every verb of pct, where it is implemented and where it is tested. This page is generated: `make docs` writes it.\n\n\
         - **client**: the methods of `pvect::Client`; every verb is a command of `pvect` too (`pvect help VERB`)\n\
         - **standalone**: whether the standalone node does it; suspend and resume need CRIU there, which Debian 12 does \
         not have\n\
         - **API**: the counterpart in the HTTPS API of Proxmox VE; a dash if there is none\n\
         - **tests**: the number of commands in the conformance suite, and the files of whole-command tests that name it\n\n\
         | verb | client | standalone | API | tests |\n|---|---|---|---|---|\n",
    );
    for spec in &VERBS {
        let verb = spec.verb;
        let methods: Vec<String> = methods(verb).iter().map(|method| format!("`{method}`")).collect();
        let standalone = if verbs::supported(verb) { "yes" } else { "-" };
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

/// The page takes the node's word for what it does not do; here the node keeps it.
#[test]
fn what_the_node_does_not_support_it_refuses() {
    let dir = tempfile::tempdir().expect("a directory");
    let name: pvect_core::NodeName = "pve".parse().expect("a name");
    let node =
        Node { layout: Layout::new(dir.path().to_owned(), name.clone()), name, helper: PathBuf::new() };
    let nodes = dir.path().join("etc/pve/nodes");
    fs::create_dir_all(nodes.join("pve/lxc")).expect("a directory");
    fs::create_dir_all(nodes.join("other/lxc")).expect("a directory");
    fs::write(nodes.join("pve/lxc/101.conf"), "arch: amd64\n").expect("a file");
    let refused: Vec<_> = VERBS.iter().filter(|spec| !verbs::supported(spec.verb)).collect();
    assert!(!refused.is_empty(), "the node supports everything: drop this test");
    for spec in refused {
        let call = Call::new(spec.verb).arg("101").arg("other");
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let failure = verbs::dispatch(&node, &call, &mut Output::new(&mut out, &mut err));
        let text = failure.expect_err(spec.name).text;
        assert!(text.contains("standalone node"), "{}: {text}", spec.name);
    }
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
         Surprises of `pct`, and what pvect does instead. `pvect help traps` shows the same. Each has \
         tests named after it. This page is generated: `make docs` writes it.\n",
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
