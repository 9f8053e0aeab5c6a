//! The same answers from pct and from the node's own files.

use std::collections::BTreeMap;

use pvect_testkit::{TestNode, node_or_skip};

/// Fields that move between two reads, and by how much they may have.
const MOVING: &[(&str, f64)] = &[
    ("mem", 2e6),
    ("swap", 2e6),
    ("disk", 2e6),
    ("diskread", 2e6),
    ("diskwrite", 2e6),
    ("netin", 5e3),
    ("netout", 5e3),
    ("uptime", 2.0),
    ("pressurecpusome", 100.0),
    ("pressurecpufull", 100.0),
    ("pressureiosome", 100.0),
    ("pressureiofull", 100.0),
    ("pressurememorysome", 100.0),
    ("pressurememoryfull", 100.0),
];

fn both(node: &TestNode, words: &[&str]) -> (String, String) {
    let with = |backend: &str| {
        let words = [&["--backend", backend], words].concat();
        let finished = node.pvect(&words);
        let first = finished.stderr.lines().next().unwrap_or_default().to_owned();
        format!("[{}]\n{}{first}", finished.status, finished.stdout)
    };
    (with("pct"), with("native"))
}

fn fields(text: &str) -> BTreeMap<&str, &str> {
    text.lines().filter_map(|line| line.split_once(": ")).collect()
}

#[test]
fn pct_and_native_agree() {
    let node = node_or_skip!();
    let template = node.busybox();
    let config = [("101", "local:0", "web 1 is no name"), ("102", "local:1", "two\nlines: %")];
    for (vmid, rootfs, description) in config {
        node.pvect(&[
            "create",
            vmid,
            &template,
            "--rootfs",
            rootfs,
            "--hostname",
            &format!("web{vmid}"),
            "--memory",
            "128",
            "--swap",
            "64",
            "--tags",
            "b;a",
            "--description",
            description,
        ])
        .ok();
    }
    node.pvect(&["start", "101,102", "-q"]).ok();
    // Some load, and something that waits for the next start.
    node.pvect(&["exec", "102", "--", "sh", "-c", "dd if=/dev/zero of=/load bs=1M count=8 && sync"]).ok();
    node.pvect(&["set", "101", "--swap", "32", "--cmode", "shell", "--searchdomain", "example.com"]).ok();

    for words in [
        &["list"][..],
        &["list", "-o", "plain"],
        &["list", "-o", "json"],
        &["status", "101"],
        &["status", "101", "-o", "json"],
        &["config", "101"],
        &["config", "101", "--current", "1"],
        &["config", "102", "-o", "yaml"],
        &["config", "101", "--snapshot", "nosuch"],
        &["pending", "101"],
        &["pending", "101", "-o", "csv"],
        &["listsnapshot", "101"],
        &["listsnapshot", "101", "-o", "json"],
        &["status", "999"],
        &["config", "999"],
    ] {
        let (pct, native) = both(&node, words);
        assert_eq!(pct, native, "{words:?}");
    }
    for vmid in ["101", "102"] {
        let (pct, native) = both(&node, &["status", vmid, "--verbose"]);
        let (pct, native) = (fields(&pct), fields(&native));
        assert!(pct.len() >= 20, "{pct:?}");
        assert_eq!(pct.keys().collect::<Vec<_>>(), native.keys().collect::<Vec<_>>());
        for (key, value) in &pct {
            match MOVING.iter().find(|(name, _)| name == key) {
                None => assert_eq!(value, &native[key], "{key}"),
                Some((_, step)) => {
                    let number = |text: &str| text.parse::<f64>().expect("a number");
                    let moved = (number(value) - number(native[key])).abs();
                    // The directory lies on the host's file system, where others write too.
                    let step = if vmid == "101" && *key == "disk" { 1e9 } else { *step };
                    assert!(moved <= step, "{key}: {value} and {}", native[key]);
                }
            }
        }
    }
    let told = node.pvect(&["list", "-v"]);
    assert!(told.stderr.contains(r#"read what="list" by="the node's own files""#), "{}", told.stderr);
    let refused = node.pvect(&["--backend", "native", "stop", "101"]).fails(9);
    assert_eq!(refused, "error: the backend 'native' only reads: 'stop' needs --backend auto, pct or api\n");
    node.pvect(&["stop", "all", "--yes", "-q"]).ok();
}

#[test]
fn reads_start_no_process() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:0"]).ok();
    node.pvect(&["start", "101", "-q"]).ok();
    for words in [&["list"][..], &["status", "101", "--verbose"], &["config", "101"], &["pending", "101"]] {
        let pvect = node.command(words);
        let mut strace = std::process::Command::new("strace");
        strace.args(["-f", "-qq", "-e", "trace=execve,fork,vfork,clone,clone3", "-o", "/dev/stderr"]);
        strace.arg(pvect.get_program()).args(words).env_clear();
        strace.envs(pvect.get_envs().filter_map(|(name, value)| Some((name, value?))));
        let output = strace.output().expect("strace is there");
        let trace = String::from_utf8_lossy(&output.stderr).into_owned();
        let calls: Vec<&str> = trace.lines().filter(|line| line.contains('(')).collect();
        assert_eq!(calls.len(), 1, "{words:?}: {trace}");
        assert!(calls[0].contains("execve("), "{trace}");
    }
    node.pvect(&["stop", "101"]).ok();
}
