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

    /// A script of a shell on a terminal of its own; `$pvect` is the program, and `$out` a directory for what it writes.
    fn script(node: &TestNode, text: &str) -> Self {
        let (pty, pts) = open().expect("a terminal can be made");
        let template = node.command(["x"]);
        let out = written(node);
        fs::create_dir_all(&out).expect("a directory");
        let mut command = Command::new("/bin/bash").args(["-c", text]).env_clear();
        for (name, value) in template.get_envs() {
            command = command.env(name, value.unwrap_or_default());
        }
        let command = command.env("pvect", template.get_program()).env("out", out).env("TERM", "xterm");
        let child = command.current_dir("/").spawn(pts).expect("a shell can be started");
        Self { pty, child, seen: String::new() }
    }

    /// Reads to the end, and returns what was shown and the status.
    fn end(mut self) -> (String, i32) {
        let mut rest = Vec::new();
        // Reading ends with an error when the other side closes.
        let _ = self.pty.read_to_end(&mut rest);
        let shown = std::mem::take(&mut self.seen) + &String::from_utf8_lossy(&rest);
        (shown, self.child.wait().expect("it ends").code().unwrap_or(-1))
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

/// Where scripts write.
fn written(node: &TestNode) -> std::path::PathBuf {
    node.root().join("written")
}

/// Two running containers, 101 and 102, with `/probe`, which adds to `/seen` what it learns of the terminal: the session
/// and the terminal of its stat, and whether `/dev/tty` can be opened.
fn probed() -> Option<TestNode> {
    let node = TestNode::new().map_err(|reason| pvect_testkit::skipped("terminal", &reason)).ok()?;
    let template = node.busybox();
    let probe = r#"cat >/probe <<'END'
#!/bin/busybox sh
read pid name state parent group session tty rest </proc/self/stat
echo session:$session terminal:$tty $(sh -c ': </dev/tty' 2>&1 | grep -o 'No such device or address') >>/seen
END
chmod 755 /probe"#;
    for id in ["101", "102"] {
        node.pvect(&["create", id, &template, "--rootfs", "local:0", "--start", "1"]).ok();
        node.pvect(&["exec", id, "--", "sh", "-c", probe]).ok();
    }
    Some(node)
}

/// What `/probe` has seen in a container since it was asked last.
fn seen(node: &TestNode, id: &str) -> String {
    node.pvect(&["exec", id, "--", "sh", "-c", "cat /seen; rm -f /seen"]).ok()
}

const NO_TERMINAL: &str = "session:0 terminal:0 No such device or address\n";

#[test]
fn nothing_of_a_guest_has_the_terminal_of_the_caller() {
    let Some(node) = probed() else { return };
    for script in [
        "$pvect exec 101 -- /probe </dev/null >$out/log 2>&1",
        "$pvect enter 101 </dev/null >$out/log 2>&1 < <(echo /probe)",
        "$pvect pct exec 101 -- /probe </dev/null >$out/log 2>&1",
        "$pvect pct exec 101 -- /probe </dev/null 2>&1 | cat >$out/log",
        // With job control each command leads a process group.
        "set -m; $pvect pct exec 101 -- /probe </dev/null >$out/log 2>&1",
        "set -m; $pvect exec 101 -- /probe </dev/null >$out/log 2>&1",
    ] {
        let (shown, status) = Session::script(&node, script).end();
        let log = fs::read_to_string(written(&node).join("log")).unwrap_or_default();
        assert_eq!((status, shown.as_str(), log.as_str()), (0, "", ""), "{script}");
        assert_eq!(seen(&node, "101"), NO_TERMINAL, "{script}");
    }
    let (shown, status) = Session::script(&node, "$pvect exec 101,102 -- /probe").end();
    assert_eq!(status, 0, "{shown}");
    assert_eq!((seen(&node, "101").as_str(), seen(&node, "102").as_str()), (NO_TERMINAL, NO_TERMINAL));
    // With a terminal it has another one, of a session of its own.
    for script in ["$pvect exec 101 -- /probe", "$pvect pct exec 101 -- /probe >$out/log 2>&1"] {
        let (shown, status) = Session::script(&node, script).end();
        assert_eq!(status, 0, "{script}: {shown}");
        let found = seen(&node, "101");
        assert!(!found.contains("session:0 ") && !found.contains("terminal:0 "), "{script}: {found}");
    }
}

#[test]
fn a_copy_is_verified_without_a_program_of_the_guest() {
    let Some(node) = probed() else { return };
    let hostile = r#"mkdir -p /usr/local/sbin; cd /usr/local/sbin; for name in sha256sum test stat tar; do
printf '#!/bin/busybox sh\n/probe; echo %s >>/ran\nexec /bin/busybox %s "$@"\n' $name $name >$name
chmod 755 $name; done; echo from inside >/root/back"#;
    node.pvect(&["exec", "101", "--", "sh", "-c", hostile]).ok();
    let ran = || node.pvect(&["exec", "101", "--", "sh", "-c", "cat /ran; rm -f /ran /seen"]);
    let (shown, status) = Session::script(
        &node,
        "echo text >$out/here && $pvect push 101 $out/here /root/there && $pvect pull 101 /root/back $out/back &&
         $pvect pull 101 /root $out/x; $pvect pull 101 /root/none $out/x; test ! -e $out/x",
    )
    .end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("'/root' is a directory") && shown.contains("no '/root/none' in"), "{shown}");
    assert_eq!(fs::read_to_string(written(&node).join("back")).unwrap_or_default(), "from inside\n");
    let programs = ran().stdout;
    assert!(programs.is_empty(), "{programs}");
    // Whole directories travel through the container's tar: without a terminal.
    let script = "mkdir $out/tree; echo text >$out/tree/a; echo text >$out/tree/'odd
name'; $pvect push -r 101 $out/tree /root/tree && $pvect pull -r 101 /root/tree $out/again &&
         diff -r $out/tree $out/again";
    let (shown, status) = Session::script(&node, script).end();
    assert_eq!(status, 0, "{shown}");
    let found = seen(&node, "101");
    assert!(found.replace(NO_TERMINAL, "").is_empty() && !found.is_empty(), "{found}");
    assert!(!ran().ok().contains("sha256sum"));
}

#[test]
fn nothing_that_the_caller_left_open_goes_along() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:0", "--start", "1"]).ok();
    let list =
        "exec 101 -- sh -c 'for fd in /proc/self/fd/*; do readlink $fd; done; test ! -e /proc/self/fd/9'";
    for script in [
        format!("exec 9</; $pvect {list}"),
        format!("exec 9</; $pvect pct {list}"),
        format!("exec 9</; $pvect pct {list} </dev/null >$out/log 2>&1"),
        "exec 9</; $pvect exec 101,101 -- test ! -e /proc/self/fd/9".to_owned(),
    ] {
        let (shown, status) = Session::script(&node, &script).end();
        assert_eq!(status, 0, "{script}: {shown}");
    }
    // The one exception: what the command line names as a file, for pct alone.
    let (shown, status) = Session::script(
        &node,
        "$pvect push 101 <(echo named) /root/named; $pvect exec 101 -- cat /root/named; $pvect exec 101 -- cat <(:)",
    )
    .end();
    assert!(shown.contains("\nnamed\r") && status == 1, "{status}: {shown}");
}

#[test]
fn ctrl_c_reaches_a_command_in_a_session_of_its_own() {
    let Some(node) = probed() else { return };
    for command in ["$pvect exec", "$pvect pct exec", "set -m; $pvect pct exec"] {
        let script =
            format!("trap : INT; {command} 101 -- sleep 1234 </dev/null >$out/log 2>&1; echo ended:$?:");
        let mut session = Session::script(&node, &script);
        let runs = || node.pvect(&["exec", "101", "--", "ps"]).ok().contains("sleep 1234");
        wait_until(&runs);
        session.send("\x03");
        session.until("ended:");
        let (shown, _) = session.end();
        assert!(shown.contains("ended:130:"), "{command}: {shown}");
        wait_until(&|| !runs());
    }
}

#[test]
fn ctrl_z_stops_a_command_in_a_session_of_its_own() {
    let Some(node) = probed() else { return };
    let find = "grep -h '(sleep)' /proc/[0-9]*/stat 2>/dev/null | cut -d' ' -f3";
    let is = |state: &str| node.pvect(&["exec", "101", "--", "sh", "-c", find]).stdout.trim() == state;
    for command in ["$pvect exec", "$pvect pct exec"] {
        let mut shell = Session::script(&node, "exec bash --norc -i");
        shell.send(&format!("{command} 101 -- sleep 1234 </dev/null >$out/log 2>&1\n"));
        wait_until(&|| is("S"));
        shell.send("\x1a");
        shell.until("Stopped");
        wait_until(&|| is("T"));
        shell.send("fg\n");
        wait_until(&|| is("S"));
        shell.send("\x03");
        wait_until(&|| is(""));
        shell.send("exit 5\n");
        assert_eq!(shell.status(), 5, "{command}");
    }
}

#[track_caller]
fn wait_until(done: &dyn Fn() -> bool) {
    for _ in 0..100 {
        if done() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("it never came to that");
}

#[test]
fn what_a_guest_says_does_not_drive_the_terminal() {
    let Some(node) = probed() else { return };
    let bytes = r"\033[31m\302\233K\342\200\256x\r";
    let forms = ["", "-o plain", "-o csv --columns name,stdout", "-o json", "-o yaml"];
    for form in forms {
        let script = format!("$pvect {form} exec 101,102 -- printf '{bytes}'");
        let (shown, status) = Session::script(&node, &script).end();
        assert_eq!(status, 0, "{script}: {shown}");
        // What the progress on stderr draws is ours.
        let result = shown.rsplit("K").next().unwrap_or_default();
        assert!(shown.contains("[31m") && !shown.contains("\x1b[31m"), "{form}: {shown:?}");
        assert!(!shown.contains(['\u{9b}', '\u{202e}']) && result.contains("x"), "{form}: {shown:?}");
        // A program gets what there is.
        let words: Vec<&str> =
            form.split_whitespace().chain(["exec", "101,102", "--", "printf", bytes]).collect();
        let piped = node.pvect(&words).ok();
        let escaped = form.ends_with("json") || form.ends_with("yaml");
        assert!(escaped || piped.contains("\x1b[31m\u{9b}K\u{202e}x\r"), "{form}: {piped:?}");
    }
    // One command on a terminal is a terminal's business.
    let (shown, _) = Session::script(&node, &format!("$pvect exec 101 -- printf '{bytes}'")).end();
    assert!(shown.contains("\x1b[31m\u{9b}K"), "{shown:?}");
    // Configurations, in pct's own form too.
    let config = node.config_file(101);
    let text = fs::read_to_string(&config).expect("a configuration");
    fs::write(&config, format!("{text}tags: a\x1b[31m\u{9b}\n")).expect("it can be written");
    for words in ["config 101", "pending 101", "-o csv config 101", "-o plain config 101"] {
        let (shown, _) = Session::script(&node, &format!("$pvect {words}")).end();
        // The colour of a warning is ours.
        let shown = shown.replace("\x1b[1;33mwarning:\x1b[0m", "warning:");
        assert!(!shown.contains(['\x1b', '\u{9b}']) && shown.contains("a\\u001b[31m"), "{words}: {shown:?}");
        let words: Vec<&str> = words.split(' ').collect();
        assert!(node.pvect(&words).ok().contains("a\x1b[31m\u{9b}"), "{words:?}");
    }
    // pct says only that it is wrong.
    let (shown, _) = Session::script(&node, "$pvect pct config 101").end();
    assert!(!shown.contains(['\x1b', '\u{9b}']) && shown.contains("tags: invalid format"), "{shown:?}");
}
