//! `pvect watch` beside a real container's life.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use pvect_testkit::node_or_skip;

#[test]
fn a_life_is_told() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:0", "--hostname", "web", "--memory", "64"])
        .ok();
    node.pvect(&["create", "102", &template, "--rootfs", "local:0", "--hostname", "db", "--memory", "64"])
        .ok();
    let mut watch = node
        .command(["watch", "web", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pvect starts");
    let mut told = BufReader::new(watch.stderr.take().expect("it is a pipe"));
    let mut first = String::new();
    told.read_line(&mut first).expect("it says that it watches");
    assert_eq!(first, "watching; Ctrl-C ends it\n");

    let mut lines = BufReader::new(watch.stdout.take().expect("it is a pipe")).lines();
    let mut events = Vec::new();
    // Each command is over for the watcher, too, before the next one begins: their order is not in question.
    for (words, last) in [
        (&["start", "101,102", "-q"][..], "task-ended vzstart"),
        (&["set", "101", "--memory", "96"], "config-changed"),
        (&["stop", "101", "-q"], "task-ended vzstop"),
        (&["destroy", "101", "-q"], "task-ended vzdestroy"),
    ] {
        node.pvect(words).ok();
        loop {
            let line = lines.next().expect("it goes on").expect("text");
            let record: serde_json::Value = serde_json::from_str(&line).expect("one object a line");
            assert_eq!(
                (record["vmid"].as_u64(), record["name"].as_str()),
                (Some(101), Some("web")),
                "{line}"
            );
            let word = |key: &str| record[key].as_str().unwrap_or_default().to_owned();
            events
                .push(format!("{} {} {}", word("event"), word("task"), word("status")).trim_end().to_owned());
            if events.last().is_some_and(|event| event.starts_with(last)) {
                break;
            }
        }
    }
    watch.kill().expect("it can be ended");
    watch.wait().expect("it ends");
    let position = |wanted: &str| {
        let found = events.iter().position(|event| event == wanted);
        found.unwrap_or_else(|| panic!("{wanted} is not told: {events:#?}"))
    };
    let order = [
        position("task-began vzstart"),
        position("running"),
        position("config-changed"),
        position("stopped"),
        position("task-ended vzstop OK"),
        position("config-removed"),
        position("task-ended vzdestroy OK"),
    ];
    assert!(order.is_sorted(), "{events:#?}");
    node.pvect(&["stop", "102", "-q"]).ok();
}
