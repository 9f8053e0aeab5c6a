//! Guests of several distributions on the node's own network: an address by DHCP, a fixed one, and each other.
//!
//! Debian is real: systemd and ifupdown, from Debian's mirror. The Ubuntu-like guest is the same system with Ubuntu's
//! os-release and a netplan file: so its network is set up as Ubuntu's is, and its own systemd-networkd configures it.
//! The Alpine-like one is BusyBox with its ifupdown and udhcpc.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use pvect_testkit::{TestNode, node_or_skip, skipped};

/// How old a template may be before it is built anew.
const FRESH: Duration = Duration::from_secs(7 * 24 * 3600);

/// Puts a Debian template into the node's storage and returns its volume id; built once in a while, kept beside the
/// test programs.
fn debian(node: &TestNode) -> Result<String, String> {
    let mut kept = std::env::current_exe().map_err(|error| error.to_string())?;
    // target/debug/deps/guests-0123
    kept.pop();
    kept.pop();
    kept.pop();
    let kept = kept.join("e2e-cache/debian-bookworm.tar.zst");
    let name = "debian-12-pvect_1_amd64.tar.zst";
    let place = node.root().join("vz/template/cache").join(name);
    let volume = format!("local:vztmpl/{name}");
    if is_fresh(&kept) {
        fs::create_dir_all(place.parent().expect("a directory")).map_err(|error| error.to_string())?;
        // Nobody writes to it; a link is there at once.
        fs::hard_link(&kept, &place)
            .or_else(|_| fs::copy(&kept, &place).map(drop))
            .map_err(|error| error.to_string())?;
        return Ok(volume);
    }
    let built = node.pvect(&["template", "build", "debian", "--quiet"]);
    if built.status != 0 {
        return Err(format!("no Debian template: {}", built.stderr.lines().last().unwrap_or_default()));
    }
    let volume = built.stdout.trim().to_owned();
    let made: PathBuf =
        node.root().join("vz/template/cache").join(volume.rsplit('/').next().unwrap_or_default());
    // Whole or not at all; that it is not kept costs only time.
    let temporary = kept.with_extension(std::process::id().to_string());
    let _ = fs::create_dir_all(kept.parent().expect("a directory"));
    let _ = fs::copy(&made, &temporary).and_then(|_| fs::rename(&temporary, &kept));
    Ok(volume)
}

fn is_fresh(path: &Path) -> bool {
    let age = fs::metadata(path).and_then(|meta| meta.modified()).ok();
    age.and_then(|made| SystemTime::now().duration_since(made).ok()).is_some_and(|age| age < FRESH)
}

#[track_caller]
fn soon(node: &TestNode, vmid: &str, words: &[&str]) -> String {
    let deadline = Instant::now() + Duration::from_secs(60);
    let all = [&["exec", vmid, "--"], words].concat();
    loop {
        let finished = node.pvect(&all);
        if finished.status == 0 || Instant::now() > deadline {
            return finished.ok();
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}

#[track_caller]
fn address(node: &TestNode, vmid: &str) -> String {
    let script = "ip -4 addr show dev eth0 | grep 'inet '";
    let text = soon(node, vmid, &["sh", "-c", script]);
    text.split_ascii_whitespace().nth(1).expect("an address").to_owned()
}

/// Makes a Debian container look like Ubuntu.
fn disguise(node: &TestNode, vmid: u32) {
    node.pvect(&["mount", &vmid.to_string()]).ok();
    let root = node.root().join(format!("lib/lxc/{vmid}/rootfs"));
    let write = |path: &str, text: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().expect("a directory")).expect("directories");
        fs::write(path, text).expect("a file");
    };
    write("usr/lib/os-release", "PRETTY_NAME=\"Ubuntu-like\"\nID=ubuntu\nVERSION_ID=\"24.04\"\n");
    write("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=24.04\n");
    write("etc/netplan/10-lxc.yaml", "network:\n  version: 2\n  ethernets:\n    eth0: {dhcp4: false}\n");
    fs::remove_file(root.join("etc/debian_version")).expect("Debian's file");
    node.pvect(&["unmount", &vmid.to_string()]).ok();
    let config = node.config_file(vmid);
    let text = fs::read_to_string(&config).expect("a configuration");
    fs::write(config, text.replace("ostype: debian", "ostype: ubuntu")).expect("a configuration");
}

#[test]
fn debian_ubuntu_like_and_alpine_like_guests_reach_each_other_and_the_host() {
    let node = node_or_skip!();
    for program in ["dnsmasq", "nft", "mmdebstrap"] {
        if !["/usr/sbin", "/usr/bin"].iter().any(|place| Path::new(place).join(program).exists()) {
            skipped(module_path!(), &format!("{program} is not installed"));
            return;
        }
    }
    let alpine = node.busybox();
    let debian = match debian(&node) {
        Ok(debian) => debian,
        Err(reason) => {
            skipped(module_path!(), &reason);
            return;
        }
    };
    let bridge = node.own_bridge();
    node.pvect(&["node", "network", "up", "--bridge", &bridge]).ok();
    let shown = node.pvect(&["node", "network", "show", "-o", "json"]).ok();
    let shown: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let host =
        shown[0]["address"].as_str().and_then(|text| text.split('/').next()).expect("an address").to_owned();
    let base = host.rsplit_once('.').expect("an IPv4 address").0.to_owned();

    let guests = [("101", "deb", &debian), ("102", "ubu", &debian), ("103", "alp", &alpine)];
    let net = format!("name=eth0,bridge={bridge},ip=dhcp");
    for (vmid, name, template) in guests {
        let words = [
            "create",
            vmid,
            template,
            "--rootfs",
            "local:0",
            "--hostname",
            name,
            "--memory",
            "256",
            "--net0",
            &net,
        ];
        node.pvect(&words).ok();
    }
    disguise(&node, 102);
    for (vmid, ..) in guests {
        node.pvect(&["start", vmid]).ok();
    }
    for (vmid, ..) in guests {
        let given = address(&node, vmid);
        assert!(given.starts_with(&format!("{base}.")) && given.ends_with("/24"), "{vmid}: {given}");
    }
    // Each by its own tools.
    assert!(soon(&node, "101", &["cat", "/etc/network/interfaces"]).contains("iface eth0 inet dhcp"));
    let unit = soon(&node, "102", &["cat", "/etc/systemd/network/eth0.network"]);
    assert!(unit.contains("DHCP = ipv4"), "{unit}");
    soon(
        &node,
        "102",
        &["sh", "-c", "test ! -e /etc/netplan/10-lxc.yaml || systemctl is-active systemd-networkd"],
    );
    reach_each_other(&node, &host);

    for (index, (vmid, ..)) in guests.iter().enumerate() {
        let mac = mac_of(&node, vmid);
        let fixed = format!("name=eth0,bridge={bridge},hwaddr={mac},ip={base}.{}/24,gw={host}", 21 + index);
        node.pvect(&["stop", vmid]).ok();
        node.pvect(&["set", vmid, "--net0", &fixed]).ok();
        node.pvect(&["start", vmid]).ok();
    }
    for (index, (vmid, ..)) in guests.iter().enumerate() {
        assert_eq!(address(&node, vmid), format!("{base}.{}/24", 21 + index));
        let routes = soon(&node, vmid, &["sh", "-c", "ip route | grep default"]);
        assert!(routes.contains(&format!("default via {host} dev eth0")), "{vmid}: {routes}");
    }
    reach_each_other(&node, &host);

    for (vmid, ..) in guests {
        node.pvect(&["stop", vmid]).ok();
    }
    node.pvect(&["node", "network", "down"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

fn mac_of(node: &TestNode, vmid: &str) -> String {
    let config =
        fs::read_to_string(node.config_file(vmid.parse().expect("a vmid"))).expect("a configuration");
    let mac = config.split("hwaddr=").nth(1).expect("a MAC address");
    mac.chars().take(17).collect()
}

/// All by their names: the Alpine-like guest pings, the others have no ping and open connections.
fn reach_each_other(node: &TestNode, host: &str) {
    for name in ["deb", "ubu", "vm", host] {
        soon(node, "103", &["ping", "-c", "1", "-W", "5", name]);
    }
    soon(node, "103", &["sh", "-c", "pidof httpd || httpd -p 8080 -h /etc/network"]);
    for vmid in ["101", "102"] {
        for place in ["alp/8080".to_owned(), format!("{host}/53")] {
            soon(node, vmid, &["bash", "-c", &format!("exec 3<>/dev/tcp/{place}")]);
        }
    }
    let names = soon(node, "101", &["getent", "hosts", "ubu"]);
    assert!(names.contains("ubu.pvect.internal"), "{names}");
}
