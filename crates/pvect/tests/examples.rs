//! The examples do on a real standalone node what they say.
//!
//! `cargo test -p pvect --examples --test examples` builds what this needs but for `pvect` itself (pvect-cli).

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use pvect_testkit::{Finished, TestNode, node_or_skip};

/// Where Cargo puts programs: the parent of the directory of this one.
fn programs() -> PathBuf {
    let mut dir = std::env::current_exe().expect("a test knows its own path");
    dir.pop();
    if dir.ends_with("deps") {
        dir.pop();
    }
    dir
}

fn example(node: &TestNode, name: &str, words: &[&str]) -> Command {
    let mut command = Command::new(programs().join("examples").join(name));
    command
        .args(words)
        .env_clear()
        .env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", programs().display()))
        .env("PVECT_ROOT", node.root())
        .env("PVECT_NODE", "vm")
        .current_dir("/")
        .stdin(Stdio::null());
    command
}

fn run(node: &TestNode, name: &str, words: &[&str]) -> String {
    let output = example(node, name, words).output().expect("cargo build -p pvect --examples");
    Finished::of(name, &output).ok()
}

fn made(node: &TestNode, template: &str, vmid: &str) {
    let name = format!("web{vmid}");
    let words = ["pct", "create", vmid, template, "--hostname", &name, "--tags", "web"];
    node.pvect(&words).ok();
}

#[test]
fn lifecycle_leaves_nothing_behind() {
    let node = node_or_skip!();
    let told = run(&node, "lifecycle", &[&node.busybox()]);
    for line in [
        "made 100",
        "100 is already running",
        "100 is running, with 256 MiB at most",
        "100 is stopped",
        "removed 100",
    ] {
        assert!(told.lines().any(|told| told == line), "{line}:\n{told}");
    }
    assert_eq!(run(&node, "list", &[]), "");
}

#[test]
fn bulk_list_and_exec_work_on_what_was_chosen() {
    let node = node_or_skip!();
    let template = node.busybox();
    ["101", "102", "103"].iter().for_each(|vmid| made(&node, &template, vmid));
    let told = run(&node, "bulk", &["@web", "!102"]);
    assert!(told.contains("web101: runs after ") && told.ends_with("2 of 2 started\n"), "{told}");
    assert_eq!(
        run(&node, "list", &[]),
        "101 running    512 MiB  web101 \n102 stopped    512 MiB  web102 \n103 running    512 MiB  web103 \n"
    );
    let file = node.root().join("lines");
    // More than a pipe holds.
    fs::write(&file, "a line\n".repeat(50_000)).expect("a file can be written");
    assert_eq!(
        run(&node, "exec", &["web101", file.to_str().expect("a plain path")]),
        "status 3\nstdout web101\nstderr careful\nstatus 0: 50000 lines\n"
    );
}

#[test]
fn follow_sees_configurations_come_and_go() {
    let node = node_or_skip!();
    let template = node.busybox();
    made(&node, &template, "101");
    // What exists at the start is not an event, and we cannot see when watching begins: so the description is changed
    // until `follow` has seen a change.
    let mut follow = example(&node, "follow", &["1"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut number = 0;
    while follow.try_wait().expect("it can be waited for").is_none() {
        number += 1;
        if number > 500 {
            follow.kill().expect("it can be killed");
        }
        node.pvect(&["pct", "set", "101", "--description", &number.to_string()]).ok();
        thread::sleep(Duration::from_millis(20));
    }
    let output = follow.wait_with_output().expect("it has ended");
    assert_eq!(Finished::of("follow", &output).ok(), "101 configuration: Changed\n");
}
