//! The same answers from pct and from the node's own files.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

use pvect_testkit::{TestNode, node_or_skip};

/// Fields that move between two reads, and by how much they may have.
const MOVING: &[(&str, f64)] = &[
    ("mem", 2e6),
    ("swap", 2e6),
    // A directory is on the host's file system, on which others write.
    ("disk", 4e9),
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

/// Fields that only grow while a container runs.
const GROWING: [&str; 6] = ["uptime", "diskread", "diskwrite", "netin", "netout", "disk"];
/// By how much the kernel may be behind in counting memory, bytes: pages are counted in batches on each CPU.
const MEMORY_STEP: f64 = 2e6;

/// Has the kernel count a container's input and output where the cgroups are of version 1: there it does so only for
/// devices that have a limit, as seen with Linux 6.18.
fn count_io(init: &str) {
    let cgroups = std::fs::read_to_string(format!("/proc/{init}/cgroup")).expect("its init runs");
    let Some(path) = cgroups.lines().find_map(|line| line.split_once(":blkio:")).map(|(_, path)| path) else {
        return;
    };
    let device = std::fs::metadata(format!("/proc/{init}/root/.")).expect("its init runs").dev();
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let file =
        format!("/sys/fs/cgroup/blkio{}/blkio.throttle.write_bps_device", path.trim_end_matches("/ns"));
    std::fs::write(&file, format!("{major}:{minor} 1000000000000")).expect("a limit can be set");
}

/// What of one answer does not fit between two others that were given before and after it.
fn misfits(before: &str, between: &str, after: &str) -> Vec<String> {
    let (before, between, after) = (fields(before), fields(between), fields(after));
    if before.keys().ne(between.keys()) || after.keys().ne(between.keys()) {
        return vec![format!("other fields: {before:?} {between:?} {after:?}")];
    }
    let fits = |key: &str, value: &str| {
        let (first, last) = (before[key], after[key]);
        let number = |text: &str| text.parse::<f64>().expect("a number");
        match key {
            _ if value == first || value == last => true,
            "mem" | "swap" => (number(value) - number(first)).abs() <= MEMORY_STEP,
            _ if GROWING.contains(&key) => number(first) <= number(value) && number(value) <= number(last),
            _ => false,
        }
    };
    let misfits = between.iter().filter(|(key, value)| !fits(key, value));
    misfits.map(|(key, value)| format!("{key}: {} {value} {}", before[key], after[key])).collect()
}

#[test]
fn every_field_agrees_under_load() {
    let node = node_or_skip!();
    let template = node.busybox();
    let bridge = node.bridge();
    let net = format!("name=eth0,bridge={bridge},ip=10.213.77.2/24");
    let created = ["create", "101", &template, "--rootfs", "local:1", "--net0", &net];
    node.pvect(&[&created[..], &["--memory", "256", "--swap", "64", "--cores", "1"]].concat()).ok();
    for words in [&["address", "add", "10.213.77.1/24", "dev", &bridge][..], &["link", "set", &bridge, "up"]]
    {
        assert!(std::process::Command::new("ip").args(words).status().expect("ip runs").success());
    }
    node.pvect(&["start", "101", "-q"]).ok();
    count_io(fields(&node.pvect(&["status", "101", "--verbose"]).ok())["pid"]);
    // It computes on its one core, keeps 32 MiB, writes to its disk (past the page cache, whose writes version 1 of the
    // cgroups counts for nobody) and talks over its network.
    let memory = "BEGIN { s = \"x\"; while (length(s) < 33554432) s = s s; while (1) n++ }";
    let disk =
        "while :; do dd if=/dev/zero of=/load bs=1M count=4 conv=notrunc oflag=direct 2>/dev/null; done";
    let mut load: Vec<_> = [&["awk", memory][..], &["sh", "-c", disk], &["ping", "-q", "10.213.77.1"]]
        .iter()
        .map(|words| {
            let all = [&["exec", "101", "--"], *words].concat();
            let mut command = node.command(all);
            command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
            command.spawn().expect("the load starts")
        })
        .collect();
    let read = |backend: &str| node.pvect(&["--backend", backend, "status", "101", "--verbose"]).ok();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    let is_loaded = |text: &str| {
        let fields = fields(text);
        let over = |key: &str, least: f64| fields[key].parse::<f64>().expect("a number") > least;
        let pressed =
            fields.get("pressurecpusome").is_none_or(|text| text.parse::<f64>().is_ok_and(|n| n > 0.0));
        let moved = over("diskwrite", 8e6) && over("netin", 100.0) && over("netout", 100.0);
        pressed && moved && over("mem", 32e6) && over("disk", 4e6) && over("uptime", 0.0)
    };
    while !is_loaded(&read("pct")) {
        assert!(std::time::Instant::now() < deadline, "no load comes about:\n{}", read("pct"));
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // Averages change by themselves every two seconds, which may be between two reads: then it is tried again.
    let mut found = Vec::new();
    for _ in 0..10 {
        let (before, between, after) = (read("pct"), read("native"), read("pct"));
        assert!(is_loaded(&between), "{between}");
        found = misfits(&before, &between, &after);
        if found.is_empty() {
            break;
        }
    }
    assert!(found.is_empty(), "{found:?}");
    node.pvect(&["stop", "101", "-q"]).ok();
    for child in &mut load {
        child.wait().expect("it ends with its container");
    }
}

#[test]
fn misfits_are_found() {
    let text = "mem: 1000000\nnetin: 50\nname: web\npressurecpusome: 1.00\n";
    assert!(misfits(text, text, text).is_empty());
    let later = "mem: 4000000\nnetin: 70\nname: web\npressurecpusome: 2.00\n";
    let between = "mem: 2000000\nnetin: 60\nname: web\npressurecpusome: 2.00\n";
    assert!(misfits(text, between, later).is_empty());
    let wrong = "mem: 9000000\nnetin: 80\nname: webb\npressurecpusome: 1.50\n";
    assert_eq!(
        misfits(text, wrong, later),
        [
            "mem: 1000000 9000000 4000000",
            "name: web webb web",
            "netin: 50 80 70",
            "pressurecpusome: 1.00 1.50 2.00"
        ]
    );
    assert_eq!(misfits(text, "mem: 1\n", later).len(), 1);
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
