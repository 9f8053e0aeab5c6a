//! The crates use each other as ARCHITECTURE.md draws it.

use std::fs;
use std::process::Command;

use pvect_structure::{arrows, workspace};

#[test]
fn the_arrows_are_those_of_the_drawing() {
    let root = workspace().canonicalize().expect("the workspace is there");
    let cargo = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(&root)
        .output()
        .expect("cargo runs");
    assert!(cargo.status.success(), "{}", String::from_utf8_lossy(&cargo.stderr));
    let metadata = serde_json::from_slice(&cargo.stdout).expect("cargo prints JSON");
    let page = fs::read_to_string(root.join("ARCHITECTURE.md")).expect("the page is there");
    let root = root.to_str().expect("the path is text");
    let problems = arrows::problems(&arrows::drawn(&page), &arrows::real(&metadata, root));
    assert!(problems.is_empty(), "ARCHITECTURE.md and the manifests differ:\n{}", problems.join("\n"));
}
