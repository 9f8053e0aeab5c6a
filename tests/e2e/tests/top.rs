//! `pvect top` on real containers: as text, and on a terminal.

use std::io::{Read, Write};

use pty_process::Size;
use pty_process::blocking::{Command, open};
use pvect_testkit::{TestNode, node_or_skip};

fn two(node: &TestNode) {
    let template = node.busybox();
    for (vmid, name) in [("101", "web"), ("102", "db")] {
        node.pvect(&["create", vmid, &template, "--rootfs", "local:0", "--hostname", name, "--memory", "64"])
            .ok();
    }
    node.pvect(&["start", "101", "-q"]).ok();
}

#[test]
fn frames_as_text() {
    let node = node_or_skip!();
    two(&node);
    let busy =
        node.command(["exec", "101", "--", "sh", "-c", "while :; do :; done"]).spawn().expect("it starts");
    let text = node.pvect(&["top", "--count", "1", "--delay", "1"]).ok();
    let lines: Vec<&str> = text.lines().collect();
    assert!(lines[0].starts_with("VMID      NAME             STATE     CPU%   MEM"), "{text}");
    let words: Vec<&str> = lines[1].split_whitespace().collect();
    assert_eq!(words[..3], ["101", "web", "running"], "{text}");
    let cpu: f64 = words[3].parse().expect("a number");
    assert!((20.0..=250.0).contains(&cpu), "one busy loop: {text}");
    assert!(words[4].ends_with("/64M"), "{text}");
    assert_eq!(lines[2].trim_end(), "102       db               stopped");
    node.pvect(&["stop", "101", "-q"]).ok();
    let mut busy = busy;
    busy.wait().expect("it ends with its container");

    let text = node.pvect(&["top", "--count", "1", "--delay", "0.01", "--sort", "name", "db"]).ok();
    assert_eq!(text.lines().count(), 2, "{text}");
    let refused = node.pvect(&["top"]).fails(2);
    assert_eq!(refused, "error: --batch: is needed without a terminal\n");
    let refused = node.pvect(&["top", "--count", "1", "--sort", "colour"]).fails(2);
    assert_eq!(
        refused,
        "error: --sort: 'colour' is not one of: vmid, name, cpu, mem, swap, disk, net, io, pressure, uptime\n"
    );
}

#[test]
fn on_a_terminal() {
    let node = node_or_skip!();
    two(&node);
    let (mut pty, pts) = open().expect("a terminal can be made");
    pty.resize(Size::new(24, 126)).expect("it has a size");
    let template = node.command(["top"]);
    let mut command =
        Command::new(template.get_program()).args(["top", "--delay", "0.2", "--sort", "vmid"]).env_clear();
    for (name, value) in template.get_envs() {
        command = command.env(name, value.unwrap_or_default());
    }
    let mut child = command.env("TERM", "xterm").current_dir("/").spawn(pts).expect("pvect starts");
    let mut seen = String::new();
    let mut until = |pty: &mut pty_process::blocking::Pty, text: &str| {
        let mut buffer = [0u8; 4096];
        while !seen.contains(text) {
            match pty.read(&mut buffer) {
                Ok(0) | Err(_) => panic!("the terminal closed before {text:?} came:\n{seen}"),
                Ok(count) => seen += &String::from_utf8_lossy(&buffer[..count]),
            }
        }
        seen.clear();
    };
    // Only cells that changed are drawn, so single words are looked for.
    until(&mut pty, "quit");
    // Down twice is the second container; it is started from here.
    pty.write_all(b"jjs").expect("the terminal takes it");
    until(&mut pty, "done");
    assert_eq!(node.pvect(&["status", "102"]).ok(), "status: running\n");
    pty.write_all(b"?").expect("the terminal takes it");
    until(&mut pty, "Sort");
    pty.write_all(b"?/web\rq").expect("the terminal takes it");
    // The screen of before comes back.
    until(&mut pty, "\u{1b}[?1049l");
    // Reading ends with an error when the other side closes.
    let _ = pty.read_to_end(&mut Vec::new());
    assert_eq!(child.wait().expect("it ends").code(), Some(0));
    node.pvect(&["stop", "all", "--yes", "-q"]).ok();
}
