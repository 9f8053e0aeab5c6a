//! The node's own network: a bridge with DHCP, names and NAT, made at first use.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use pvect_testkit::{TestNode, node_or_skip, skipped};

/// Why this machine cannot run these tests.
fn missing_program() -> Option<String> {
    let places = ["/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let is_there = |name: &str| places.iter().any(|place| fs::metadata(format!("{place}/{name}")).is_ok());
    ["dnsmasq", "nft"].iter().find(|name| !is_there(name)).map(|name| format!("{name} is not installed"))
}

macro_rules! network_or_skip {
    () => {{
        let node = node_or_skip!();
        if let Some(reason) = missing_program() {
            skipped(module_path!(), &reason);
            return;
        }
        node
    }};
}

fn create(node: &TestNode, vmid: &str, name: &str, template: &str, net: &str) {
    node.pvect(&["create", vmid, template, "--rootfs", "local:0", "--hostname", name, "--net0", net]).ok();
}

/// Runs a command in a container until it succeeds; its network takes a moment after the start.
#[track_caller]
fn soon(node: &TestNode, vmid: &str, words: &[&str]) -> String {
    let deadline = Instant::now() + Duration::from_secs(20);
    let all = [&["exec", vmid, "--"], words].concat();
    loop {
        let finished = node.pvect(&all);
        if finished.status == 0 || Instant::now() > deadline {
            return finished.ok();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

fn networks(node: &TestNode) -> serde_json::Value {
    serde_json::from_str(&node.pvect(&["node", "network", "show", "-o", "json"]).ok()).expect("JSON")
}

/// Waits until the guest has an IPv4 address and returns it.
#[track_caller]
fn address(node: &TestNode, vmid: &str) -> String {
    let text = soon(node, vmid, &["sh", "-c", "ip -4 addr show dev eth0 | grep inet"]);
    text.split_ascii_whitespace().nth(1).expect("an address").to_owned()
}

fn host_pings(address: &str) {
    let ping = Command::new("busybox").args(["ping", "-c", "1", "-W", "5", address]).output();
    assert!(ping.expect("busybox ping").status.success(), "the host does not reach {address}");
}

#[test]
fn the_host_asks_for_those_who_cannot() {
    let node = network_or_skip!();
    let template = node.busybox();
    let bridge = node.own_bridge();
    node.pvect(&["node", "network", "up", "--bridge", &bridge]).ok();
    // As a container from an image: nobody inside sets up a network.
    create(&node, "101", "app", &template, &format!("name=eth0,bridge={bridge},ip=dhcp,host-managed=1"));
    node.pvect(&["set", "101", "--entrypoint", "/bin/sleep 1000"]).ok();
    node.pvect(&["start", "101"]).ok();
    let given = node.pvect(&["exec", "101", "--", "ip", "-4", "addr", "show", "dev", "eth0"]).ok();
    let given = given.split_ascii_whitespace().skip_while(|word| *word != "inet").nth(1).expect("an address");
    host_pings(given.split('/').next().unwrap_or_default());
    let network = &networks(&node)[0];
    let lease = network["leases"].as_array().expect("leases").iter().find(|lease| lease["name"] == "app");
    assert_eq!(lease.expect("app's lease")["ip"], given.split('/').next().unwrap_or_default());
    let route = node.pvect(&["exec", "101", "--", "ip", "route"]).ok();
    assert!(route.contains("default via "), "{route}");
    // A second interface, while it runs.
    let second = format!("name=eth1,bridge={bridge},ip=dhcp,host-managed=1");
    node.pvect(&["set", "101", "--net1", &second]).ok();
    let given = node.pvect(&["exec", "101", "--", "ip", "-4", "addr", "show", "dev", "eth1"]).ok();
    assert!(given.contains(" inet "), "{given}");
    node.pvect(&["stop", "101"]).ok();
    node.pvect(&["node", "network", "down"]).ok();
    // Nobody answers: it starts without.
    let lonely = node.bridge();
    node.pvect(&[
        "set",
        "101",
        "--net0",
        &format!("name=eth0,bridge={lonely},ip=dhcp,host-managed=1"),
        "--delete",
        "net1",
    ])
    .ok();
    let started = node.pvect(&["start", "101"]);
    assert_eq!(started.status, 0);
    let said = started.stdout + &started.stderr;
    assert!(said.contains("WARN: net0: no address by DHCP - "), "{said}");
    node.pvect(&["stop", "101"]).ok();
    node.pvect(&["destroy", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn containers_have_addresses_and_names_at_once() {
    let node = network_or_skip!();
    let template = node.busybox();
    let bridge = node.own_bridge();
    node.pvect(&["node", "network", "up", "--bridge", &bridge]).ok();
    let network = &networks(&node)[0];
    assert_eq!((network["state"].as_str(), network["dhcp"].as_str()), (Some("up"), Some("running")));
    let host =
        network["address"].as_str().expect("an address").split('/').next().unwrap_or_default().to_owned();
    let base = host.rsplit_once('.').expect("an IPv4 address").0.to_owned();

    // The rest of the bridge's life is the containers': it is made again at the start of the first.
    node.pvect(&["node", "network", "down"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
    create(&node, "101", "web", &template, &format!("name=eth0,bridge={bridge},ip=dhcp"));
    let fixed = format!("name=eth0,bridge={bridge},ip={base}.9/24,gw={host}");
    create(&node, "102", "db", &template, &fixed);
    node.pvect(&["start", "101"]).ok();
    node.pvect(&["start", "102"]).ok();

    let given = address(&node, "101");
    assert!(given.starts_with(&format!("{base}.")) && given.ends_with("/24"), "{given}");
    assert_eq!(address(&node, "102"), format!("{base}.9/24"));
    // By name and by address, both ways; and the host.
    soon(&node, "101", &["ping", "-c", "1", "-W", "5", "db"]);
    soon(&node, "102", &["ping", "-c", "1", "-W", "5", "web.pvect.internal"]);
    for vmid in ["101", "102"] {
        soon(&node, vmid, &["ping", "-c", "1", "-W", "5", &host]);
        soon(&node, vmid, &["ping", "-c", "1", "-W", "5", "vm"]);
        let routes = soon(&node, vmid, &["ip", "route"]);
        assert!(routes.contains(&format!("default via {host} dev eth0")), "{routes}");
    }
    host_pings(given.split('/').next().unwrap_or_default());
    host_pings(&format!("{base}.9"));
    // The same address again: it is the same container.
    node.pvect(&["stop", "101"]).ok();
    node.pvect(&["start", "101"]).ok();
    assert_eq!(address(&node, "101"), given);
    let network = &networks(&node)[0];
    let lease = network["leases"].as_array().expect("leases").iter().find(|lease| lease["name"] == "web");
    assert_eq!(lease.expect("web's lease")["ip"], given.split('/').next().unwrap_or_default());

    let refused = node.pvect(&["node", "network", "down"]).fails(1);
    assert!(refused.contains("stop their containers first"), "{refused}");
    for vmid in ["101", "102"] {
        node.pvect(&["stop", vmid]).ok();
    }
    node.pvect(&["node", "network", "down"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

/// The IPv4 addresses that the server of a bridge answers for a name, asked from the host.
#[track_caller]
fn answered(server: &str, name: &str) -> Vec<String> {
    let asked =
        Command::new("busybox").args(["nslookup", "-type=a", name, server]).output().expect("busybox");
    let text = String::from_utf8_lossy(&asked.stdout).into_owned() + &String::from_utf8_lossy(&asked.stderr);
    assert!(text.contains("Name:") || text.contains("NXDOMAIN"), "the server does not answer: {text}");
    let answer = text.split_once("Name:").map(|(_, answer)| answer).unwrap_or_default();
    let addresses = answer.lines().filter_map(|line| line.strip_prefix("Address")?.split_once(": "));
    let mut found: Vec<String> = addresses.map(|(_, address)| address.trim().to_owned()).collect();
    found.sort();
    found.dedup();
    found
}

#[test]
fn names_and_addresses_are_right_after_each_change() {
    let node = network_or_skip!();
    let template = node.busybox();
    let bridge = node.own_bridge();
    node.pvect(&["node", "network", "up", "--bridge", &bridge]).ok();
    let host = networks(&node)[0]["address"].as_str().expect("an address").to_owned();
    let host = host.split('/').next().unwrap_or_default();
    let base = host.rsplit_once('.').expect("an IPv4 address").0.to_owned();
    let known = |name: &str| answered(host, name);
    let none = Vec::<String>::new();

    let net = |ip: &str| format!("name=eth0,bridge={bridge},hwaddr=BC:24:11:00:77:09,ip={ip}");
    create(&node, "101", "web", &template, &net("dhcp"));
    // Before it ever ran: what it will get.
    let given = known("web");
    assert_eq!(given.len(), 1, "{given:?}");
    node.pvect(&["start", "101"]).ok();
    assert_eq!(address(&node, "101"), format!("{}/24", given[0]));
    node.pvect(&["set", "101", "--hostname", "www"]).ok();
    assert_eq!((known("www"), known("web")), (given.clone(), none.clone()));
    // While it runs, and has a lease of the old address.
    let fixed = vec![format!("{base}.9")];
    node.pvect(&["set", "101", "--net0", &net(&format!("{base}.9/24"))]).ok();
    assert_eq!(known("www"), fixed);
    node.pvect(&["stop", "101"]).ok();
    assert_eq!(known("www"), fixed);
    node.pvect(&["clone", "101", "102", "--hostname", "copy"]).ok();
    assert_eq!(known("copy"), fixed);
    node.pvect(&["set", "102", "--net0", &format!("name=eth0,bridge={bridge},ip={base}.10/24")]).ok();
    assert_eq!(known("copy"), [format!("{base}.10")]);
    node.pvect(&["destroy", "102"]).ok();
    assert_eq!(known("copy"), none);
    let backup = node.pvect(&["backup", "101", "-q"]).ok();
    node.pvect(&["destroy", "101"]).ok();
    assert_eq!(known("www"), none);
    node.pvect(&["restore", "103", backup.trim_end(), "--hostname", "back"]).ok();
    assert_eq!((known("back"), known("www")), (fixed, none.clone()));
    node.pvect(&["destroy", "103"]).ok();

    node.pvect(&["node", "network", "down"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn the_server_listens_on_its_bridge_alone_and_tells_no_secrets() {
    let node = network_or_skip!();
    let template = node.busybox();
    let bridge = node.own_bridge();
    node.pvect(&[
        "node",
        "network",
        "up",
        "--bridge",
        &bridge,
        "--ip6",
        "fd00:77::1/64",
        "--domain",
        "lab.internal",
    ])
    .ok();
    let pid = fs::read_to_string(node.root().join(format!("run/network/{bridge}.pid"))).expect("a pid file");
    let sockets = Command::new("ss").args(["-H", "-l", "-n", "-p", "-u", "-t"]).output().expect("ss runs");
    let sockets = String::from_utf8_lossy(&sockets.stdout).into_owned();
    let ours: Vec<&str> =
        sockets.lines().filter(|line| line.contains(&format!("pid={},", pid.trim()))).collect();
    assert!(!ours.is_empty(), "{sockets}");
    let four = networks(&node)[0]["address"].as_str().expect("an address").replace("/24", ":53");
    for line in ours {
        // Listening: its own addresses for names; DHCP has no address to listen on, but the bridge.
        let local = line.split_ascii_whitespace().nth(4).unwrap_or_default();
        let fits = local == four
            || local.starts_with("[fd00:77::1]:53")
            || local.starts_with("[fe80:") && local.ends_with(&format!("%{bridge}]:53"))
            || local.ends_with(&format!("%{bridge}:67"))
            || local.ends_with(&format!("%{bridge}:547"))
            || local.contains(&bridge);
        assert!(fits || local.ends_with(":67") || local.ends_with(":547"), "{line}");
        assert!(!local.ends_with(":53") || fits, "names are answered elsewhere: {line}");
    }
    create(&node, "101", "six", &template, &format!("name=eth0,bridge={bridge},ip=dhcp,ip6=auto"));
    node.pvect(&["start", "101"]).ok();
    // A router advertisement gives the address; the name is the domain's.
    let got = soon(&node, "101", &["sh", "-c", "ip -6 addr show dev eth0 scope global | grep fd00:77:"]);
    assert!(got.contains("fd00:77::"), "{got}");
    soon(&node, "101", &["ping", "-c", "1", "-W", "5", "fd00:77::1"]);
    // Nothing of the domain is asked elsewhere, and the host's own names are not known.
    let answer = node.pvect(&["exec", "101", "--", "nslookup", "no-such-name.lab.internal"]);
    assert!(answer.stdout.contains("NXDOMAIN"), "{}{}", answer.stdout, answer.stderr);
    let answer = node.pvect(&["exec", "101", "--", "nslookup", "ip6-allnodes"]);
    assert!(!answer.stdout.contains("ff02::1"), "{}", answer.stdout);
}

#[test]
fn a_bridge_of_somebody_else_is_left_alone() {
    let node = network_or_skip!();
    let bridge = node.bridge();
    let text = node.pvect(&["node", "network", "up", "--bridge", &bridge]).fails(1);
    assert_eq!(
        text,
        format!(
            "error: '{bridge}' exists and was not made by this node, so it is left alone: name another bridge with \
             --bridge\n"
        )
    );
    let text = node.pvect(&["node", "network", "down", "--bridge", &bridge]).fails(1);
    assert_eq!(text, format!("error: '{bridge}' was not made by this node, so it is left alone\n"));
    // Also where it has a section, and where a container uses it.
    let section = format!("bridge: {bridge}\n\taddress 10.99.7.1/24\n");
    fs::write(node.root().join("etc/pve/network.cfg"), section).expect("network.cfg");
    let template = node.busybox();
    create(&node, "101", "ct", &template, &format!("name=eth0,bridge={bridge},ip=manual"));
    node.pvect(&["start", "101"]).ok();
    node.pvect(&["stop", "101"]).ok();
    let after = Command::new("ip").args(["-d", "address", "show", "dev", &bridge]).output().expect("ip runs");
    let after = String::from_utf8_lossy(&after.stdout).into_owned();
    assert!(after.contains(&bridge) && !after.contains("inet "), "it has no address as before: {after}");
    assert_eq!(networks(&node)[0]["state"], "foreign");
    assert!(!node.root().join("run/network").exists(), "nothing serves it");
}

#[test]
fn what_is_set_is_checked_and_kept() {
    let node = network_or_skip!();
    let bridge = node.own_bridge();
    for (words, expected) in [
        (
            ["--address", "10.1.2.0/24"],
            "error: address: '10.1.2.0/24' is not an IPv4 address with a prefix from 8 to 29, such as 10.1.2.1/24\n",
        ),
        (["--nat", "maybe"], "error: nat: 'maybe' is not 0 or 1\n"),
        (["--range", "5"], "error: range: '5' is not a range such as 10.1.2.100-10.1.2.199\n"),
    ] {
        let all = ["node", "network", "up", "--bridge", &bridge, words[0], words[1]];
        assert_eq!(node.pvect(&all).fails(2), expected);
    }
    assert_eq!(
        node.pvect(&["node", "network", "up", "--bridge", "a/b"]).fails(2),
        "error: 'a/b' is not a bridge name: up to 15 letters, digits, '-', '_', '.'\n"
    );
    assert_eq!(node.leftovers(), Vec::<String>::new());

    let words = ["node", "network", "up", "--bridge", &bridge, "--address", "10.126.77.1/24", "--nat", "0"];
    node.pvect(&words).ok();
    node.pvect(&["node", "network", "up", "--bridge", &bridge, "--range", "10.126.77.50-10.126.77.60"]).ok();
    assert_eq!(
        fs::read_to_string(node.root().join("etc/pve/network.cfg")).expect("network.cfg"),
        format!(
            "bridge: {bridge}\n\taddress 10.126.77.1/24\n\tdhcp 1\n\tdns 1\n\tnat 0\n\tdomain pvect.internal\n\trange \
             10.126.77.50-10.126.77.60\n"
        )
    );
    // A network that another device leads to is refused, and nothing is made.
    let second = format!("{bridge}x");
    let text =
        node.pvect(&["node", "network", "up", "--bridge", &second, "--address", "10.126.77.129/25"]).fails(1);
    assert!(text.contains(&format!("overlaps 10.126.77.0/24 on '{bridge}'")), "{text}");
    assert!(fs::metadata(format!("/sys/class/net/{second}")).is_err());
    let doctor = node.pvect(&["doctor"]).stdout;
    assert!(doctor.contains(&format!("'{bridge}' (10.126.77.1/24) is up, interfaces in it: 0")), "{doctor}");
}

#[test]
fn vmbr0_needs_nothing_at_all() {
    let node = network_or_skip!();
    if fs::metadata("/sys/class/net/vmbr0").is_ok() {
        skipped(module_path!(), "this machine has a vmbr0 of its own");
        return;
    }
    let template = node.busybox();
    create(&node, "101", "first", &template, "name=eth0,bridge=vmbr0,ip=dhcp");
    node.pvect(&["start", "101"]).ok();
    let given = address(&node, "101");
    host_pings(given.split('/').next().unwrap_or_default());
    // What was lost is made again.
    let pid = fs::read_to_string(node.root().join("run/network/vmbr0.pid")).expect("a pid file");
    Command::new("kill").args(["-9", pid.trim()]).status().expect("kill runs");
    std::thread::sleep(Duration::from_millis(50));
    let doctor = node.pvect(&["doctor"]).stdout;
    assert!(doctor.contains("pvect node network up --bridge vmbr0"), "{doctor}");
    node.pvect(&["node", "network", "up"]).ok();
    assert_eq!(networks(&node)[0]["dhcp"], "running");
    node.pvect(&["stop", "101"]).ok();
    node.pvect(&["node", "network", "down"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

fn device(node: &TestNode, vmid: &str) -> String {
    let devices = fs::read_dir("/sys/class/net").expect("devices").flatten();
    let suffix = format!("-{vmid}i0");
    let root = node.root().join("lib/lxc");
    let prefix = pvect_native::Names::new(root).device(vmid.parse().expect("a vmid"), 0);
    let mut names = devices.filter_map(|entry| entry.file_name().into_string().ok());
    names.find(|name| *name == prefix && name.ends_with(&suffix)).expect("the device is there")
}

fn of_device(device: &str, file: &str) -> String {
    fs::read_to_string(format!("/sys/class/net/{device}/{file}")).expect("a device's file").trim().to_owned()
}

#[test]
fn an_interface_changes_while_it_runs() {
    let node = node_or_skip!();
    let (one, two) = (node.bridge(), node.bridge());
    let template = node.busybox();
    let mac = "BC:24:11:00:77:01";
    let net = |bridge: &str, rest: &str| format!("name=eth0,bridge={bridge},hwaddr={mac}{rest}");
    create(&node, "101", "live", &template, &net(&one, ",ip=10.126.1.2/24"));
    node.pvect(&["start", "101"]).ok();
    let set = |value: &str| node.pvect(&["set", "101", "--net0", value]);
    let inside = |words: &[&str]| node.pvect(&[&["exec", "101", "--"], words].concat()).ok();
    assert!(address(&node, "101").starts_with("10.126.1.2/24"));
    let outside = device(&node, "101");
    let index = of_device(&outside, "ifindex");

    set(&net(&one, ",ip=10.126.1.3/24,gw=10.126.1.1,ip6=fd00:9::3/64")).ok();
    let addresses = inside(&["ip", "addr", "show", "dev", "eth0"]);
    assert!(addresses.contains("10.126.1.3/24") && addresses.contains("fd00:9::3/64"), "{addresses}");
    assert!(!addresses.contains("10.126.1.2/24"), "{addresses}");
    assert!(inside(&["ip", "route"]).contains("default via 10.126.1.1 dev eth0"));
    // For the next start of its network the guest has it in its files.
    let file = inside(&["cat", "/etc/network/interfaces"]);
    assert!(file.contains("address 10.126.1.3\n") && file.contains("address fd00:9::3\n"), "{file}");

    let base = ",ip=10.126.1.3/24";
    set(&net(&one, base)).ok();
    assert!(!inside(&["ip", "route"]).contains("default"));
    set(&net(&two, &format!("{base},mtu=1400"))).ok();
    let master = fs::read_link(format!("/sys/class/net/{outside}/master")).expect("it is in a bridge");
    assert!(master.ends_with(&two), "{}", master.display());
    assert_eq!(of_device(&outside, "mtu"), "1400");
    assert_eq!(inside(&["cat", "/sys/class/net/eth0/mtu"]), "1400\n");
    set(&net(&two, &format!("{base},link_down=1"))).ok();
    assert_eq!(of_device(&outside, "operstate"), "down");
    assert!(fs::read_link(format!("/sys/class/net/{outside}/master")).is_err());
    set(&net(&two, base)).ok();
    assert_ne!(of_device(&outside, "operstate"), "down");
    // All that time it was the same interface; another MAC address makes another one.
    assert_eq!(of_device(&outside, "ifindex"), index);
    set(&net(&two, base).replace(":77:01", ":77:02")).ok();
    assert_eq!(inside(&["cat", "/sys/class/net/eth0/address"]), "bc:24:11:00:77:02\n");
    assert!(inside(&["ip", "addr", "show", "dev", "eth0"]).contains("10.126.1.3/24"));
    assert_ne!(of_device(&outside, "ifindex"), index);
    assert!(
        !fs::read_to_string(node.config_file(101)).expect("a configuration").contains("[pve:pending]"),
        "nothing waits"
    );

    // What cannot be is told, waits, and changes nothing.
    for (rest, reason) in [
        (",tag=7", "is not VLAN aware".to_owned()),
        (
            ",mtu=9000",
            format!("net0: MTU size '9000' is bigger than bridge MTU '{}'", of_device(&two, "mtu")),
        ),
    ] {
        let value = net(&two, &format!("{base}{rest}")).replace(":77:01", ":77:02");
        let finished = set(&value);
        assert!(finished.status != 0 && finished.stderr.contains(&reason), "{rest}: {finished:?}");
        assert!(inside(&["ip", "addr", "show", "dev", "eth0"]).contains("10.126.1.3/24"));
    }
    let limited = set(&net(&two, &format!("{base},rate=5")).replace(":77:01", ":77:02"));
    let limits = Command::new("tc").args(["qdisc", "show", "dev", &outside]).output().expect("tc runs");
    let limits = String::from_utf8_lossy(&limits.stdout).into_owned();
    if limited.status == 0 {
        assert!(limits.contains("tbf") && limits.contains("ingress"), "{limits}");
    } else {
        // A kernel without the policing of packets.
        assert!(limited.stderr.contains("unable to hotplug net0"), "{limited:?}");
        assert!(!limits.contains("tbf"), "changed back: {limits}");
    }
    node.pvect(&["stop", "101"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}
