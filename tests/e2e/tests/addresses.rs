//! The addresses of real containers, read from outside: `pvect ip`, the columns of `pvect list`, `--wait-ip`.

use std::io::Read;

use pty_process::Size;
use pty_process::blocking::{Command, open};
use pvect_testkit::{TestNode, node_or_skip};
use serde_json::{Value, json};

/// A container that runs, with two interfaces and more inside it that is not its own.
fn with_addresses(node: &TestNode) {
    let template = node.busybox();
    let bridge = node.bridge();
    let net0 = format!("name=eth0,bridge={bridge},ip=192.0.2.11/24,ip6=2001:db8::11/64");
    let net1 = format!("name=lan,bridge={bridge},ip=198.51.100.11/24");
    let create =
        ["create", "101", &template, "--rootfs", "local:0", "--hostname", "web", "--tags", "prod;web"];
    let rest = ["--net1", &net1, "--net0", &net0, "--memory", "64", "--onboot", "1", "--start"];
    node.pvect(&[&create[..], &rest, &["--wait-ip=30", "-q"]].concat()).ok();
    node.pvect(&["create", "102", &template, "--rootfs", "local:0", "--net0", &net0, "-q"]).ok();
    // What a guest adds: bridges and the like, addresses of the link alone, an interface that is called as another was.
    for words in [
        "link add docker0 type bridge",
        "addr add 172.17.0.1/16 dev docker0",
        "link set docker0 up",
        "addr add 10.99.0.1/24 dev lo",
        "addr add 169.254.7.7/16 dev eth0",
        "link set lan down",
        "link set lan name lan7",
        "link set lan7 up",
        "link add lan type bridge",
        "addr add 203.0.113.1/24 dev lan",
    ] {
        let words: Vec<&str> = ["exec", "101", "--", "ip"].into_iter().chain(words.split(' ')).collect();
        node.pvect(&words).ok();
    }
    // The IPv6 address is tried for a moment before it is used.
    for _ in 0..300 {
        if node.pvect(&["ip", "101", "-6"]).status == 0 {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    panic!("the IPv6 address is not ready");
}

fn listed(node: &TestNode, columns: &str) -> Value {
    serde_json::from_str(&node.pvect(&["list", "-o", "json", "--columns", columns]).ok()).expect("JSON")
}

#[test]
fn only_those_of_its_own_interfaces_are_shown() {
    let node = node_or_skip!();
    with_addresses(&node);
    assert_eq!(node.pvect(&["ip", "web"]).ok(), "192.0.2.11\n2001:db8::11\n198.51.100.11\n");
    assert_eq!(node.pvect(&["ip", "101", "-4"]).ok(), "192.0.2.11\n198.51.100.11\n");
    assert_eq!(node.pvect(&["ip", "-6", "101"]).ok(), "2001:db8::11\n");
    let records: Value = serde_json::from_str(&node.pvect(&["ip", "101", "-o", "json"]).ok()).expect("JSON");
    assert_eq!(records[2], json!({"net": "net1", "ip": "198.51.100.11", "prefix": 24}));
    assert_eq!(
        listed(&node, "vmid,ip,ip6"),
        json!([
            {"vmid": 101, "ip": ["192.0.2.11", "198.51.100.11"], "ip6": ["2001:db8::11"]},
            {"vmid": 102, "ip": [], "ip6": []}
        ])
    );
    assert_eq!(node.pvect(&["ip", "101", "-4", "-6"]).status, 2);

    let stopped = node.pvect(&["ip", "102"]).fails(4);
    assert!(stopped.contains("container 102 is not running"), "{stopped}");
    let missing = node.pvect(&["ip", "103"]).fails(3);
    assert!(missing.contains("there is no container 103"), "{missing}");
    let elsewhere = node.pvect(&["--backend", "pct", "ip", "101"]).fails(9);
    assert!(elsewhere.contains("run it on the node, as root"), "{elsewhere}");
    for address in ["192.0.2.11/24", "198.51.100.11/24"] {
        let device = if address.starts_with("192") { "eth0" } else { "lan7" };
        node.pvect(&["exec", "101", "--", "ip", "addr", "del", address, "dev", device]).ok();
    }
    let none = node.pvect(&["ip", "101", "-4"]).fails(1);
    assert!(none.contains("container 101 has no IPv4 address on its own interfaces now"), "{none}");
    node.pvect(&["stop", "101", "-q"]).ok();
}

#[test]
fn a_guest_with_very_many_addresses_is_not_read_to_the_end() {
    let node = node_or_skip!();
    let template = node.busybox();
    let net = format!("name=eth0,bridge={},ip=192.0.2.11/24", node.bridge());
    node.pvect(&["create", "101", &template, "--rootfs", "local:0", "--net0", &net, "--start", "-q"]).ok();
    let many = "i=1; while [ $i -le 200 ]; do ip addr add 10.7.0.$i/16 dev eth0; i=$((i+1)); done";
    node.pvect(&["exec", "101", "--", "sh", "-c", many]).ok();
    let found = node.pvect(&["ip", "101", "-4"]);
    assert_eq!(found.stdout.lines().count(), 32, "{}", found.stdout);
    assert!(found.stderr.contains("has more addresses than are shown"), "{}", found.stderr);
    assert_eq!(found.status, 0);
    let table = node.pvect(&["list", "--columns", "ip"]).stdout;
    assert!(table.contains(" +29\n"), "{table}");
    node.pvect(&["stop", "101", "-q"]).ok();
}

#[test]
fn columns_are_read_when_they_are_asked_for() {
    let node = node_or_skip!();
    with_addresses(&node);
    let plain = node.pvect(&["list"]).ok();
    assert!(plain.starts_with("VMID  STATUS   LOCK  NAME\n"), "{plain}");
    let bare: Value = serde_json::from_str(&node.pvect(&["list", "-o", "json"]).ok()).expect("JSON");
    assert_eq!(bare[0], json!({"vmid": 101, "status": "running", "name": "web"}));
    assert_eq!(node.pvect(&["list", "-o", "plain"]).ok(), node.pct(&["list"]).ok());

    let list = listed(&node, "all");
    let (web, other) = (&list[0], &list[1]);
    assert_eq!(
        (&web["node"], &web["tags"], &web["onboot"]),
        (&json!("vm"), &json!("prod;web"), &json!(true))
    );
    assert_eq!((&web["maxmemory"], &web["unprivileged"]), (&json!(64 << 20), &json!(true)));
    for name in ["memory", "cpu", "cpus", "disk", "maxdisk", "uptime"] {
        assert!(web[name].is_number(), "{name}: {web}");
    }
    assert!(web["memory"].as_u64() > Some(0) && web["disk"].as_u64() > Some(0), "{web}");
    for name in ["memory", "cpu", "disk", "uptime", "tags", "pool", "ha"] {
        assert!(other.get(name).is_none(), "{name}: {other}");
    }
    let table = node.pvect(&["list", "--columns", "name,maxmemory,onboot", "--sort", "-maxmemory"]).ok();
    assert_eq!(table, "NAME   MAXMEMORY  ONBOOT\nCT102  512M       no\nweb    64M        yes\n");
    let csv = node.pvect(&["list", "-o", "csv", "--columns", "ip,maxmemory", "--no-header"]).ok();
    assert_eq!(csv, "192.0.2.11 198.51.100.11,67108864\n,536870912\n");

    let wrong = node.pvect(&["list", "--columns", "addresses"]).fails(2);
    assert!(wrong.contains("the columns are: vmid, status, lock, name, node, ip, ip6, tags, "), "{wrong}");
    let far = node.pvect(&["--backend", "pct", "list", "--columns", "name,ip,tags,memory"]).fails(9);
    assert!(far.contains("the columns ip, memory are read from the node's own files"), "{far}");
    let by_pct = node.pvect(&["--backend", "pct", "list", "-o", "csv", "--columns", "all"]);
    assert!(by_pct.stdout.starts_with("vmid,status,lock,name,node,tags,os,arch,"), "{}", by_pct.stdout);
    assert!(by_pct.stdout.contains("prod;web"), "{}", by_pct.stdout);
    assert!(by_pct.stderr.contains("can read them: ip, ip6, memory, maxmemory, cpu,"), "{}", by_pct.stderr);
    node.pvect(&["stop", "101", "-q"]).ok();
}

/// What `pvect list` shows on a terminal of a width.
fn on_a_terminal(node: &TestNode, width: u16) -> String {
    let (mut pty, pts) = open().expect("a terminal can be made");
    pty.resize(Size::new(30, width)).expect("it has a size");
    let template = node.command(["list"]);
    let mut command = Command::new(template.get_program()).arg("list").env_clear();
    for (name, value) in template.get_envs() {
        command = command.env(name, value.unwrap_or_default());
    }
    let mut child = command.env("TERM", "xterm").current_dir("/").spawn(pts).expect("pvect starts");
    let mut shown = Vec::new();
    // Reading ends with an error when the other side closes.
    let _ = pty.read_to_end(&mut shown);
    assert!(child.wait().expect("it ends").success());
    String::from_utf8_lossy(&shown).replace('\r', "")
}

#[test]
fn a_wide_terminal_shows_addresses_and_tags() {
    let node = node_or_skip!();
    with_addresses(&node);
    let words = |text: &str| {
        text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
    };
    let wide = on_a_terminal(&node, 120);
    let lines = words(&wide);
    let at = lines.iter().position(|line| line.starts_with("VMID")).expect("a header");
    assert_eq!(lines[at], "VMID STATUS LOCK NAME IP IP6 TAGS", "{wide}");
    assert_eq!(lines[at + 1], "101 running web 192.0.2.11 198.51.100.11 2001:db8::11 prod;web", "{wide}");
    assert_eq!(lines[at + 2], "102 stopped CT102", "{wide}");
    let narrow = on_a_terminal(&node, 79);
    assert!(narrow.contains("VMID  STATUS   LOCK  NAME\n"), "{narrow}");
    node.pvect(&["stop", "101", "-q"]).ok();
}

#[test]
fn a_start_waits_for_an_address() {
    let node = node_or_skip!();
    let template = node.busybox();
    let lonely = format!("name=eth0,bridge={},ip=manual", node.bridge());
    node.pvect(&["create", "101", &template, "--rootfs", "local:0", "--net0", &lonely, "-q"]).ok();
    let late = node.pvect(&["start", "101", "--wait-ip=1", "-q"]).fails(6);
    assert!(late.contains("container 101 runs, but has no address after 1 s"), "{late}");
    assert_eq!(node.pvect(&["status", "101"]).ok(), "status: running\n");
    node.pvect(&["stop", "101", "-q"]).ok();

    // It comes while it is waited for.
    let waiting = node.command(["start", "101", "--wait-ip", "-q"]).spawn().expect("pvect starts");
    let add = ["exec", "101", "--", "ip", "addr", "add", "192.0.2.12/24", "dev", "eth0"];
    for _ in 0..300 {
        if node.pvect(&add).status == 0 {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    let mut waiting = waiting;
    assert!(waiting.wait().expect("it ends").success());
    assert_eq!(node.pvect(&["ip", "101"]).ok(), "192.0.2.12\n");
    node.pvect(&["stop", "101", "-q"]).ok();

    let nothing =
        node.pvect(&["create", "102", &template, "--rootfs", "local:0", "--wait-ip", "-q"]).fails(2);
    assert!(nothing.contains("--wait-ip: is for what starts the container: it needs --start"), "{nothing}");
    assert!(!node.config_file(102).exists(), "nothing was made");
    node.pvect(&["create", "102", &template, "--rootfs", "local:0", "-q"]).ok();
    let without = node.pvect(&["start", "102", "--wait-ip", "-q"]).fails(1);
    assert!(without.contains("container 102 has no network interface"), "{without}");
    node.pvect(&["stop", "102", "-q"]).ok();
    let wrong = node.pvect(&["start", "101", "--wait-ip=soon"]).fails(2);
    assert!(wrong.contains("--wait-ip: 'soon' is not a number of seconds above 0"), "{wrong}");
}
