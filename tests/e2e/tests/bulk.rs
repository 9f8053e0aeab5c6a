//! One verb on many real containers.

use pvect_testkit::{TestNode, node_or_skip};
use serde_json::Value;

/// Four containers, web1 to web4; the odd ones have the tag `odd`.
fn four() -> Option<TestNode> {
    let node = match TestNode::new() {
        Ok(node) => node,
        Err(reason) => {
            pvect_testkit::skipped("bulk", &reason);
            return None;
        }
    };
    let template = node.busybox();
    for number in 1..=4_u32 {
        let (vmid, name) = ((100 + number).to_string(), format!("web{number}"));
        let tag = if number % 2 == 1 { "all;odd" } else { "all" };
        let order = format!("order={number}");
        node.pvect(&[
            "create",
            &vmid,
            &template,
            "--rootfs",
            "local:0",
            "--hostname",
            &name,
            "--tags",
            tag,
            "--startup",
            &order,
        ])
        .ok();
    }
    Some(node)
}

fn results(text: &str) -> Vec<String> {
    let list: Vec<Value> = serde_json::from_str(text).expect("an array");
    list.iter()
        .map(|one| {
            let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
            format!("{} {} {} {}", one["vmid"], text("name"), text("result"), text("message"))
                .trim_end()
                .to_owned()
        })
        .collect()
}

#[test]
fn a_life_of_four() {
    let Some(node) = four() else { return };
    let started = node.pvect(&["start", "web*", "!web4", "-o", "json"]).ok();
    assert_eq!(results(&started), ["101 web1 done", "102 web2 done", "103 web3 done"]);

    let again = node.pvect(&["start", "all", "--parallel", "1", "-o", "json"]).ok();
    assert_eq!(
        results(&again),
        [
            "101 web1 unchanged CT 101 already running",
            "102 web2 unchanged CT 102 already running",
            "103 web3 unchanged CT 103 already running",
            "104 web4 done",
        ]
    );

    let exec = node.pvect(&["exec", "@odd", "-q", "--", "hostname"]).ok();
    assert_eq!(exec, "web1: web1\nweb3: web3\n");
    let exec = node.pvect(&["exec", "101,102", "--", "sh", "-c", "test $(hostname) = web1"]);
    let told = exec.fails(10);
    assert!(told.contains("102 web2  failed: the command ended with status 1 after "), "{told}");
    assert!(told.contains("\n1 done, 1 failed in "), "{told}");

    node.pvect(&["set", "101-102", "--memory", "96", "-q"]).ok();
    for vmid in [101, 102, 103] {
        let config = std::fs::read_to_string(node.config_file(vmid)).expect("it is there");
        assert_eq!(config.contains("memory: 96\n"), vmid != 103, "{config}");
    }

    let asked = node.pvect(&["stop", "@odd"]).fails(2);
    assert_eq!(asked, "error: --yes: is needed to stop 2 containers (101 web1, 103 web3) without asking\n");
    node.pvect(&["stop", "@odd+status:running", "--yes", "-q"]).ok();

    // Two run still.
    let destroyed = node.pvect(&["destroy", "all", "--yes", "--ordered", "-o", "json"]);
    assert_eq!(destroyed.status, 10);
    assert_eq!(
        results(&destroyed.stdout),
        [
            "101 web1 done",
            "102 web2 failed unable to destroy CT 102 - container is running",
            "103 web3 done",
            "104 web4 failed unable to destroy CT 104 - container is running",
        ]
    );
    node.pvect(&["stop", "all", "--yes", "-q"]).ok();
    node.pvect(&["destroy", "all", "--yes", "-q"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn order_and_early_end() {
    let Some(node) = four() else { return };
    let started = node.pvect(&["start", "all", "--ordered"]);
    assert_eq!(started.status, 0, "{}", started.stderr);
    let order: Vec<&str> = started.stderr.lines().filter_map(|line| line.get(..3)).take(4).collect();
    assert_eq!(order, ["101", "102", "103", "104"]);

    std::fs::OpenOptions::new()
        .append(true)
        .open(node.config_file(102))
        .and_then(|mut file| std::io::Write::write_all(&mut file, b"lock: backup\n"))
        .expect("the configuration can be written");
    let ended = node.pvect(&["set", "all", "--cores", "1", "--parallel", "1", "--fail-fast", "-o", "json"]);
    assert_eq!(ended.status, 10);
    assert_eq!(
        results(&ended.stdout),
        ["101 web1 done", "102 web2 failed CT is locked (backup)", "103 web3 skipped", "104 web4 skipped",]
    );
    node.pvect(&["unlock", "lock:backup"]).ok();
    node.pvect(&["stop", "all", "--yes", "-q"]).ok();
}

#[test]
fn nothing_is_done_when_a_word_is_wrong() {
    let node = node_or_skip!();
    let template = node.busybox();
    node.pvect(&["create", "101", &template, "--rootfs", "local:0", "--hostname", "web1"]).ok();
    for (words, text) in [
        (&["start", "101", "999"][..], "error: there is no container 999\n"),
        (&["start", "101", "@nosuch"], "error: no container matches '@nosuch'\n"),
        (&["set", "all", "--memory", "8"], "error: --memory: 8 is too small: at least 16\n"),
        (
            &["start", "all", "--parallel", "x"],
            "error: --parallel: 'x' is not a whole number from 1 to 1000\n",
        ),
    ] {
        let finished = node.pvect(words);
        assert!(finished.stderr.starts_with(text), "{words:?}: {}", finished.stderr);
    }
    assert_eq!(node.pvect(&["status", "101"]).ok(), "status: stopped\n");
}
