//! The conformance suite as a test of its own kind: `cargo test -p pvect-conformance --test suite [-- GROUP...]`.
//!
//! Words after `--` choose groups by a part of their name. `PVECT_TEST_PCT` names a real pct;
//! `PVECT_TEST_JOBS` says how many groups run at a time (default: the number of CPUs).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use pvect_conformance::case::Group;
use pvect_conformance::run::{GroupResult, Outcome, run_all};
use pvect_conformance::target::World;
use pvect_conformance::{parse, report};

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let groups = match parse::read_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("cases")) {
        Ok(groups) => groups,
        Err(error) => {
            say(&format!("error: {error}\n"));
            return ExitCode::FAILURE;
        }
    };
    if words.iter().any(|word| word == "--list") {
        groups.iter().for_each(|group| say(&format!("{}: test\n", group.name)));
        return ExitCode::SUCCESS;
    }
    let wanted: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen = |group: &Group| wanted.is_empty() || wanted.iter().any(|word| group.name.contains(*word));
    let groups: Vec<Group> = groups.into_iter().filter(chosen).collect();
    let real = std::env::var_os("PVECT_TEST_PCT").map(PathBuf::from);
    let program = pvect_program();
    if real.is_none() && is_stale(&program) {
        say("note: pvect is older than its sources; `cargo build -p pvect-cli` makes it anew\n");
    }
    let world = match prepare(real, &program, &groups) {
        Ok(world) => world,
        Err(reason) => {
            let count: usize = groups.iter().map(|group| group.cases().count()).sum();
            pvect_testkit::skipped("pvect_conformance", &reason);
            say(&format!("\n0 passed, 0 failed, {count} skipped\n"));
            return ExitCode::SUCCESS;
        }
    };
    let results = run_all(&groups, &world, jobs(), &|group| say(&format!("{}\n", report::group_line(group))));
    note_skips(&results);
    say(&report::summary(&results));
    if report::count(&results).failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn prepare(real: Option<PathBuf>, program: &Path, groups: &[Group]) -> Result<World, String> {
    if real.is_none() && !program.is_file() {
        build(program)?;
    }
    World::new(real, program, &Path::new(env!("CARGO_TARGET_TMPDIR")).join("conformance"), groups)
}

fn say(text: &str) {
    // A closed stdout is no reason to stop.
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn jobs() -> usize {
    let asked = std::env::var("PVECT_TEST_JOBS").ok().and_then(|text| text.parse().ok());
    asked.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZero::get))
}

/// The command `pvect` of this build: beside the test programs.
fn pvect_program() -> PathBuf {
    let mut dir = std::env::current_exe().unwrap_or_default();
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    dir.join("pvect")
}

/// Builds `pvect` when only this package was built.
fn build(program: &Path) -> Result<(), String> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "-p", "pvect-cli"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    if program.parent().is_some_and(|dir| dir.ends_with("release")) {
        command.arg("--release");
    }
    let status = command.status().map_err(|error| format!("cargo cannot be run: {error}"))?;
    match status.success() && program.is_file() {
        true => Ok(()),
        false => Err("pvect cannot be built".to_owned()),
    }
}

/// Whether a source of the workspace is newer than the program: then what is tested is not what is there.
fn is_stale(program: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|metadata| metadata.modified()).ok();
    let Some(built) = changed(program) else { return false };
    let mut open = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crates")];
    while let Some(dir) = open.pop() {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() && !path.ends_with("tests") {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") && changed(&path) > Some(built) {
                return true;
            }
        }
    }
    false
}

/// Adds the skips to the file that `PVECT_TEST_SKIPS` names.
fn note_skips(results: &[GroupResult]) {
    let Some(path) = std::env::var_os("PVECT_TEST_SKIPS") else { return };
    let Ok(mut file) = std::fs::OpenOptions::new().create(true).append(true).open(path) else { return };
    for case in results.iter().flat_map(|group| &group.cases) {
        if let Outcome::Skipped(reason) = &case.outcome {
            let _ = writeln!(file, "Skipped({}: {}): {reason}", case.group, case.command);
        }
    }
}
