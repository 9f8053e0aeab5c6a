//! Circles of modules do not grow: `circles.txt` says how many files of each crate are in one.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use pvect_structure::circles::circles;
use pvect_structure::{modules, workspace};

/// The numbers of `circles.txt`, by crate.
fn allowed() -> BTreeMap<String, usize> {
    let text = include_str!("circles.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let number = |line: &str| {
        let (name, number) = line.split_once(' ').expect("a line has a name and a number");
        (name.to_owned(), number.trim().parse().expect("a number"))
    };
    lines.map(number).collect()
}

#[test]
fn no_circle_of_modules_has_grown() {
    let mut allowed = allowed();
    let mut problems = Vec::new();
    for entry in fs::read_dir(workspace().join("crates")).expect("the crates are there") {
        let crate_dir = entry.expect("it can be read").path();
        let name = crate_dir.file_name().expect("it has a name").to_string_lossy().into_owned();
        let graph = modules::graph(&crate_dir.join("src")).expect("the sources are readable");
        assert!(!graph.is_empty(), "{name} has no modules");
        let found = circles(&graph);
        let inside: usize = found.iter().map(Vec::len).sum();
        let known = allowed.remove(&name).unwrap_or(0);
        // Fewer, too: the number is lowered by whoever broke a circle, so that it cannot grow back.
        if inside != known {
            let circles = found.iter().map(|circle| circle.join(" ")).collect::<Vec<_>>().join("; ");
            problems.push(format!(
                "{name}: {inside} files use each other in circles, circles.txt has {known}: {circles}"
            ));
        }
    }
    assert!(allowed.is_empty(), "circles.txt names crates that do not exist: {allowed:?}");
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

fn graph_of(files: &[(&str, &str)]) -> Vec<Vec<String>> {
    let dir = tempfile::tempdir().expect("a directory");
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/"))).expect("a directory");
        fs::write(path, text).expect("a file");
    }
    circles(&modules::graph(dir.path()).expect("it is Rust"))
}

#[test]
fn a_circle_is_seen_through_re_exports_and_inline_paths() {
    let lib = ("lib.rs", "pub mod a; mod b; pub use b::Deep;");
    let nothing: Vec<Vec<String>> = Vec::new();
    assert_eq!(graph_of(&[lib, ("a.rs", "use crate::Deep;"), ("b.rs", "pub struct Deep;")]), nothing);
    let back = ("b.rs", "pub struct Deep; fn f() { let _ = vec![crate::a::X]; }");
    assert_eq!(graph_of(&[lib, ("a.rs", "use crate::Deep;"), back]), [["a.rs", "b.rs"]]);
    let through = ("b.rs", "use super::a as other; pub struct Deep; fn f() { other::g() }");
    assert_eq!(graph_of(&[lib, ("a.rs", "fn f(_: super::Deep) {}"), through]), [["a.rs", "b.rs"]]);
}

#[test]
fn tests_comments_and_re_exports_are_no_use() {
    let lib = ("lib.rs", "pub mod a; pub use a::A; mod c;");
    let a =
        ("a.rs", "use crate::c::C; pub struct A; /* crate::A */ #[cfg(test)] mod tests { use crate::A; }");
    let c = ("c.rs", "pub struct C; #[cfg(test)] use crate::a::A; // crate::a::A\n");
    assert_eq!(graph_of(&[lib, a, c]), Vec::<Vec<String>>::new());
}

#[test]
fn a_child_may_use_its_parents_and_is_a_part_of_circles_through_others() {
    let parent = ("p/mod.rs", "mod child; pub struct P; pub fn f() { child::run() }");
    let child = ("p/child.rs", "use super::P; pub fn run() {}");
    assert_eq!(graph_of(&[("lib.rs", "mod p;"), parent, child]), Vec::<Vec<String>>::new());
    let lib = ("lib.rs", "mod p; mod q;");
    let child = ("p/child.rs", "use crate::q; pub fn run() {}");
    let other = ("q.rs", "use crate::p::f;");
    assert_eq!(graph_of(&[lib, parent, child, other]), [["p/child.rs", "p/mod.rs", "q.rs"]]);
}
