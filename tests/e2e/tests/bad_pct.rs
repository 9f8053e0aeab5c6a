//! A pct that misbehaves. The scripts are stand-ins: a real pct cannot be made to do these things.

use std::process::Command;
use std::time::{Duration, Instant};

use pvect_testkit::FakePct;

struct Finished {
    status: i32,
    stdout: String,
    stderr: String,
}

fn pvect(pct: &std::path::Path, words: &[&str]) -> Finished {
    let mut program = std::env::current_exe().expect("a test knows its own path");
    program.pop();
    program.pop();
    let output = Command::new(program.join("pvect"))
        .args(words)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/nonexistent")
        .env("PVECT_PCT_PATH", pct)
        .stdin(std::process::Stdio::null())
        .output()
        .expect("pvect can be started; build it first");
    Finished {
        status: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

fn root() -> bool {
    pvect_testkit::missing_requirement().is_none_or(|reason| !reason.contains("root"))
}

#[test]
fn pct_is_missing_or_no_program() {
    let missing = pvect(std::path::Path::new("/nonexistent/pct"), &["list"]);
    assert_eq!(missing.status, 7, "{}", missing.stderr);
    assert!(
        missing.stderr.starts_with("error: there is no pct at '/nonexistent/pct'\n"),
        "{}",
        missing.stderr
    );
    let directory = pvect(std::path::Path::new("/etc"), &["list"]);
    assert_eq!(directory.status, 7);
    assert!(
        directory.stderr.starts_with("error: '/etc' is not an executable file\n"),
        "{}",
        directory.stderr
    );
}

/// The processes of a group that still run; those that only wait to be reaped do not.
fn running_in_group(group: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let stat = std::fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        // pid (name) state ppid pgrp ...
        let after_name = stat.rsplit(") ").next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split(' ').collect();
        if fields.len() > 2 && fields[2] == group && fields[0] != "Z" {
            found.push(stat);
        }
    }
    found
}

#[test]
fn pct_hangs() {
    if !root() {
        return pvect_testkit::skipped("pct_hangs", "containers need root");
    }
    let pct =
        FakePct::new("trap '' TERM\necho $$ > \"$(dirname \"$0\")/pid\"\nsleep 1000 &\nwait\nsleep 1000");
    let began = Instant::now();
    let finished = pvect(&pct.path(), &["list", "--timeout", "1"]);
    assert_eq!(finished.status, 6, "{}", finished.stderr);
    assert!(finished.stderr.starts_with("error: no end after "), "{}", finished.stderr);
    assert!(began.elapsed() < Duration::from_secs(60));
    let pid = std::fs::read_to_string(pct.dir().join("pid")).expect("the script ran");
    assert!(!std::path::Path::new("/proc").join(pid.trim()).exists(), "the script still runs");
    assert_eq!(running_in_group(pid.trim()), Vec::<String>::new());
}

#[test]
fn pct_floods() {
    if !root() {
        return pvect_testkit::skipped("pct_floods", "containers need root");
    }
    let pct = FakePct::new("head -c 1073741824 /dev/zero");
    let finished = pvect(&pct.path(), &["list"]);
    assert_eq!(finished.status, 8, "{}", finished.stderr);
    assert!(
        finished.stderr.starts_with("error: the output of pct could not be understood:"),
        "{}",
        finished.stderr
    );
    assert!(finished.stderr.len() < 100_000, "the flood went on to stderr");
}

#[test]
fn pct_prints_invalid_utf8() {
    if !root() {
        return pvect_testkit::skipped("pct_prints_invalid_utf8", "containers need root");
    }
    let pct = FakePct::new(
        r"printf 'VMID       Status     Lock         Name                \n101        running                 \377\376\n'",
    );
    let finished = pvect(&pct.path(), &["list"]);
    assert_eq!(finished.status, 8, "{}", finished.stderr);
    assert!(finished.stderr.contains("UTF-8"), "{}", finished.stderr);
    assert_eq!(finished.stdout, "");
}

#[test]
fn pct_is_killed_midway() {
    if !root() {
        return pvect_testkit::skipped("pct_is_killed_midway", "containers need root");
    }
    let pct = FakePct::new("echo 'extracting archive'\nkill -9 $$");
    let finished = pvect(&pct.path(), &["start", "101"]);
    assert_eq!(finished.status, 1, "{}", finished.stderr);
    assert!(finished.stderr.contains("signal 9"), "{}", finished.stderr);
}
