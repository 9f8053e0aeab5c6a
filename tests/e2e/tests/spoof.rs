//! Guests on the node's own bridge that send under other names than their own.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use pvect_testkit::{TestNode, node_or_skip, skipped};

const VICTIM: &str = "BC:24:11:00:66:01";
const ATTACKER: &str = "BC:24:11:00:66:02";

/// Sends the frames that its arguments are, in hex, out of eth0.
const SENDER: &str = "
import socket, sys
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
link.bind(('eth0', 0))
for frame in sys.argv[1:]:
    link.send(bytes.fromhex(frame))
";

/// Prints the frames that come to eth0 within two seconds, in hex, once it says that it listens.
const LISTENER: &str = "
import socket, sys, time
link = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
link.bind(('eth0', 0))
link.settimeout(0.2)
print('listening', flush=True)
end = time.monotonic() + 2
while time.monotonic() < end:
    try:
        print(link.recv(2048).hex(), flush=True)
    except TimeoutError:
        pass
";

macro_rules! network_or_skip {
    () => {{
        let node = node_or_skip!();
        for program in ["dnsmasq", "nft", "python3", "bridge", "unshare"] {
            let is_there = |dir: &str| fs::metadata(format!("{dir}/{program}")).is_ok();
            if !["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|dir| is_there(dir)) {
                skipped(module_path!(), &format!("{program} is not installed"));
                return;
            }
        }
        node
    }};
}

/// Two containers on a bridge of the node's own.
struct Two {
    node: TestNode,
    bridge: String,
    template: String,
    /// The host's address on the bridge.
    host: Ipv4Addr,
    host_mac: [u8; 6],
    victim: Ipv4Addr,
    attacker: Ipv4Addr,
}

impl Two {
    /// The nodes of several tests each need a network of their own: `six` is the one of IPv6.
    fn new(node: TestNode, six: &str) -> Self {
        let template = node.busybox();
        let bridge = node.own_bridge();
        node.pvect(&["node", "network", "up", "--bridge", &bridge, "--ip6", six]).ok();
        for (vmid, name, mac) in [("101", "victim", VICTIM), ("102", "attacker", ATTACKER)] {
            let net = format!("name=eth0,bridge={bridge},hwaddr={mac},ip=dhcp,ip6=auto");
            let words =
                ["create", vmid, &template, "--rootfs", "local:0", "--hostname", name, "--net0", &net];
            node.pvect(&words).ok();
            node.pvect(&["start", vmid]).ok();
        }
        let shown: serde_json::Value =
            serde_json::from_str(&node.pvect(&["node", "network", "show", "-o", "json"]).ok()).expect("JSON");
        let host = shown[0]["address"].as_str().and_then(|text| text.split('/').next()).expect("an address");
        let host = host.parse().expect("an IPv4 address");
        let host_mac = fs::read_to_string(format!("/sys/class/net/{bridge}/address")).expect("an address");
        let host_mac = mac(host_mac.trim());
        let mut two = Self {
            node,
            bridge,
            template,
            host,
            host_mac,
            victim: Ipv4Addr::UNSPECIFIED,
            attacker: Ipv4Addr::UNSPECIFIED,
        };
        (two.victim, two.attacker) = (two.address("101"), two.address("102"));
        two
    }

    fn exec(&self, vmid: &str, words: &[&str]) -> pvect_testkit::Finished {
        self.node.pvect(&[&["exec", vmid, "--"], words].concat())
    }

    /// Runs a command inside until it succeeds.
    #[track_caller]
    fn soon(&self, vmid: &str, words: &[&str]) -> String {
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let finished = self.exec(vmid, words);
            if finished.status == 0 || Instant::now() > deadline {
                return finished.ok();
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    #[track_caller]
    fn address(&self, vmid: &str) -> Ipv4Addr {
        let text = self.soon(vmid, &["sh", "-c", "ip -4 addr show dev eth0 | grep inet"]);
        let cidr = text.split_ascii_whitespace().nth(1).expect("an address");
        cidr.split('/').next().and_then(|text| text.parse().ok()).expect("an IPv4 address")
    }

    fn pings(&self, vmid: &str, words: &[&str]) -> bool {
        self.exec(vmid, &[&["ping", "-c", "1", "-W", "1"], words].concat()).status == 0
    }

    /// A program of the host in a container's network namespace.
    fn in_network(&self, vmid: &str, words: &[&str]) -> Command {
        let pid = Command::new("lxc-info")
            .args(["-P", &self.node.root().join("lib/lxc").to_string_lossy(), "-n", vmid, "-p", "-H"])
            .output()
            .expect("lxc-info");
        let pid = String::from_utf8_lossy(&pid.stdout).trim().to_owned();
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/proc/{pid}/ns/net")).args(words).stdin(Stdio::null());
        command
    }

    fn send(&self, frames: &[Vec<u8>]) {
        let frames: Vec<String> = frames.iter().map(|frame| hex(frame)).collect();
        let mut words = vec!["/usr/bin/python3", "-c", SENDER];
        words.extend(frames.iter().map(String::as_str));
        let status = self.in_network("102", &words).status().expect("python3");
        assert!(status.success());
    }

    /// Has the attacker send frames; returns those that the victim saw.
    fn seen(&self, frames: &[Vec<u8>]) -> Vec<String> {
        use std::io::BufRead as _;
        let mut listener = self
            .in_network("101", &["/usr/bin/python3", "-c", LISTENER])
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut lines = std::io::BufReader::new(listener.stdout.take().expect("a pipe")).lines();
        assert_eq!(lines.next().and_then(Result::ok).as_deref(), Some("listening"));
        self.send(frames);
        let seen: Vec<String> = lines.map_while(Result::ok).collect();
        listener.wait().expect("it ends");
        // The kernel takes a VLAN tag off; what follows it is enough to know the frame by.
        let sent = frames.iter().map(|frame| hex(frame));
        sent.filter(|sent| seen.iter().any(|seen| ends_alike(seen, sent))).collect()
    }

    /// The MAC address that the host has for an address of the bridge.
    fn neighbour(&self, address: &str) -> String {
        let output =
            Command::new("ip").args(["neigh", "show", address, "dev", &self.bridge]).output().expect("ip");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The port behind which the bridge has the victim's MAC address.
    fn port_of_victim(&self) -> String {
        let output =
            Command::new("bridge").args(["fdb", "show", "br", &self.bridge]).output().expect("bridge");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with(&VICTIM.to_lowercase()));
        line.unwrap_or_default().to_owned()
    }

    fn end(self) {
        for vmid in ["101", "102"] {
            self.node.pvect(&["stop", vmid]).ok();
        }
        self.node.pvect(&["node", "network", "down"]).ok();
        assert_eq!(self.node.leftovers(), Vec::<String>::new());
    }
}

fn ends_alike(seen: &str, sent: &str) -> bool {
    // Behind both MAC addresses and a tag.
    sent.get(32..).is_some_and(|tail| seen.contains(tail.trim_end_matches('0')))
}

fn mac(text: &str) -> [u8; 6] {
    let bytes: Vec<u8> = text.split(':').map(|pair| u8::from_str_radix(pair, 16).expect("hex")).collect();
    bytes.try_into().expect("six bytes")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn frame(to: [u8; 6], from: [u8; 6], kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from, &kind.to_be_bytes(), payload].concat()
}

/// An answer that nobody asked for: this address is at this MAC address.
fn arp(sender: [u8; 6], address: Ipv4Addr, to: [u8; 6], asker: Ipv4Addr) -> Vec<u8> {
    [&[0, 1, 8, 0, 6, 4, 0, 2][..], &sender, &address.octets(), &to, &asker.octets()].concat()
}

fn sum(bytes: &[u8]) -> u32 {
    bytes.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum()
}

fn folded(sum: u32) -> [u8; 2] {
    let once = (sum & 0xffff) + (sum >> 16);
    (!u16::try_from((once & 0xffff) + (once >> 16)).expect("16 bits")).to_be_bytes()
}

fn udp4(from: Ipv4Addr, to: Ipv4Addr, ports: (u16, u16), data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(28 + data.len()).expect("a short packet");
    let mut ip = vec![0x45, 0];
    ip.extend(length.to_be_bytes());
    ip.extend([0, 0, 0, 0, 64, 17, 0, 0]);
    ip.extend(from.octets());
    ip.extend(to.octets());
    let check = folded(sum(&ip));
    ip[10..12].copy_from_slice(&check);
    ip.extend(ports.0.to_be_bytes());
    ip.extend(ports.1.to_be_bytes());
    ip.extend((length - 20).to_be_bytes());
    ip.extend([0, 0]);
    [&ip[..], data].concat()
}

/// A packet of IPv4 in two pieces; the first has so many bytes behind its head, a multiple of eight.
fn in_pieces(packet: &[u8], first: usize) -> [Vec<u8>; 2] {
    let (head, data) = packet.split_at(20);
    let (one, two) = data.split_at(first);
    let more = 0x2000;
    [(one, more), (two, u16::try_from(first / 8).expect("a short packet"))].map(|(data, offset)| {
        let mut head = head.to_vec();
        let length = u16::try_from(20 + data.len()).expect("a short packet");
        head[2..4].copy_from_slice(&length.to_be_bytes());
        head[4..6].copy_from_slice(&[7, 7]);
        head[6..8].copy_from_slice(&offset.to_be_bytes());
        head[10..12].copy_from_slice(&[0, 0]);
        let check = folded(sum(&head));
        head[10..12].copy_from_slice(&check);
        [&head[..], data].concat()
    })
}

fn icmp6(from: Ipv6Addr, to: Ipv6Addr, message: &[u8]) -> Vec<u8> {
    let length = u16::try_from(message.len()).expect("a short packet");
    let mut message = message.to_vec();
    let pseudo = sum(&from.octets()) + sum(&to.octets()) + u32::from(length) + 58;
    let check = folded(pseudo + sum(&message));
    message[2..4].copy_from_slice(&check);
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([58, 255]);
    packet.extend(from.octets());
    packet.extend(to.octets());
    [&packet[..], &message].concat()
}

/// A message of a DHCP client about a MAC address.
fn bootp(client: [u8; 6], address: Ipv4Addr, options: &[u8]) -> Vec<u8> {
    let mut data = vec![1, 1, 6, 0, 1, 2, 3, 4, 0, 0, 0, 0];
    data.extend(address.octets());
    data.resize(28, 0);
    data.extend(client);
    data.resize(236, 0);
    data.extend([99, 130, 83, 99]);
    data.extend(options);
    data.push(255);
    data.resize(300, 0);
    data
}

#[test]
fn nobody_takes_the_address_of_another() {
    let two = Two::new(network_or_skip!(), "fd00:66::1/64");
    let (host, victim) = (two.host.to_string(), two.victim.to_string());
    assert!(two.pings("102", &[&host]) && two.pings("102", &[&victim]) && two.pings("101", &[&host]));
    let known = two.neighbour(&victim);
    assert!(known.contains(&VICTIM.to_lowercase()), "the host knows the victim: {known}");

    // By its own tools: another address, another MAC address.
    two.exec("102", &["ip", "addr", "add", &format!("{victim}/32"), "dev", "eth0"]).ok();
    two.exec("102", &["arping", "-U", "-c", "2", "-I", "eth0", &victim]);
    two.exec("102", &["arping", "-A", "-c", "2", "-I", "eth0", &victim]);
    assert!(!two.pings("102", &["-I", &victim, &host]));
    assert!(two.neighbour(&victim).contains(&VICTIM.to_lowercase()), "{}", two.neighbour(&victim));
    two.exec("102", &["ip", "addr", "del", &format!("{victim}/32"), "dev", "eth0"]).ok();
    let own_mac = |mac: &str| {
        for words in [&["down"][..], &["address", mac], &["up"]] {
            two.exec("102", &[&["ip", "link", "set", "eth0"], words].concat()).ok();
        }
    };
    own_mac(VICTIM);
    assert!(!two.pings("102", &[&host]));
    let port = two.port_of_victim();
    assert!(!port.contains("-102i0"), "the bridge has the victim behind another port: {port}");
    own_mac(ATTACKER);
    // Its own address still works.
    let own = two.attacker.to_string();
    assert!(two.pings("101", &[&own]) && two.pings("102", &[&host]));

    // By frames that it writes itself.
    let (evil, good) = (mac(ATTACKER), mac(VICTIM));
    let (all, stp) = ([0xff; 6], [1, 0x80, 0xc2, 0, 0, 0xe]);
    let lie = arp(evil, two.victim, two.host_mac, two.host);
    let tagged = [&[0, 0, 8, 6][..], &lie].concat();
    let nodes: Ipv6Addr = "ff02::1".parse().expect("an address");
    let local: Ipv6Addr = "fe80::be24:11ff:fe00:6602".parse().expect("an address");
    let other: Ipv6Addr = "fd00:66::be24:11ff:fe00:6601".parse().expect("an address");
    let advert = [&[136, 0, 0, 0, 0x20, 0, 0, 0][..], &other.octets(), &[2, 1], &evil].concat();
    let router = [134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    let (multi, broadcast) = ([0x33, 0x33, 0, 0, 0, 1], Ipv4Addr::BROADCAST);
    // One by one: what the bridge learned, the next frame of the victim would put right.
    for last in [0, 3, 0xd, 0xe, 0xf] {
        two.send(&[frame([1, 0x80, 0xc2, 0, 0, last], good, 0x88cc, &[2, 7, 4, 0, 0, 0, 0, 0, 1])]);
        let port = two.port_of_victim();
        assert!(!port.contains("-102i0"), "{last}: {port}");
    }
    let lies = [
        frame(all, evil, 0x0806, &arp(evil, two.victim, [0; 6], two.victim)),
        frame(two.host_mac, evil, 0x0806, &lie),
        frame(all, evil, 0x0806, &arp(evil, two.host, [0; 6], two.host)),
        frame(two.host_mac, evil, 0x8100, &tagged),
        frame(all, evil, 0x8100, &tagged),
        frame(two.host_mac, evil, 0x88a8, &tagged),
        frame(all, good, 0x0806, &arp(good, two.victim, [0; 6], two.victim)),
        frame(stp, good, 0x88cc, &[2, 7, 4, 0, 0, 0, 0, 0, 1]),
        frame(multi, evil, 0x86dd, &icmp6(local, nodes, &advert)),
        frame(multi, evil, 0x86dd, &icmp6(local, nodes, &router)),
        frame(multi, evil, 0x86dd, &icmp6(other, nodes, &[128, 0, 0, 0, 0, 1, 0, 1])),
        frame(
            all,
            evil,
            0x0800,
            &udp4(two.attacker, broadcast, (67, 68), &bootp(good, two.victim, &[53, 1, 5])),
        ),
        frame(good, evil, 0x0800, &udp4(two.host, two.victim, (53, 5353), b"an answer of the host")),
        frame(good, evil, 0x88b5, b"a protocol of its own"),
    ];
    assert_eq!(two.seen(&lies), Vec::<String>::new(), "the victim sees none of it");
    assert!(two.neighbour(&victim).contains(&VICTIM.to_lowercase()), "{}", two.neighbour(&victim));
    let port = two.port_of_victim();
    assert!(!port.contains("-102i0"), "the bridge has the victim behind another port: {port}");
    assert!(!two.neighbour(&other.to_string()).contains(&ATTACKER.to_lowercase()));
    // The way of looking is good: what is its own arrives.
    let honest = [
        frame(good, evil, 0x0800, &udp4(two.attacker, two.victim, (53, 5353), b"an answer of its own")),
        frame(multi, evil, 0x86dd, &icmp6(local, nodes, &[128, 0, 0, 0, 0, 1, 0, 1, 77, 78])),
    ];
    assert_eq!(two.seen(&honest).len(), 2);
    two.end();
}

#[test]
fn dhcp_gives_what_the_node_says_and_to_those_whom_it_knows() {
    let two = Two::new(network_or_skip!(), "fd00:67::1/64");
    // A name that a client asks for is not one.
    let words =
        ["udhcpc", "-i", "eth0", "-n", "-q", "-t", "3", "-T", "1", "-x", "hostname:wpad", "-F", "proxy"];
    two.exec("102", &words).ok();
    for name in ["wpad.pvect.internal", "proxy.pvect.internal"] {
        let answer = two.exec("101", &["nslookup", name]);
        assert!(answer.stdout.contains("NXDOMAIN"), "{name}: {answer:?}");
    }
    let answer = two.soon("101", &["nslookup", "attacker.pvect.internal"]);
    assert!(answer.contains(&two.attacker.to_string()), "{answer}");
    // Nobody gives away or asks for the lease of another.
    let leases = || fs::read_to_string(two.node.root().join(format!("lib/network/{}.leases", two.bridge)));
    let has = |word: &str| leases().expect("leases").contains(word);
    assert!(has(&two.victim.to_string()));
    let server = [&[53, 1, 7, 54, 4][..], &two.host.octets()].concat();
    let release = bootp(mac(VICTIM), two.victim, &server);
    let packet = udp4(two.attacker, two.host, (68, 67), &release);
    two.send(&[frame(two.host_mac, mac(ATTACKER), 0x0800, &packet)]);
    // Nor in pieces, of which the first does not say whose lease it is.
    let pieces = in_pieces(&packet, 24).map(|piece| frame(two.host_mac, mac(ATTACKER), 0x0800, &piece));
    two.send(&pieces);
    let stranger = [0xbc, 0x24, 0x11, 0, 0x66, 0x77];
    let discover = bootp(stranger, Ipv4Addr::UNSPECIFIED, &[53, 1, 1]);
    let packet = udp4(Ipv4Addr::UNSPECIFIED, Ipv4Addr::BROADCAST, (68, 67), &discover);
    two.send(&[frame([0xff; 6], mac(ATTACKER), 0x0800, &packet)]);
    std::thread::sleep(Duration::from_millis(500));
    assert!(has(&two.victim.to_string()), "{:?}", leases());

    // Somebody whom the node does not know, without any rules between: a namespace of the test's own.
    let mut stranger = Command::new("unshare").args(["--net", "sleep", "60"]).spawn().expect("unshare");
    let pid = stranger.id().to_string();
    let own = fs::read_link("/proc/self/ns/net").expect("a namespace");
    let deadline = Instant::now() + Duration::from_secs(5);
    while fs::read_link(format!("/proc/{pid}/ns/net")).is_ok_and(|its| its == own)
        && Instant::now() < deadline
    {
        std::thread::sleep(Duration::from_millis(10));
    }
    let end = format!("{}x", two.bridge);
    let words =
        ["link", "add", &end, "master", &two.bridge, "up", "type", "veth", "peer", "e0", "netns", &pid];
    let added = Command::new("ip").args(words).status().expect("ip");
    let script = "ip link set e0 up && busybox udhcpc -i e0 -n -q -f -t 3 -T 1 -s /bin/true";
    let asked = Command::new("nsenter").args(["--net", "-t", &pid, "sh", "-c", script]).output();
    stranger.kill().and_then(|()| stranger.wait()).expect("it ends");
    let said = String::from_utf8_lossy(&asked.expect("nsenter").stderr).into_owned();
    assert!(added.success());
    assert!(said.contains("no lease"), "{said}");
    // As many leases as there are containers.
    let four = leases().expect("leases").lines().filter(|line| line.contains(" 10.")).count();
    assert_eq!(four, 2, "{:?}", leases());
    two.end();
}

#[test]
fn who_starts_takes_nothing_from_who_runs_and_what_is_allowed_besides_works() {
    let two = Two::new(network_or_skip!(), "fd00:68::1/64");
    let (host, victim) = (two.host.to_string(), two.victim.to_string());
    let create = |mac: &str, ip: &str| {
        let net = format!("name=eth0,bridge={},hwaddr={mac},ip={ip}", two.bridge);
        two.node.pvect(&["create", "103", &two.template, "--rootfs", "local:0", "--net0", &net]).ok();
        let failed = two.node.pvect(&["start", "103"]).fails(1);
        two.node.pvect(&["destroy", "103"]).ok();
        failed
    };
    let third = "BC:24:11:00:66:03";
    let text = create(third, &format!("{victim}/24"));
    let expected = format!("net0: {victim} on bridge '{}' is already used by CT 101 (net0)", two.bridge);
    assert!(text.contains(&expected), "{text}");
    let text = create(VICTIM, "dhcp");
    assert!(text.contains(&format!("net0: {} on bridge", VICTIM.to_lowercase())), "{text}");
    let text = create(third, &format!("{host}/24"));
    assert!(
        text.contains(&format!("net0: {host} on bridge '{}' is the host's own address", two.bridge)),
        "{text}"
    );

    // Another address of the network for 102, at once by its configuration ...
    let base = host.rsplit_once('.').expect("an IPv4 address").0;
    let fixed = format!("{base}.9");
    let net = |ip: &str| format!("name=eth0,bridge={},hwaddr={ATTACKER},ip={ip}", two.bridge);
    two.node.pvect(&["set", "102", "--net0", &net(&format!("{fixed}/24"))]).ok();
    assert!(two.pings("102", &["-I", &fixed, &host]));
    let refused = two.node.pvect(&["set", "102", "--net0", &net(&format!("{victim}/24"))]);
    assert!(refused.stderr.contains("is already used by CT 101"), "{refused:?}");
    assert!(two.pings("102", &["-I", &fixed, &host]), "it has its own as before");
    // ... and one more that a file of the host allows.
    let floating = format!("{base}.10");
    two.exec("102", &["ip", "addr", "add", &format!("{floating}/32"), "dev", "eth0"]).ok();
    assert!(!two.pings("102", &["-I", &floating, &host]));
    let file = two.node.root().join("etc/pve/firewall/102.fw");
    fs::create_dir_all(file.parent().expect("a directory")).expect("a directory");
    fs::write(&file, format!("[IPSET ipfilter-net0]\n{floating}\n{host}\n")).expect("102.fw");
    two.node.pvect(&["node", "network", "up", "--bridge", &two.bridge]).ok();
    assert!(two.pings("102", &["-I", &floating, &host]));
    fs::remove_file(file).expect("102.fw");
    two.node.pvect(&["node", "network", "up", "--bridge", &two.bridge, "--ipfilter", "0"]).ok();
    assert!(two.pings("102", &["-I", &floating, &host]));
    two.node.pvect(&["node", "network", "up", "--bridge", &two.bridge, "--ipfilter", "1"]).ok();
    assert!(!two.pings("102", &["-I", &floating, &host]));
    two.end();
}

/// A container that is on its way has its address already: its hook script holds it there.
#[test]
fn two_that_start_together_do_not_share_an_address() {
    let node = network_or_skip!();
    let (template, bridge) = (node.busybox(), node.own_bridge());
    node.pvect(&["node", "network", "up", "--bridge", &bridge, "--address", "10.99.67.1/24"]).ok();
    for (vmid, mac) in [("101", VICTIM), ("102", ATTACKER)] {
        let net = format!("name=eth0,bridge={bridge},hwaddr={mac},ip=10.99.67.5/24");
        node.pvect(&["create", vmid, &template, "--rootfs", "local:0", "--net0", &net]).ok();
    }
    let (waits, go) = (node.root().join("waits"), node.root().join("go"));
    let script = format!(
        "#!/bin/sh\n[ $2 = pre-start ] || exit 0\ntouch {}\nwhile ! [ -e {} ]; do sleep 0.05; done\n",
        waits.display(),
        go.display()
    );
    let hook = node.root().join("vz/snippets/wait.sh");
    fs::create_dir_all(hook.parent().expect("a directory")).expect("a directory");
    fs::write(&hook, script).expect("a hook script");
    fs::set_permissions(&hook, fs::Permissions::from_mode(0o755)).expect("a mode");
    node.pvect(&["set", "101", "--hookscript", "local:snippets/wait.sh"]).ok();
    let mut first = node.command(["start", "101"]).spawn().expect("pvect");
    let until = Instant::now() + Duration::from_secs(60);
    while !waits.exists() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    let refused = node.pvect(&["start", "102"]);
    fs::write(&go, "").expect("a file");
    assert!(first.wait().expect("pvect").success());
    let refused = refused.fails(1);
    let expected = format!("net0: 10.99.67.5 on bridge '{bridge}' is already used by CT 101 (net0)");
    assert!(refused.contains(&expected), "{refused}");
    for vmid in ["101", "102"] {
        node.pvect(&["destroy", vmid, "--force"]).ok();
    }
    node.pvect(&["node", "network", "down", "--bridge", &bridge]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}

#[test]
fn without_the_packet_filter_a_start_says_so_and_firewall_1_refuses() {
    let node = network_or_skip!();
    let template = node.busybox();
    let bridge = node.own_bridge();
    node.pvect(&["node", "network", "up", "--bridge", &bridge]).ok();
    let net = |rest: &str| format!("name=eth0,bridge={bridge},hwaddr={VICTIM},ip=dhcp{rest}");
    node.pvect(&["create", "101", &template, "--rootfs", "local:0", "--net0", &net(",firewall=1")]).ok();
    let without_nft = |words: &[&str]| {
        let command = node.command(words);
        let mut hidden = Command::new("unshare");
        hidden
            .args(["--mount", "sh", "-c", "mount --bind /dev/null /usr/sbin/nft && exec \"$0\" \"$@\""])
            .arg(command.get_program())
            .args(command.get_args())
            .env_clear()
            .envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))))
            .stdin(Stdio::null());
        let output = hidden.output().expect("unshare");
        let said = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8_lossy(&said).into_owned())
    };
    let expected = format!("bridge '{bridge}': no rules restrict containers to their own addresses - ");
    let (done, said) = without_nft(&["start", "101"]);
    assert!(!done && said.contains(&expected), "{said}");
    node.pvect(&["set", "101", "--net0", &net("")]).ok();
    let (done, said) = without_nft(&["start", "101"]);
    assert!(done && said.contains(&format!("WARN: {expected}")), "{said}");

    // The node notices when somebody flushed the rules, and loads them again.
    node.pvect(&["node", "network", "up", "--bridge", &bridge]).ok();
    let doctor = node.pvect(&["doctor"]).stdout;
    assert!(!doctor.contains("no rules restrict"), "{doctor}");
    let rules = fs::read_to_string(node.root().join("run/network/nft.conf")).expect("rules");
    let table = rules.lines().find_map(|line| line.strip_prefix("table bridge ")).expect("a table");
    let deleted = Command::new("nft").args(["delete", "table", "bridge", table]).status().expect("nft");
    assert!(deleted.success());
    let doctor = node.pvect(&["doctor"]).stdout;
    assert!(
        doctor.contains(&format!("no rules restrict the containers on '{bridge}' to their own addresses")),
        "{doctor}"
    );
    // A start repairs also what was only emptied.
    let in_force = || {
        let output = Command::new("nft").args(["list", "table", "bridge", table]).output().expect("nft");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let start = || {
        node.pvect(&["stop", "101"]).ok();
        node.pvect(&["start", "101"]).ok();
        in_force()
    };
    let whole = start();
    assert!(whole.contains("goto guest") && whole.contains(&VICTIM.to_lowercase()), "{whole}");
    let flushed = Command::new("nft").args(["flush", "chain", "bridge", table, "prerouting"]).status();
    assert!(flushed.expect("nft").success() && in_force() != whole);
    assert_eq!(start(), whole);
    // What is in force is not loaded again: each load counts the handles of the rules on.
    let handles = || {
        let output =
            Command::new("nft").args(["-a", "list", "table", "bridge", table]).output().expect("nft");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let before = handles();
    assert_eq!(start(), whole);
    assert_eq!(handles(), before);
    node.pvect(&["stop", "101"]).ok();
    // On a bridge of somebody else it means nothing, and that is said.
    let foreign = node.bridge();
    let value = format!("name=eth0,bridge={foreign},hwaddr={VICTIM},ip=manual,firewall=1");
    node.pvect(&["set", "101", "--net0", &value]).ok();
    let started = node.pvect(&["start", "101"]);
    let said = started.stdout.clone() + &started.stderr;
    let expected =
        format!("WARN: net0: firewall=1 does nothing on bridge '{foreign}', which this node did not make");
    assert!(started.status == 0 && said.contains(&expected), "{started:?}");
    node.pvect(&["stop", "101"]).ok();
    node.pvect(&["node", "network", "down"]).ok();
    assert_eq!(node.leftovers(), Vec::<String>::new());
}
