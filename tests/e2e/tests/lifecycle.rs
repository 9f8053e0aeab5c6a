//! One container's whole life, through the real processes: pvect, its pct, LXC.

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;

use pvect_testkit::{TestNode, node_or_skip};
use sha2::{Digest, Sha256};

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn status(node: &TestNode, vmid: &str) -> serde_json::Value {
    serde_json::from_str(&node.pvect(&["status", vmid, "--verbose", "-o", "json"]).ok())
        .expect("status is JSON")
}

/// The memory limit in force, from the container's own cgroup (v2 or v1), bytes.
fn memory_limit(node: &TestNode, vmid: &str) -> u64 {
    let pid = status(node, vmid)["pid"].as_u64().expect("a running container has a pid");
    let groups = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("cgroups of init");
    let memory = groups.lines().find(|line| line.contains(":memory:"));
    let unified = groups.lines().find(|line| line.starts_with("0::"));
    let (base, line, file) = match memory {
        Some(line) => ("/sys/fs/cgroup/memory", line, "memory.limit_in_bytes"),
        None => ("/sys/fs/cgroup", unified.expect("a unified hierarchy"), "memory.max"),
    };
    // The limit is on the container's group, above the one that init sees as its root.
    let mut dir = PathBuf::from(format!("{base}{}", line.rsplit(':').next().expect("a path")));
    loop {
        let limit = fs::read_to_string(dir.join(file)).ok().and_then(|text| text.trim().parse().ok());
        if let Some(limit) = limit.filter(|limit| *limit < u64::MAX / 4) {
            return limit;
        }
        assert!(dir.pop() && dir.starts_with(base), "no memory limit found for {vmid} in {groups}");
    }
}

#[test]
fn a_container_lives_and_leaves_nothing() {
    let node = node_or_skip!();
    let template = node.busybox();
    let bridge = node.bridge();
    let net = format!("name=eth0,bridge={bridge},ip=10.99.0.2/24");

    let words = [
        "create",
        "101",
        &template,
        "--hostname",
        "web1",
        "--memory",
        "128",
        "--rootfs",
        "local:1",
        "--net0",
    ];
    node.pvect(&[words.as_slice(), &[&net]].concat()).ok();
    assert_eq!(status(&node, "101")["status"], "stopped");
    node.pvect(&["start", "web1"]).ok();
    let running = status(&node, "101");
    assert_eq!(running["status"], "running");
    assert_eq!(running["maxmem"], 128 * 1024 * 1024);
    assert!(running["pid"].as_u64().expect("a pid") > 1);

    exec_hands_the_status_through(&node);
    files_travel_unchanged(&node);

    assert_eq!(memory_limit(&node, "101"), 128 * 1024 * 1024);
    node.pvect(&["set", "101", "--memory", "96"]).ok();
    assert_eq!(memory_limit(&node, "101"), 96 * 1024 * 1024);

    node.pvect(&["shutdown", "101", "--timeout", "30"]).ok();
    assert_eq!(status(&node, "101")["status"], "stopped");
    node.pvect(&["destroy", "101"]).ok();
    assert_eq!(node.pvect(&["list", "-o", "json"]).ok().trim(), "[]");
    assert_eq!(node.leftovers(), Vec::<String>::new());
    assert!(!node.config_file(101).exists());
    assert!(!node.root().join("vz/images/101").exists());
    assert!(!node.root().join("lib/lxc/101").exists());
}

fn exec_hands_the_status_through(node: &TestNode) {
    assert_eq!(node.pvect(&["exec", "101", "--", "hostname"]).ok(), "web1\n");
    let finished = node.pvect(&["exec", "101", "--", "sh", "-c", "echo out; echo err >&2; exit 7"]);
    assert_eq!((finished.status, finished.stdout.as_str(), finished.stderr.as_str()), (7, "out\n", "err\n"));
    node.pvect(&["exec", "101", "--", "no-such-command"]).fails(127);
    node.pvect(&["exec", "101", "--", "/etc/passwd"]).fails(126);
    node.pvect(&["exec", "101", "--", "sh", "-c", "kill -9 $$"]).fails(137);
}

fn files_travel_unchanged(node: &TestNode) {
    let source = node.root().join("source");
    let back = node.root().join("back");
    // 50 MiB without holes or repetition.
    let words = 0u32..50 * 1024 * 1024 / 4;
    let bytes: Vec<u8> =
        words.flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(7).to_le_bytes()).collect();
    fs::write(&source, &bytes).expect("the source can be written");
    node.pvect(&["push", "101", &source.to_string_lossy(), "/root/big", "--perms", "640"]).ok();
    let inside = node.pvect(&["exec", "101", "--", "sha256sum", "/root/big"]).ok();
    assert_eq!(inside.split(' ').next(), Some(sha256(&bytes).as_str()));
    let owner = node.pvect(&["exec", "101", "--", "stat", "-c", "%u:%g %a", "/root/big"]).ok();
    assert_eq!(owner, "0:0 640\n");
    node.pvect(&["pull", "101", "/root/big", &back.to_string_lossy()]).ok();
    assert_eq!(sha256(&fs::read(&back).expect("the copy")), sha256(&bytes));
}

#[test]
fn a_killed_exec_kills_nothing_else() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:1"]).ok();
    node.pvect(&["start", "101"]).ok();
    let mut exec = node.command(["exec", "101", "--", "sleep", "1000"]).spawn().expect("exec starts");
    std::thread::sleep(std::time::Duration::from_millis(500));
    exec.kill().expect("exec can be killed");
    assert_eq!(exec.wait().expect("exec ends").signal(), Some(9));
    assert_eq!(status(&node, "101")["status"], "running");
    node.pvect(&["stop", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn a_directory_rootfs_works_too() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "102", &template, "--rootfs", "local:0"]).ok();
    node.pvect(&["start", "102"]).ok();
    assert_eq!(node.pvect(&["exec", "102", "--", "hostname"]).ok(), "CT102\n");
    node.pvect(&["stop", "102"]).ok();
    node.pvect(&["destroy", "102"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
    assert!(!node.root().join("vz/images/102").exists());
}

/// Users of unprivileged containers pass through the node's root, whatever command made it.
#[test]
fn the_first_command_makes_a_root_that_containers_start_in() {
    use std::os::unix::fs::PermissionsExt;
    let node = node_or_skip!();
    let root = node.root().join("new");
    fs::set_permissions(node.root(), fs::Permissions::from_mode(0o711)).expect("a mode");
    let run = |words: &[&str]| {
        let output = node.command(words).env("PVECT_ROOT", &root).output().expect("pvect");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{words:?}: {errors}");
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    let template = run(&["template", "build", "busybox"]);
    run(&["create", "101", &template, "--rootfs", "local:0", "--memory", "64"]);
    run(&["start", "101", "-q"]);
    run(&["stop", "101", "-q"]);
    run(&["destroy", "101", "-q"]);
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn create_takes_the_next_free_number() {
    let node = node_or_skip!();
    let template = node.busybox();
    for name in ["a", "b"] {
        node.pvect(&["create", &template, "--rootfs", "local:0", "--hostname", name]).ok();
    }
    let list: serde_json::Value =
        serde_json::from_str(&node.pvect(&["list", "-o", "json"]).ok()).expect("JSON");
    assert_eq!(list[0]["vmid"], 100);
    assert_eq!(list[1]["vmid"], 101);
}

#[test]
fn five_creates_at_once_take_five_numbers() {
    let node = node_or_skip!();
    let template = node.busybox();
    let words = ["create", template.as_str(), "--rootfs", "local:0", "--quiet"];
    let children: Vec<_> = (0..5).map(|_| node.command(words).spawn().expect("create starts")).collect();
    for mut child in children {
        assert!(child.wait().expect("create ends").success());
    }
    let list: serde_json::Value =
        serde_json::from_str(&node.pvect(&["list", "-o", "json"]).ok()).expect("JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(5));
}

#[test]
fn templates_are_listed_and_removed() {
    let node = node_or_skip!();
    let template = node.busybox();
    let listed = node.pvect(&["template", "list", "-o", "json"]).ok();
    let list: serde_json::Value = serde_json::from_str(&listed).expect("JSON");
    assert_eq!(list[0]["volid"], template.as_str());
    assert!(list[0]["size"].as_u64().is_some_and(|size| size > 0), "{list}");
    let missing = node.pvect(&["template", "list", "other"]).fails(3);
    assert_eq!(missing, "error: storage 'other' does not exist\n");
    assert!(
        node.pvect(&["template", "remove", &template, "--dry-run"])
            .ok()
            .ends_with(&format!("template remove {template}\n"))
    );
    node.pvect(&["template", "remove", &template]).ok();
    let gone = node.pvect(&["template", "remove", &template]).fails(3);
    assert!(gone.starts_with(&format!("error: volume '{template}' does not exist\n")), "{gone}");
    assert_eq!(node.pvect(&["template", "list", "-o", "json"]).ok().trim(), "[]");
}

/// Waits until a container is so, and returns its status.
#[track_caller]
fn until(node: &TestNode, vmid: &str, is_so: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    loop {
        let now = status(node, vmid);
        if is_so(&now) || std::time::Instant::now() > deadline {
            assert!(is_so(&now), "it stays so: {now}");
            return now;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
}

/// Has the guest boot again and waits for its new init; returns by how many starts.
#[track_caller]
fn boots_again(node: &TestNode, vmid: &str, starts: usize) {
    let index = || fs::read_to_string(node.root().join("log/tasks/index")).expect("an index");
    let before = (status(node, vmid)["pid"].clone(), index().matches(":vzstart:").count());
    node.pvect(&["exec", vmid, "--", "reboot"]);
    until(node, vmid, |now| {
        let is_new = now["pid"].is_number() && now["pid"] != before.0;
        is_new && index().matches(":vzstart:").count() == before.1 + starts
    });
}

#[test]
fn what_is_pending_comes_into_force_when_a_guest_ends_or_boots_again() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:1", "--hostname", "one"]).ok();
    let config = || {
        let path = node.root().join("etc/pve/nodes/vm/lxc/101.conf");
        fs::read_to_string(path).expect("a configuration")
    };
    node.pvect(&["start", "101"]).ok();
    node.pvect(&["set", "101", "--cmode", "shell"]).ok();
    assert!(config().contains("[pve:pending]\ncmode: shell\n"), "{}", config());
    // The guest ends by itself: nobody has asked for it.
    node.pvect(&["exec", "101", "--", "poweroff"]);
    until(&node, "101", |now| now["status"] == "stopped" && !config().contains("pending"));
    assert!(config().contains("\ncmode: shell\n"), "{}", config());

    node.pvect(&["start", "101"]).ok();
    // Nothing has changed: LXC does it.
    boots_again(&node, "101", 0);
    node.pvect(&["set", "101", "--hostname", "two", "--features", "nesting=1", "--memory", "96"]).ok();
    assert!(config().contains("pending"), "{}", config());
    // It is started, with what has changed.
    boots_again(&node, "101", 1);
    assert!(config().contains("features: nesting=1\n") && !config().contains("pending"), "{}", config());
    assert_eq!(node.pvect(&["exec", "101", "--", "hostname"]).ok(), "two\n");
    assert_eq!(memory_limit(&node, "101"), 96 << 20);

    // A backup that stops it.
    node.pvect(&["set", "101", "--cmode", "tty"]).ok();
    let path = node.pvect(&["backup", "101", "--mode", "stop", "-q"]).ok();
    node.pvect(&["restore", "102", path.trim_end(), "--unique", "1"]).ok();
    assert!(node.pvect(&["config", "102"]).ok().contains("cmode: tty"), "the backup has what was pending");
    for words in [["stop", "101"], ["destroy", "101"], ["destroy", "102"]] {
        node.pvect(&words).ok();
    }
    assert_eq!(node.leftovers(), Vec::<String>::new());
}
