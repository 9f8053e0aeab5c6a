//! Runs command lines of the real pct, recorded on Proxmox VE, against a fresh node, and compares stdout, stderr and
//! exit status byte for byte.
//!
//! A fixture is a list of steps: `file NAME.conf` with `| ` lines (a configuration of the node), `image PATH` (an
//! empty image of 1 GiB), `stored NAME.conf` with `| ` lines (what the configuration is now), `$ pct WORDS` with `1 ` and `2 ` lines (stdout, stderr) and `exit N`. In the lines `[root]`
//! is the node's root, `[host]` the number of CPUs, `[any]` any rest of the line, `[time N ]` a local time, `[usage]`
//! the usage of all verbs. Texts of the interpreter that the real pct runs in are left out.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test: it panics, and tells what it skips")]

use std::fmt::Write;
use std::fs;
use std::path::Path;

use pvect_node::{Layout, Node, Output};

#[derive(Debug, Default)]
struct Run {
    words: Vec<String>,
    out: String,
    err: String,
    exit: u8,
}

#[derive(Debug)]
enum Step {
    File(String, String),
    Stored(String, String),
    Image(String),
    Run(Run),
}

fn steps(fixture: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for line in fixture.lines() {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match (word, steps.last_mut()) {
            ("file", _) => steps.push(Step::File(rest.to_owned(), String::new())),
            ("stored", _) => steps.push(Step::Stored(rest.to_owned(), String::new())),
            ("image", _) => steps.push(Step::Image(rest.to_owned())),
            ("$", _) => {
                let mut words = split(rest);
                assert_eq!(words.remove(0), "pct");
                steps.push(Step::Run(Run { words, ..Run::default() }));
            }
            ("|", Some(Step::File(_, text) | Step::Stored(_, text))) => *text += &format!("{rest}\n"),
            ("1", Some(Step::Run(run))) => run.out += &format!("{rest}\n"),
            ("2", Some(Step::Run(run))) => run.err += &format!("{rest}\n"),
            ("exit", Some(Step::Run(run))) => run.exit = rest.parse().unwrap(),
            ("", _) => {}
            other => panic!("bad line in a fixture: {other:?}"),
        }
    }
    steps
}

/// Splits words at blanks, single quotes around what holds blanks.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
    for c in line.chars() {
        match c {
            '\'' => (quoted, any) = (!quoted, true),
            ' ' if !quoted => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            c => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Puts what differs from machine to machine into an expected text.
fn filled(text: &str, root: &Path, usage: &str) -> String {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap();
    let cpus = cpuinfo.lines().filter(|line| line.starts_with("processor")).count();
    let time = jiff::Timestamp::from_second(1_700_000_000).unwrap().to_zoned(jiff::tz::TimeZone::system());
    text.replace("[root]", &root.display().to_string())
        .replace("[host]", &cpus.to_string())
        .replace("[time 1700000000  ]", &time.strftime("%Y-%m-%d %H:%M:%S").to_string())
        .replace("[usage]\n", usage)
}

/// Replaces in an actual text what the expected one leaves open.
fn opened(actual: &str, expected: &str) -> String {
    let lines = actual.lines().zip(expected.lines().map(Some).chain(std::iter::repeat(None)));
    lines.fold(String::new(), |mut text, (line, expected)| {
        let open = expected.and_then(|expected| expected.strip_suffix("[any]"));
        let line = match open.filter(|start| line.starts_with(start)) {
            Some(start) => format!("{start}[any]"),
            None => line.to_owned(),
        };
        writeln!(text, "{line}").unwrap();
        text
    })
}

fn run(node: &Node, words: &[String]) -> (String, String, u8) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let exit = pvect_node::run(node, words, &mut Output::new(&mut out, &mut err));
    (String::from_utf8(out).unwrap(), String::from_utf8(err).unwrap(), exit)
}

/// A fresh node named `vm`.
fn node(root: &Path) -> Node {
    let name: pvect_core::NodeName = "vm".parse().unwrap();
    Node { layout: Layout::new(root, name.clone()), name, helper: "/bin/false".into() }
}

fn replay(fixture: &str) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: pct runs as root only");
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let node = node(root.path());
    let (_, usage, _) = run(&node, &[]);
    let usage = usage.split_once('\n').unwrap().1;
    let mut wrong = String::new();
    for step in steps(fixture) {
        match step {
            Step::File(name, text) => {
                fs::create_dir_all(node.layout.configs()).unwrap();
                fs::write(node.layout.configs().join(name), text).unwrap();
            }
            Step::Stored(name, expected) => {
                let actual = fs::read_to_string(node.layout.configs().join(name)).unwrap();
                let actual = opened(&actual, &expected);
                if actual != expected {
                    writeln!(wrong, "stored\n{actual}expected\n{expected}").unwrap();
                }
            }
            Step::Image(path) => {
                let path = node.layout.local_storage().join("images").join(path);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::File::create(path).unwrap().set_len(1 << 30).unwrap();
            }
            Step::Run(expected) => {
                let no_zones = !Path::new("/usr/share/zoneinfo/zone.tab").exists();
                if no_zones && expected.words.iter().any(|word| word == "Nowhere/City") {
                    eprintln!("skipped: no tzdata to tell a wrong zone by");
                    continue;
                }
                let (out, err, exit) = run(&node, &expected.words);
                let actual = (opened(&out, &expected.out), err, exit);
                let wanted = (
                    filled(&expected.out, root.path(), usage),
                    filled(&expected.err, root.path(), usage),
                    expected.exit,
                );
                if actual != wanted {
                    writeln!(wrong, "{:?}\n  expected {wanted:?}\n  got      {actual:?}", expected.words)
                        .unwrap();
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn an_empty_node() {
    replay(include_str!("fixtures/empty-node.txt"));
}

#[test]
fn list_status_config_pending_and_snapshots() {
    replay(include_str!("fixtures/reading.txt"));
}

#[test]
fn wrong_ids() {
    replay(include_str!("fixtures/ids.txt"));
}

#[test]
fn wrong_and_odd_command_lines() {
    replay(include_str!("fixtures/usage.txt"));
}

#[test]
fn changes_of_a_stopped_container() {
    replay(include_str!("fixtures/set.txt"));
}
