//! The sources have no condition that the oldest Rust cannot read.

use std::fs;
use std::path::{Path, PathBuf};

use pvect_structure::{chains, workspace};

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("the directory is there") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() && !path.is_symlink() && !path.ends_with("target") {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn no_condition_chains_let() {
    let root = workspace().canonicalize().expect("the workspace is there");
    let mut files = Vec::new();
    for dir in ["crates", "fuzz", "tests"] {
        sources(&root.join(dir), &mut files);
    }
    assert!(files.len() > 100, "only {} sources were found", files.len());
    let mut problems = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("the source is readable");
        let lines = chains::lines(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let name = file.strip_prefix(&root).unwrap_or(&file).display().to_string();
        problems.extend(lines.iter().map(|line| format!("{name}:{line}")));
    }
    assert!(
        problems.is_empty(),
        "conditions with more than one `let`, or `let` and `&&`, are too new for rust-version:\n{}",
        problems.join("\n")
    );
}

const NONE: [usize; 0] = [];

fn found(source: &str) -> Vec<usize> {
    chains::lines(source).expect("it is Rust")
}

#[test]
fn chains_are_found_wherever_they_are() {
    assert_eq!(found("fn f() {\n if let Some(a) = b\n && c {} }"), [2]);
    assert_eq!(found("fn f() {\n if c && let Some(a) = b {} }"), [2]);
    assert_eq!(found("fn f() {\n while let Some(a) = b.next() && a > 1 {} }"), [2]);
    assert_eq!(found("fn f() {\n if let Point { x, y } = b? && x {} }"), [2]);
    assert_eq!(found("fn f() {\n if let Some(a) = &&b && c {} }"), [2]);
    assert_eq!(found("fn f() {\n if true {} else if let 1..=3 = b &&\n let 4 = c {} }"), [2, 3]);
    assert_eq!(found("fn f() { select! { x => {\n if let Some(a) = b && c {} } } }"), [2]);
    assert_eq!(found("fn f() {\n if let Some(a) = match b { c => c } && c {} }"), [2]);
    assert_eq!(found("fn f() {\n if let Some(a) = unsafe { b } && c {} }"), [2]);
    assert_eq!(found("fn f() {\n if let Some(a) = if b { c } else { d } && c {} }"), [2]);
    assert_eq!(found("fn f() { match b {\n Some(a) if let Some(d) = a => {} _ => {} } }"), [2]);
}

#[test]
fn other_conditions_are_not() {
    assert_eq!(found("fn f() { if let Some(a) = b { c && d } }"), NONE);
    assert_eq!(found("fn f() { if let Some(a) = &&b {} }"), NONE);
    assert_eq!(found("fn f() { if let Some(a) = b.filter(|a| c && d) { x && y; } }"), NONE);
    assert_eq!(found("fn f() { let a = b && c; if a && c { let d = 1; } }"), NONE);
    assert_eq!(found("fn f() { let Some(a) = b else { return }; a && c }"), NONE);
    assert_eq!(found("fn f() { match b { Some(a) if a && c => if let Some(d) = a {}, _ => {} } }"), NONE);
    assert_eq!(found("fn f() { if let Some(a) = match b { c => c } { c && d } x && y; }"), NONE);
    assert_eq!(found("fn f() { if let Some(a) = b {} else if c && d {} }"), NONE);
    assert_eq!(found("// if let Some(a) = b && c {}\n"), NONE);
}
