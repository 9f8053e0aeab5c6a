//! What needs a terminal: a shell inside, its size, signals, the prompt for a password.

use std::fs;
use std::io::{Read, Write};

use pty_process::Size;
use pty_process::blocking::{Command, Pty, open};
use pvect_testkit::{TestNode, node_or_skip};

/// A command of pvect on a terminal of its own.
struct Session {
    pty: Pty,
    child: std::process::Child,
    seen: String,
}

impl Session {
    fn new(node: &TestNode, words: &[&str]) -> Self {
        let (pty, pts) = open().expect("a terminal can be made");
        pty.resize(Size::new(30, 100)).expect("it has a size");
        let template = node.command(words);
        let mut command = Command::new(template.get_program()).args(words).env_clear();
        for (name, value) in template.get_envs() {
            command = command.env(name, value.unwrap_or_default());
        }
        let child = command.env("TERM", "xterm").current_dir("/").spawn(pts).expect("pvect can be started");
        Self { pty, child, seen: String::new() }
    }

    fn send(&mut self, text: &str) {
        self.pty.write_all(text.as_bytes()).expect("the terminal takes it");
    }

    /// Reads until `text` was seen.
    fn until(&mut self, text: &str) {
        let mut buffer = [0u8; 4096];
        while !self.seen.contains(text) {
            match self.pty.read(&mut buffer) {
                Ok(0) | Err(_) => {
                    panic!("the terminal closed before {text:?} came; it showed:\n{}", self.seen)
                }
                Ok(count) => self.seen += &String::from_utf8_lossy(&buffer[..count]),
            }
        }
    }

    fn status(mut self) -> i32 {
        let mut rest = Vec::new();
        // Reading ends with an error when the other side closes.
        let _ = self.pty.read_to_end(&mut rest);
        self.child.wait().expect("it ends").code().unwrap_or(-1)
    }
}

#[test]
fn a_shell_follows_the_terminal() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:0"]).ok();
    node.pvect(&["start", "101"]).ok();

    let mut shell = Session::new(&node, &["enter", "101"]);
    shell.until("# ");
    // The answers are put together by the shell, so that the echo of the input is not taken for them.
    shell.send("stty size | sed 's/^/size:/'\n");
    shell.until("size:30 100");
    shell.pty.resize(Size::new(41, 121)).expect("the terminal can be resized");
    shell.send("stty size | sed 's/^/size:/'\n");
    shell.until("size:41 121");
    shell.send("sleep 1000; echo after:$?\n");
    std::thread::sleep(std::time::Duration::from_millis(500));
    shell.send("\x03");
    shell.send("echo still:$((40 + 2))\n");
    shell.until("still:42");
    shell.send("exit 9\n");
    assert_eq!(shell.status(), 9);

    let mut exec =
        Session::new(&node, &["exec", "101", "--", "sh", "-c", "tty >/dev/null && echo on-a-$((1))-tty"]);
    exec.until("on-a-1-tty");
    assert_eq!(exec.status(), 0);
    node.pvect(&["stop", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_password_is_asked_for_twice_and_kept_secret() {
    let node = node_or_skip!();
    let template = node.busybox();
    let mut create = Session::new(&node, &["create", "101", &template, "--rootfs", "local:0", "--password"]);
    create.until("assword");
    create.send("correct horse\n");
    create.until("Again");
    create.send("correct horse\n");
    assert_eq!(create.status(), 0);
    assert_password(&node, "correct horse");

    let file = node.root().join("secret");
    fs::write(&file, "battery staple\n").expect("it can be written");
    let words = ["create", "102", &template, "--rootfs", "local:0", "--password-file"];
    node.pvect(&[words.as_slice(), &[&file.to_string_lossy()]].concat()).ok();
    for words in [["--password", "battery"].as_slice(), &["--password=battery"]] {
        let all = [["create", "103", &template, "--rootfs", "local:0"].as_slice(), words].concat();
        let stderr = node.pvect(&all).fails(2);
        assert!(stderr.contains("--password-file") && stderr.contains("--password-stdin"), "{stderr}");
    }
    assert!(!node.config_file(103).exists());
    for secret in ["correct horse", "battery staple"] {
        assert!(!anywhere(&node.root().join("log"), secret), "'{secret}' is in a log");
    }
}

/// Asserts that root's password in container 101 is the given one.
#[track_caller]
fn assert_password(node: &TestNode, password: &str) {
    let shadow = node.root().join("vz/images/101/subvol-101-disk-0.subvol/etc/shadow");
    let text = fs::read_to_string(&shadow).expect("there is a shadow file");
    let hash = text.lines().find_map(|line| line.strip_prefix("root:")).expect("root has an entry");
    let hash = hash.split(':').next().unwrap_or_default();
    assert!(hash.starts_with("$6$") || hash.starts_with("$5$") || hash.starts_with("$y$"), "no hash: {hash}");
    assert!(!text.contains(password), "the password is in {}", shadow.display());
}

/// Whether a text is in any file below a directory.
fn anywhere(dir: &std::path::Path, text: &str) -> bool {
    fs::read_dir(dir).into_iter().flatten().flatten().any(|entry| {
        let path = entry.path();
        if path.is_dir() {
            anywhere(&path, text)
        } else {
            fs::read_to_string(&path).is_ok_and(|all| all.contains(text))
        }
    })
}

#[test]
fn a_link_named_pct_is_the_nodes_pct() {
    let node = node_or_skip!();
    let link = node.root().join("pct");
    std::os::unix::fs::symlink(node.command(["x"]).get_program(), &link).expect("a link can be made");
    let output = std::process::Command::new(&link)
        .args(["status", "abc"])
        .env("PVECT_ROOT", node.root())
        .env("PVECT_NODE", "vm")
        .output()
        .expect("the link can be run");
    let stderr = String::from_utf8_lossy(&output.stderr);
    let expected = "400 Parameter verification failed.\nvmid: type check ('integer') failed - got 'abc'\npct status <vmid> [OPTIONS]\n";
    assert_eq!((output.status.code(), stderr.as_ref()), (Some(2), expected));
}

#[test]
fn trap_bytes_vs_gib_is_asked_on_a_terminal() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:0.05"]).ok();
    let size = || {
        let config = fs::read_to_string(node.config_file(101)).expect("the configuration");
        config.lines().find_map(|line| line.strip_prefix("rootfs: ")).expect("a volume").to_owned()
    };
    let before = size();
    let mut no = Session::new(&node, &["resize", "101", "rootfs", "+1"]);
    no.until("'+1' is a number of bytes to pct. Is +1G (GiB) meant? [y/N] ");
    no.send("n\n");
    no.until("'+1' would be bytes");
    assert_eq!(no.status(), 2);
    assert_eq!(size(), before);
    let mut yes = Session::new(&node, &["resize", "101", "rootfs", "1"]);
    yes.until("'1' is a number of bytes to pct. Is 1G (GiB) meant? [y/N] ");
    yes.send("y\n");
    assert_eq!(yes.status(), 0);
    assert!(size().ends_with("size=1G"), "{}", size());
}

#[test]
fn trap_keep_env_on_a_terminal() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:0", "--start", "1"]).ok();
    let words = ["exec", "101", "--", "sh", "-c", "env; echo done:$TERM"];
    let (pty, pts) = open().expect("a terminal can be made");
    let plain = node.command(words);
    let mut command = Command::new(plain.get_program()).args(words).env_clear();
    for (name, value) in plain.get_envs() {
        command = command.env(name, value.unwrap_or_default());
    }
    let command = command.env("TERM", "xterm").env("SECRET_TOKEN", "hunter22").current_dir("/");
    let child = command.spawn(pts).expect("pvect can be started");
    let mut session = Session { pty, child, seen: String::new() };
    // The container's own.
    session.until("done:linux");
    assert!(session.seen.contains("PATH=") && !session.seen.contains("hunter22"), "{}", session.seen);
    assert_eq!(session.status(), 0);
}
