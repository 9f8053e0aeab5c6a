//! A standalone node at the other end of a real ssh: a whole life, terminals, signals, doctor.

use std::fs;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use pty_process::Size;
use pty_process::blocking::{Pty, open};
use pvect_testkit::{Finished, TestNode, TestSshd, node_or_skip};

/// A node with an sshd before it, and settings that lead there.
struct Far {
    node: TestNode,
    sshd: TestSshd,
    settings: PathBuf,
}

impl Far {
    fn new(node: TestNode) -> Result<Self, String> {
        let sshd = TestSshd::start()?;
        let pct = sshd.dir().join("pct");
        std::os::unix::fs::symlink(node.command(["x"]).get_program(), &pct).expect("a link can be made");
        let options: Vec<String> = sshd.options().iter().map(|option| format!("{option:?}")).collect();
        let text = format!(
            r#"{{"proxmox": {{"transport": "ssh", "ssh": {{"control_dir": "{dir}/c"}}, "nodes": {{"vm": {{
                "host": "127.0.0.1", "port": {port}, "user": "{user}", "identity_file": "{key}",
                "options": [{options}], "pct_path": "{pct}"}}}}}}}}"#,
            dir = sshd.dir().display(),
            port = sshd.port(),
            user = sshd.user(),
            key = sshd.key().display(),
            options = options.join(", "),
            pct = pct.display(),
        );
        let settings = sshd.dir().join("config.json");
        fs::write(&settings, text).expect("the settings can be written");
        Ok(Self { node, sshd, settings })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.node.command(words);
        command.env("PVECT_CONFIG", &self.settings);
        command
    }

    fn run_with(&self, words: &[&str], input: &[u8]) -> Finished {
        let mut child = self
            .command(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("pvect can be started");
        child.stdin.take().expect("it has a stdin").write_all(input).expect("it reads");
        Finished::of(&words.join(" "), &child.wait_with_output().expect("it ends"))
    }

    fn run(&self, words: &[&str]) -> Finished {
        self.run_with(words, b"")
    }

    /// A terminal with a command of pvect on it.
    fn session(&self, words: &[&str]) -> Session {
        let (pty, pts) = open().expect("a terminal can be made");
        pty.resize(Size::new(30, 100)).expect("it has a size");
        let template = self.command(words);
        let mut command = pty_process::blocking::Command::new(template.get_program()).args(words).env_clear();
        for (name, value) in template.get_envs() {
            command = command.env(name, value.unwrap_or_default());
        }
        let child = command.env("TERM", "xterm").current_dir("/").spawn(pts).expect("pvect can be started");
        let mut reader = fs::File::from(pty.as_fd().try_clone_to_owned().expect("it can be doubled"));
        let (sender, output) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0u8; 4096];
            // Reading ends with an error when the other side closes.
            while let Ok(count @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Session { pty, output, child, seen: String::new() }
    }
}

macro_rules! far_or_skip {
    () => {
        match Far::new(node_or_skip!()) {
            Ok(far) => far,
            Err(reason) => return pvect_testkit::skipped(module_path!(), &reason),
        }
    };
}

struct Session {
    pty: Pty,
    /// What the terminal shows, read beside the test.
    output: Receiver<Vec<u8>>,
    child: std::process::Child,
    seen: String,
}

impl Session {
    fn send(&mut self, text: &str) {
        self.pty.write_all(text.as_bytes()).expect("the terminal takes it");
    }

    fn until(&mut self, text: &str) {
        let end = Instant::now() + Duration::from_secs(20);
        while !self.seen.contains(text) {
            match self.output.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(piece) => self.seen += &String::from_utf8_lossy(&piece),
                Err(_) => panic!("{text:?} did not come; the terminal showed:\n{}", self.seen),
            }
        }
    }

    fn status(mut self) -> i32 {
        while self.output.recv_timeout(Duration::from_secs(20)).is_ok() {}
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }
}

fn odd_words_arrive(far: &Far) {
    let odd =
        ["", " ", "it's", "\"", "\\", "$HOME", "`id`", "a\nb", "é日本", "*", "~", "-n", "--", "\u{1b}[1m"];
    let words = [&["exec", "101", "--", "printf", r"%s\0"], odd.as_slice()].concat();
    assert_eq!(far.run(&words).ok(), odd.join("\0") + "\0");
}

#[test]
fn a_container_lives_on_another_node() {
    let far = far_or_skip!();
    let template = far.node.busybox();
    let create =
        ["create", "101", &template, "--rootfs", "local:0", "--hostname", "far1", "--password-stdin"];
    far.run_with(&create, b"hunter22 it's\n").ok();
    let next = far.run(&["create", &template, "--rootfs", "local:0"]).ok();
    assert_eq!(next.trim(), "100");
    far.run(&["start", "far1"]).ok();
    assert_eq!(
        far.run(&["list", "--no-header", "--columns", "vmid,status,name"]).ok(),
        "100  stopped  CT100\n101  running  far1\n"
    );
    // What is there is the same seen from there.
    assert!(far.node.pvect(&["status", "101"]).ok().contains("running"));

    odd_words_arrive(&far);
    let all: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let there = far.run_with(&["exec", "101", "--", "sh", "-c", "cat >/root/in; wc -c </root/in"], &all);
    assert_eq!(there.ok().trim(), "70000");
    // What the start-up files of a login shell print stays out of it.
    let noise = "#!/bin/sh\necho Welcome; echo oops >&2\nexec /bin/sh -c \"$SSH_ORIGINAL_COMMAND\"\n";
    far.sshd.script("forced.sh", noise).expect("it can be written");
    let text = fs::read_to_string(&far.settings).expect("there are settings");
    let noisy = far.sshd.dir().join("noisy.json");
    let key = far.sshd.key().display().to_string();
    fs::write(&noisy, text.replace(&key, &far.sshd.forced_key().display().to_string())).expect("it can be");
    let output = far
        .command(&["exec", "101", "--", "sh", "-c", "echo out; echo err >&2"])
        .env("PVECT_CONFIG", &noisy)
        .output()
        .expect("pvect can be started");
    assert_eq!((output.stdout.as_slice(), output.stderr.as_slice()), (&b"out\n"[..], &b"err\n"[..]));

    // A command that does not read stdin ends although stdin does not.
    let mut waits = far
        .command(&["exec", "101", "--", "echo", "done"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("pvect can be started");
    let held = waits.stdin.take();
    assert!(waits.wait().expect("it ends").success());
    drop(held);
    for status in [0, 7, 255] {
        let ended =
            far.run(&["exec", "101", "--", "sh", "-c", &format!("echo out; echo err >&2; exit {status}")]);
        assert_eq!((ended.status, ended.stdout.as_str(), ended.stderr.as_str()), (status, "out\n", "err\n"));
    }

    let (file, back) = (far.sshd.dir().join("file it's"), far.sshd.dir().join("back"));
    fs::write(&file, &all).expect("it can be written");
    far.run(&["push", "101", &file.to_string_lossy(), "/root/pushed", "--perms", "640"]).ok();
    let seen = far.run(&["exec", "101", "--", "stat", "-c", "%s %a", "/root/pushed"]).ok();
    assert_eq!(seen, "70000 640\n");
    far.run(&["pull", "101", "/root/in", &back.to_string_lossy()]).ok();
    assert!(fs::read(&back).expect("it is there") == all);
    let missing = far.run(&["pull", "101", "/root/none", "/tmp/never"]);
    assert_ne!(missing.status, 0);
    assert!(!PathBuf::from("/tmp/never").exists());

    let (tree, copy) = (far.sshd.dir().join("tree"), far.sshd.dir().join("copy"));
    fs::create_dir_all(tree.join("sub")).expect("it can be made");
    fs::write(tree.join("sub/a b"), &all).expect("it can be written");
    far.run(&["push", "101", &tree.to_string_lossy(), "/root/tree", "--recursive"]).ok();
    far.run(&["pull", "101", "/root/tree", &copy.to_string_lossy(), "--recursive"]).ok();
    assert!(fs::read(copy.join("sub/a b")).expect("it is there") == all);

    let shown = far.run(&["push", "101", "/none/it's", "/x", "--dry-run"]).ok();
    let tail = format!(
        "-- {}@127.0.0.1 '{} push 101 /tmp/pvect.XXXXXXXXXX/file /x'\n",
        far.sshd.user(),
        far.sshd.dir().join("pct").display()
    );
    assert!(shown.starts_with("/usr/bin/ssh -o ") && shown.ends_with(&tail), "{shown}");

    let refused = far.run(&["start", "101"]).fails(4);
    assert!(refused.contains("CT 101 already running"), "{refused}");
    let refused = far.run(&["status", "999"]).fails(3);
    assert!(refused.contains("there is no container 999"), "{refused}");
    far.run(&["stop", "101"]).ok();
    let argv = fs::read_to_string(far.sshd.dir().join("log")).expect("sshd has a log");
    assert!(!argv.contains("hunter22"));
    assert_eq!(far.sshd.logins(), 2, "{}", far.sshd.log());
    for vmid in ["100", "101"] {
        far.run(&["destroy", vmid]).ok();
    }
    assert_eq!(far.run(&["list", "-o", "json"]).ok().trim(), "[]");
    assert_eq!(far.node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_shell_follows_the_terminal_through_ssh() {
    let far = far_or_skip!();
    let template = far.node.busybox();
    far.node.pvect(&["create", "101", &template, "--rootfs", "local:0"]).ok();
    far.node.pvect(&["start", "101"]).ok();
    let mut shell = far.session(&["enter", "101"]);
    shell.until("# ");
    // The answers are put together by the shell, so that the echo of the input is not taken for them.
    shell.send("stty size | sed 's/^/size:/'\n");
    shell.until("size:30 100");
    shell.pty.resize(Size::new(41, 121)).expect("the terminal can be resized");
    // The new size takes its way through two processes.
    shell.send("sleep 0.5; stty size | sed 's/^/size:/'\n");
    shell.until("size:41 121");
    shell.send("echo begin:$((1 + 1)); sleep 1000; echo after:$?\n");
    shell.until("begin:2");
    std::thread::sleep(Duration::from_millis(300));
    shell.send("\x03");
    shell.send("echo still:$((40 + 2))\n");
    shell.until("still:42");
    shell.send("exit 9\n");
    assert_eq!(shell.status(), 9);

    let mut exec =
        far.session(&["exec", "101", "--", "sh", "-c", "tty >/dev/null && echo on-a-$((1))-tty; exit 255"]);
    exec.until("on-a-1-tty");
    assert_eq!(exec.status(), 255);
    far.node.pvect(&["stop", "101"]).ok();
    assert_eq!(far.node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_signal_ends_what_runs_at_the_other_end() {
    let far = far_or_skip!();
    let template = far.node.busybox();
    far.node.pvect(&["create", "101", &template, "--rootfs", "local:0"]).ok();
    far.node.pvect(&["start", "101"]).ok();
    let mut child = far
        .command(&["exec", "101", "--", "sh", "-c", "echo here; exec sleep 4711"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("pvect can be started");
    let mut line = [0; 5];
    child.stdout.as_mut().expect("it has a stdout").read_exact(&mut line).expect("it says so");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it lives");
    assert_eq!(child.wait().expect("it ends").code(), Some(128 + 15));
    // What ran in the container stays there, as it does without ssh; pct and lxc-attach do not.
    let running = || {
        fs::read_dir("/proc").into_iter().flatten().flatten().any(|entry| {
            let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).into_owned();
            line.starts_with("lxc-attach") && line.contains(&*far.node.root().to_string_lossy())
        })
    };
    for _ in 0..100 {
        if !running() {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    assert!(!running());
    far.node.pvect(&["stop", "101"]).ok();
}

#[test]
fn doctor_looks_at_the_connection() {
    let far = far_or_skip!();
    let all = far.run(&["doctor", "-o", "csv", "--columns", "verdict,name"]).ok();
    assert!(all.contains("ok,ssh") && all.contains("ok,pct") && all.contains("ok,locks"), "{all}");
    assert!(all.contains(",node"), "{all}");
    let pct = far.sshd.dir().join("pct");
    fs::remove_file(&pct).expect("it was there");
    let found = far.run(&["doctor"]);
    assert_eq!(found.status, 1);
    assert!(found.stdout.contains("there is no pct at '"), "{}", found.stdout);
    fs::write(far.sshd.dir().join("known_hosts"), "").expect("it can be written");
    // Another user of the settings: the kept connection is not his.
    let text = fs::read_to_string(&far.settings).expect("there are settings");
    fs::write(&far.settings, text.replace("/c\"", "/d\"")).expect("they can be written");
    let found = far.run(&["doctor"]);
    assert_eq!(found.status, 1);
    assert!(found.stdout.contains("Host key verification failed."), "{}", found.stdout);
    assert!(found.stdout.contains("compare the host's key"), "{}", found.stdout);
}
