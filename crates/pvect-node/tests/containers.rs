//! Real containers, through real processes: this program is the `pct` of a node, its helper, and the test.

#![allow(clippy::unwrap_used, reason = "a failing helper fails the test")]
#![allow(clippy::print_stdout, reason = "this is its own test harness")]

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use pvect_native::{Names, Version};
use pvect_node::{Layout, Node, Output, runtime};
use sha2::{Digest, Sha256};

const TESTS: &[(&str, fn())] = &[
    ("a_container_runs_and_leaves_nothing", a_container_runs_and_leaves_nothing),
    ("commands_end_as_in_the_real_one", commands_end_as_in_the_real_one),
    ("files_are_copied_and_failures_told", files_are_copied_and_failures_told),
    ("limits_change_while_it_runs", limits_change_while_it_runs),
    ("hooks_pending_changes_and_odd_paths", hooks_pending_changes_and_odd_paths),
    ("failed_starts_leave_nothing", failed_starts_leave_nothing),
    ("a_killed_monitor_leaves_nothing_in_the_way", a_killed_monitor_leaves_nothing_in_the_way),
    ("a_start_that_is_told_to_end_leaves_nothing", a_start_that_is_told_to_end_leaves_nothing),
    ("who_waits_for_a_lock_can_be_told_to_end", who_waits_for_a_lock_can_be_told_to_end),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    match words.first().map(String::as_str) {
        Some("__node") => pvect_node::internal::run(&words[1..]).into(),
        Some("__pct") => {
            let node = node(Path::new(&words[1]));
            let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
            pvect_node::run_to_exit(&node, &words[2..], &mut Output::new(&mut out, &mut err)).into()
        }
        Some("--list") => {
            TESTS.iter().for_each(|(name, _)| println!("{name}: test"));
            ExitCode::SUCCESS
        }
        _ => run_tests(&words),
    }
}

fn run_tests(words: &[String]) -> ExitCode {
    if let Some(reason) = pvect_testkit::missing_requirement() {
        pvect_testkit::skipped(module_path!(), &reason);
        return ExitCode::SUCCESS;
    }
    let filters: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let mut failed = false;
    for (name, test) in TESTS {
        if !filters.is_empty() && !filters.iter().any(|filter| name.contains(filter.as_str())) {
            continue;
        }
        let result = std::panic::catch_unwind(test);
        println!("test {name} ... {}", if result.is_ok() { "ok" } else { "FAILED" });
        failed |= result.is_err();
    }
    if failed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

fn node(root: &Path) -> Node {
    let name: pvect_core::NodeName = "vm".parse().unwrap();
    Node { layout: Layout::new(root, name.clone()), name, helper: std::env::current_exe().unwrap() }
}

/// How a command ended: status, stdout, stderr.
type Ended = (i32, String, String);

/// A node with one BusyBox container, 901, on a root of its own.
struct Fixture {
    node: Node,
    root: PathBuf,
    _dir: tempfile::TempDir,
}

impl Fixture {
    /// `below` is the root's name below a temporary directory.
    fn new(below: &str, options: &[&str]) -> Self {
        let dir = tempfile::Builder::new().prefix("pvrt").tempdir_in("/var/tmp").unwrap();
        let root = dir.path().join(below);
        let node = node(&root);
        pvect_testkit::pin_ids(&root).unwrap();
        pvect_node::store::ensure_root(&node).unwrap();
        let template = pvect_node::template::build_busybox(&node, &mut |_| {}).unwrap();
        let fixture = Self { node, root, _dir: dir };
        let mut words = vec!["create", "901", template.volume.as_str(), "--memory", "64", "--rootfs"];
        words.push("local:0.2");
        fixture.ok(&[words.as_slice(), options].concat());
        fixture
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = Command::new(&self.node.helper);
        command.arg("__pct").arg(&self.root).args(words).stdin(Stdio::null()).current_dir("/");
        command
    }

    fn pct(&self, words: &[&str]) -> Ended {
        let output = self.command(words).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let status = output.status.code().unwrap_or(128 + output.status.signal().unwrap_or(0));
        (status, text(&output.stdout), text(&output.stderr))
    }

    #[track_caller]
    fn ok(&self, words: &[&str]) -> String {
        let (status, out, err) = self.pct(words);
        assert_eq!(status, 0, "{words:?}: {out}{err}");
        out
    }

    #[track_caller]
    fn says(&self, words: &[&str], status: i32, err: &str) {
        let (found, out, text) = self.pct(words);
        assert_eq!((found, text.as_str()), (status, err), "{words:?}: {out}");
    }

    fn status(&self, key: &str) -> String {
        let text = self.ok(&["status", "901", "--verbose"]);
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{key}: ")));
        line.unwrap_or_default().to_owned()
    }

    /// What is there of the node in the system besides files.
    fn leftovers(&self) -> Vec<String> {
        let names = Names::new(self.node.layout.lxc());
        let vmid = "901".parse().unwrap();
        let root = self.root.display().to_string();
        let escaped = root.replace(' ', "\\040");
        let mut found = Vec::new();
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        found.extend(mounts.lines().filter(|line| line.contains(&escaped)).map(str::to_owned));
        for hierarchy in runtime::reader(&self.node).cgroups().hierarchies() {
            for cgroup in [names.cgroup(vmid), names.monitor_cgroup(vmid)] {
                let path = hierarchy.join(cgroup);
                found.extend(path.exists().then(|| path.display().to_string()));
            }
        }
        let list = |path: &str| fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
        found.extend(
            list("/sys/class/net")
                .map(|entry| entry.file_name().into_string().unwrap())
                .filter(|name| names.is_device(vmid, name)),
        );
        for device in list("/sys/block") {
            let file = fs::read_to_string(device.path().join("loop/backing_file")).unwrap_or_default();
            found.extend(file.contains(&root).then_some(file));
        }
        for process in list("/proc") {
            let line = fs::read(process.path().join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let is_ours = line.contains(&root) && process.file_name().to_str() != Some("self");
            found.extend(is_ours.then_some(line));
        }
        found
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = self.pct(&["stop", "901", "--skiplock"]);
    }
}

/// A bridge that ends with this value.
struct Bridge(String);

impl Bridge {
    fn new(number: u8) -> Self {
        let name = format!("pvrt{:x}{number}", std::process::id() & 0xffff);
        for words in [["link", "add", &name, "type", "bridge"].as_slice(), &["link", "set", &name, "up"]] {
            assert!(Command::new("ip").args(words).status().unwrap().success());
        }
        Self(name)
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["link", "delete", &self.0]).status();
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !done() {
        assert!(Instant::now() < deadline, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn sha256(path: &Path) -> String {
    let digest = Sha256::digest(fs::read(path).unwrap());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn a_container_runs_and_leaves_nothing() {
    let bridge = Bridge::new(0);
    let net = format!("name=eth0,bridge={},ip=10.77.0.2/24", bridge.0);
    let fixture = Fixture::new("root", &["--hostname", "web1", "--net0", &net]);
    fixture.says(&["stop", "901"], 255, "CT 901 not running\n");
    fixture.says(&["shutdown", "901"], 255, "CT 901 not running\n");
    fixture.says(&["reboot", "901"], 255, "VM 901 not running\n");
    fixture.says(&["exec", "901", "--", "true"], 255, "container '901' not running!\n");
    assert_eq!(fixture.status("status"), "stopped");
    assert_eq!(fixture.ok(&["start", "901"]), "");
    fixture.says(&["start", "901"], 255, "CT 901 already running\n");
    assert_eq!(fixture.status("status"), "running");
    for key in ["pid", "mem", "disk"] {
        assert!(fixture.status(key).parse::<u64>().unwrap() > 0, "{key}");
    }
    assert_eq!(
        (fixture.status("name"), fixture.status("maxmem")),
        ("web1".to_owned(), "67108864".to_owned())
    );
    assert_eq!(fixture.ok(&["exec", "901", "--", "hostname"]), "web1\n");
    // Its mounts are in a namespace of their own.
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(fixture.root.to_str().unwrap()), "{mounts}");
    let device = Names::new(fixture.node.layout.lxc()).device("901".parse().unwrap(), 0);
    let master = fs::read_link(format!("/sys/class/net/{device}/master")).unwrap();
    assert_eq!(master.file_name().unwrap().to_str(), Some(bridge.0.as_str()));
    assert_eq!(fixture.ok(&["stop", "901"]), "");
    assert_eq!(fixture.leftovers(), Vec::<String>::new());
    fixture.ok(&["start", "901"]);
    fixture.ok(&["shutdown", "901", "--timeout", "30", "--forceStop", "1"]);
    assert_eq!(fixture.leftovers(), Vec::<String>::new());
}

fn commands_end_as_in_the_real_one() {
    let fixture = Fixture::new("root", &[]);
    fixture.ok(&["start", "901"]);
    let run = |words: &[&str]| fixture.pct(&[&["exec", "901", "--"], words].concat());
    assert_eq!(run(&["true"]).0, 0);
    let (status, out, err) = run(&["sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((status, out.as_str(), err.as_str()), (7, "out\n", "err\n"));
    let (status, _, err) = run(&["nosuchcmd"]);
    assert!(status == 127 && err.starts_with("lxc-attach: 901: ../src/lxc/attach.c: "), "{status} {err}");
    assert!(err.ends_with("No such file or directory - Failed to exec \"nosuchcmd\"\n"), "{err}");
    let (status, _, err) = run(&["/etc/passwd"]);
    assert!(status == 126 && err.ends_with("Permission denied - Failed to exec \"/etc/passwd\"\n"), "{err}");
    assert_eq!(run(&["sh", "-c", "kill -9 $$"]).0, 137);
    assert_eq!(run(&["sh", "-c", "kill -TERM $$"]).0, 143);
    fixture.says(&["exec", "901"], 255, "missing command\n");
    fixture.says(
        &["exec", "999", "--", "true"],
        2,
        "Configuration file 'nodes/vm/lxc/999.conf' does not exist\n",
    );
    let env = |words: &[&str]| {
        let output = fixture.command(words).env_clear().env("MYVAR", "1").env("PATH", "/x").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let kept = env(&["exec", "901", "--", "env"]);
    assert!(kept.contains("MYVAR=1\n") && kept.contains("PATH=/sbin:/bin:/usr/sbin:/usr/bin\n"), "{kept}");
    assert_eq!(
        env(&["exec", "901", "--keep-env", "0", "--", "env"]),
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\ncontainer=lxc\nTERM=linux\n"
    );
    let input = fixture.root.join("input");
    fs::write(&input, "echo in-enter; exit 3\n").unwrap();
    let entered = fixture.command(&["enter", "901"]).stdin(fs::File::open(&input).unwrap()).output().unwrap();
    assert_eq!((entered.status.code(), entered.stdout.as_slice()), (Some(3), &b"in-enter\n"[..]));
}

fn files_are_copied_and_failures_told() {
    let fixture = Fixture::new("root", &[]);
    let path = |name: &str| fixture.root.join(name).to_str().unwrap().to_owned();
    let (big, back, evil) = (path("big"), path("back"), path("evil"));
    let bytes: Vec<u8> =
        (0..50_u32 << 20).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(&big, bytes).unwrap();
    fixture.says(&["push", "901", &big, "/x"], 255, "can only push files to a running CT\n");
    fixture.says(&["pull", "901", "/x", &back], 255, "can only pull files from a running VM\n");
    fixture.ok(&["start", "901"]);
    fixture.says(
        &["push", "901", &big, "/root/big", "--perms", "750", "--user", "nobody", "--group", "7"],
        0,
        "",
    );
    assert!(
        fixture
            .ok(&["exec", "901", "--", "ls", "-ln", "/root/big"])
            .starts_with("-rwxr-x---    1 65534    7  ")
    );
    fixture.says(&["pull", "901", "/root/big", &back, "--perms", "600", "--user", "65534"], 0, "");
    assert_eq!(sha256(Path::new(&big)), sha256(Path::new(&back)));
    let meta = fs::metadata(&back).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.uid(), meta.gid()), (0o600, 65534, 0));
    for (words, text) in [
        (&["/root/y", "--user", "nosuch"][..], "failed to get uid for: nosuch\n"),
        (&["/root/y", "--perms", "9z"], "invalid mode: '09z'\n"),
        (&["/no/such/y"], "failed to create file: /no/such/y: No such file or directory\n"),
        (&["relative/y"], "failed to create file: relative/y: No such file or directory\n"),
        (&["/root"], "failed to create file: /root: Is a directory\n"),
    ] {
        fixture.says(&[&["push", "901", &big], words].concat(), 0, text);
    }
    fixture.says(&["push", "901", "/no/such", "/root/y"], 0, "failed to open /no/such for reading\n");
    fixture.says(
        &["pull", "901", "/no/such", &evil],
        0,
        "failed to open /no/such: No such file or directory\n",
    );
    fixture.says(
        &["pull", "901", "/dev/zero", &evil],
        0,
        "failed to open /dev/zero: it is not a regular file\n",
    );
    // Symlinks end inside, on the way in and on the way out.
    let script = format!(
        "mkdir -p '{0}'; ln -s '{0}/evil' /root/in; ln -s {1} /root/out",
        fixture.root.display(),
        back
    );
    fixture.ok(&["exec", "901", "--", "sh", "-c", &script]);
    fixture.says(&["push", "901", &back, "/root/in"], 0, "");
    let text = "failed to open /root/out: No such file or directory\n";
    fixture.says(&["pull", "901", "/root/out", &path("leak")], 0, text);
    assert!(!Path::new(&evil).exists() && !Path::new(&path("leak")).exists());
    // File systems of the container's own, and full ones.
    fixture.ok(&["exec", "901", "--", "mount", "-t", "tmpfs", "-o", "size=60m", "none", "/mnt"]);
    fixture.says(&["push", "901", &big, "/mnt/one"], 0, "");
    fixture.says(
        &["push", "901", &big, "/mnt/two"],
        0,
        "failed to copy to /mnt/two: No space left on device\n",
    );
    assert_eq!(fixture.ok(&["exec", "901", "--", "ls", "/mnt"]), "one\n");
}

fn limits_change_while_it_runs() {
    let fixture =
        Fixture::new("root", &["--swap", "64", "--cores", "1", "--cpulimit", "0.5", "--cpuunits", "50"]);
    fixture.ok(&["start", "901"]);
    let reader = runtime::reader(&fixture.node);
    let cgroup = reader.names().cgroup("901".parse().unwrap());
    let read = |controller: &str, v1: &str, v2: &str| -> Option<String> {
        let found = reader.cgroups().controller(controller)?;
        let file = if found.version == Version::V1 { v1 } else { v2 };
        fs::read_to_string(found.path.join(&cgroup).join(file)).ok().map(|text| text.trim().to_owned())
    };
    let memory = || read("memory", "memory.limit_in_bytes", "memory.max").unwrap();
    let weight = || read("cpu", "cpu.shares", "cpu.weight").unwrap();
    let quota = || read("cpu", "cpu.cfs_quota_us", "cpu.max").unwrap();
    assert_eq!((memory().as_str(), weight().as_str()), ("67108864", "50"));
    assert!(quota().starts_with("50000"), "{}", quota());
    for mib in ["256", "32"] {
        fixture.ok(&["set", "901", "--memory", mib]);
        assert_eq!(memory(), (mib.parse::<u64>().unwrap() << 20).to_string());
    }
    fixture.ok(&["set", "901", "--cpuunits", "77", "--cpulimit", "1"]);
    assert_eq!(weight(), "77");
    assert!(quota().starts_with("100000"), "{}", quota());
    fixture.ok(&["set", "901", "--delete", "cpulimit,swap"]);
    assert!(quota().starts_with("-1") || quota().starts_with("max"), "{}", quota());
    if let Some(both) = read("memory", "memory.memsw.limit_in_bytes", "memory.swap.max") {
        assert!(both == memory() || both == "0", "{both}");
    }
    assert!(
        !fs::read_to_string(fixture.node.layout.config("901".parse().unwrap())).unwrap().contains("pending")
    );
    // A network interface comes and goes.
    let bridge = Bridge::new(1);
    let net = format!("name=eth1,bridge={},ip=10.78.0.2/24", bridge.0);
    fixture.ok(&["set", "901", "--net1", &net]);
    assert!(fixture.ok(&["exec", "901", "--", "ip", "-4", "addr"]).contains("inet 10.78.0.2/24"));
    fixture.ok(&["set", "901", "--delete", "net1"]);
    assert!(!fixture.ok(&["exec", "901", "--", "ip", "addr"]).contains("eth1"));
}

fn hooks_pending_changes_and_odd_paths() {
    // Longer than a socket's name can be, with what a shell would take apart. AppArmor's profiles can hold no quotes.
    let quote = if Path::new("/sys/kernel/security/apparmor/features").is_dir() { "" } else { "\"" };
    let fixture = Fixture::new(&format!("it's a {quote}root{quote} {}", "x".repeat(80)), &[]);
    let script = fixture.root.join("vz/snippets/hook.sh");
    let log = fixture.root.join("log/hook");
    fs::write(
        &script,
        "#!/bin/sh\necho \"$1 $2\" >> \"$(dirname \"$0\")/../../log/hook\"\necho \"said $2\"\n",
    )
    .unwrap();
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    fixture.ok(&["set", "901", "--hookscript", "local:snippets/hook.sh"]);
    assert_eq!(fixture.ok(&["start", "901"]), "said pre-start\nsaid post-start\n");
    assert!(fixture.ok(&["list"]).contains("901        running"));
    fixture.ok(&["set", "901", "--tty", "1"]);
    assert!(fixture.ok(&["pending", "901"]).contains("new tty: 1\n"));
    fixture.ok(&["reboot", "901", "--timeout", "30"]);
    assert!(fixture.ok(&["pending", "901"]).contains("cur tty: 1\n"));
    assert_eq!(fixture.ok(&["stop", "901"]), "said pre-stop\n");
    let phases = ["pre-start", "post-start", "pre-stop", "post-stop"].map(|phase| format!("901 {phase}\n"));
    assert_eq!(fs::read_to_string(log).unwrap(), [phases.concat(), phases.concat()].concat());
    assert_eq!(fixture.leftovers(), Vec::<String>::new());
}

fn failed_starts_leave_nothing() {
    let fixture = Fixture::new("root", &[]);
    let path = fixture.node.layout.config("901".parse().unwrap());
    let good = fs::read_to_string(&path).unwrap();
    let with = |line: &str| fs::write(&path, format!("{good}{line}\n")).unwrap();
    for (line, text) in [
        ("net0: name=eth0,bridge=nosuchbr0", "bridge 'nosuchbr0' does not exist\n"),
        ("mp0: local:901/no.raw,mp=/x", "volume 'local:901/no.raw' does not exist\n"),
        ("lock: backup", "CT is locked (backup)\n"),
        ("template: 1", "you can't start a CT if it's a template\n"),
        ("entrypoint: /no/such/init", "startup for container '901' failed\n"),
        ("lxc.net.5.type: bogus", "startup for container '901' failed\n"),
    ] {
        with(line);
        fixture.says(&["start", "901"], 255, text);
        assert_eq!(fixture.leftovers(), Vec::<String>::new(), "{line}");
    }
    with("entrypoint: /no/such/init");
    let (_, out, _) = fixture.pct(&["start", "901"]);
    assert!(out.contains("Failed to exec \"/no/such/init\""), "{out}");
    with("lock: mounted");
    fixture.ok(&["start", "901"]);
}

fn a_killed_monitor_leaves_nothing_in_the_way() {
    let fixture = Fixture::new("root", &[]);
    fixture.ok(&["start", "901"]);
    let status = fs::read_to_string(format!("/proc/{}/status", fixture.status("pid"))).unwrap();
    let monitor: i32 =
        status.lines().find_map(|line| line.strip_prefix("PPid:")).unwrap().trim().parse().unwrap();
    let monitor = rustix::process::Pid::from_raw(monitor).unwrap();
    rustix::process::kill_process(monitor, rustix::process::Signal::KILL).unwrap();
    wait_until("the end", || fixture.status("status") == "stopped");
    let root = fixture.root.display().to_string();
    let loops = || {
        let devices = fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().path());
        devices.filter_map(|path| fs::read_to_string(path.join("loop/backing_file")).ok()).collect::<Vec<_>>()
    };
    wait_until("the end of the loop devices", || !loops().iter().any(|file| file.contains(&root)));
    fixture.ok(&["start", "901"]);
    fixture.ok(&["stop", "901"]);
    assert_eq!(fixture.leftovers(), Vec::<String>::new());
}

fn a_start_that_is_told_to_end_leaves_nothing() {
    let fixture = Fixture::new("root", &[]);
    // Wherever it is when the signal comes: it is done, or nothing of it is left.
    for delay in [0, 5, 10, 20, 30, 40, 60, 90] {
        let mut child: Child =
            fixture.command(&["start", "901"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let pid = rustix::process::Pid::from_child(&child);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let started = child.wait().unwrap().success();
        if !started {
            let left = fixture.leftovers();
            assert_eq!(left, Vec::<String>::new(), "after {delay} ms");
        } else if fixture.status("status") == "running" {
            fixture.ok(&["stop", "901"]);
        }
    }
}

fn who_waits_for_a_lock_can_be_told_to_end() {
    let fixture = Fixture::new("root", &[]);
    let lock = fs::File::open(fixture.node.layout.config_lock("901".parse().unwrap())).unwrap();
    rustix::fs::flock(&lock, rustix::fs::FlockOperation::LockExclusive).unwrap();
    let mut child: Child =
        fixture.command(&["start", "901"]).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    // It has said that it waits.
    let mut text = [0; 26];
    std::io::Read::read_exact(&mut child.stderr.as_mut().unwrap(), &mut text).unwrap();
    assert_eq!(String::from_utf8_lossy(&text), "trying to acquire lock...\n");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(255), "{ended:?}");
    assert_eq!(String::from_utf8_lossy(&ended.stderr), "interrupted by signal\n");
    drop(lock);
    // The task has an end, too.
    let index = fs::read_to_string(fixture.node.layout.tasks().join("index")).unwrap();
    assert!(
        index.contains(":vzstart:901:root@pam: ") && index.contains(" interrupted by signal\n"),
        "{index}"
    );
    fixture.ok(&["start", "901"]);
    fixture.ok(&["stop", "901"]);
}
