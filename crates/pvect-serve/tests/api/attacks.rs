//! What strangers and users with few rights try.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use pvect_testkit::{TestNode, TestServer, node_or_skip};
use ring::hmac;

use crate::raw::{connect_from, request};

const FORM: &str = "Content-Type: application/x-www-form-urlencoded";
const JSON: &str = "Content-Type: application/json";
const LOGIN: &str = "POST /api2/json/access/ticket";

fn login(node: &TestNode, server: &TestServer, user: &str, password: &str) -> String {
    request(node, server, LOGIN, &[FORM], &format!("username={user}&password={password}"))
}

fn field(answer: &str, name: &str) -> String {
    let value = answer.split_once(&format!("\"{name}\":\"")).and_then(|(_, rest)| rest.split_once('"'));
    value.unwrap_or_else(|| panic!("no {name}: {answer}")).0.to_owned()
}

/// The time that a server's process has spent on a CPU, in ticks (a hundredth of a second).
fn cpu_ticks(server: &TestServer) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", server.pid())).unwrap();
    let (_, fields) = stat.rsplit_once(')').unwrap();
    fields.split_whitespace().skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

#[test]
fn a_long_password_costs_nothing() {
    let node = node_or_skip!();
    node.user("root@pam", "hunter22");
    let server = TestServer::start(&node);
    let before = cpu_ticks(&server);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let answer = login(&node, &server, "root@pam", &"A".repeat(60_000));
                assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
            });
        }
    });
    // To hash one such password takes seconds.
    let taken = cpu_ticks(&server) - before;
    assert!(taken < 200, "{taken} ticks");
    let answer = login(&node, &server, "root@pam", "hunter22");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let mut add = node.command(["node", "user", "add", "joe@pve", "--password-stdin"]);
    let mut child =
        add.stdin(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all("A".repeat(129).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success() && told.contains("a password has at most 128 bytes"), "{told}");
}

#[test]
fn slow_connections_of_one_client_leave_room_for_others() {
    let node = node_or_skip!();
    let token = format!("Authorization: PVEAPIToken={}", node.token("root@pam!ci", false));
    let server = TestServer::start(&node);
    let address = SocketAddr::from(([127, 0, 0, 1], server.port));
    // More than are served in all; none says a word.
    let slow: Vec<TcpStream> = (0..600).map(|_| TcpStream::connect(address).unwrap()).collect();
    let mut other = connect_from(&node, &server, [127, 0, 0, 2]);
    let text = format!("GET /api2/json/version HTTP/1.1\r\nHost: vm\r\nConnection: close\r\n{token}\r\n\r\n");
    other.write_all(text.as_bytes()).unwrap();
    let mut answer = Vec::new();
    let _ = other.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer);
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    let closed = |stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
        matches!((&mut &*stream).read(&mut [0]), Ok(0))
    };
    // It did not wait for a slow one to end, and those beyond the share and the queue are closed at once.
    let served = slow.iter().take(64).filter(|stream| closed(stream)).count();
    assert_eq!(served, 0, "the slow ones ended first");
    assert!(slow.iter().filter(|stream| closed(stream)).count() >= 600 - 64 - 256);
}

#[test]
fn smuggled_names_are_no_parameters() {
    let node = node_or_skip!();
    node.user("joe@pve", "hunter33");
    for (role, path) in [("PVEVMAdmin", "/vms/105"), ("PVEDatastoreUser", "/storage/local")] {
        node.pvect(&["node", "acl", "grant", "joe@pve", role, path]).ok();
    }
    let joe = format!("Authorization: PVEAPIToken={}", node.token("joe@pve!ci", false));
    let server = TestServer::start(&node);
    let ask = |query: &str, kind: &str, body: &str| {
        let line = format!("POST /api2/json/nodes/vm/vzdump{query}");
        request(&node, &server, &line, &[&joe, kind], body)
    };
    for (body, words) in [
        ("vmid=105&=104", "400 a parameter has no name"),
        ("vmid=105&%3d104=", "property is not defined in schema"),
        ("vmid=105&dumpd=/tmp/x", "property is not defined in schema"),
        ("vmid=105&DUMPDIR=/tmp/x", "property is not defined in schema"),
        ("vmid=105&tmpd=/tmp/x", "property is not defined in schema"),
        ("vmid=105&scr=/bin/sh", "property is not defined in schema"),
        ("vmid=105&dumpdir=/tmp/x", "Only root may set this option."),
        ("vmid=105&STORAGE=secret&storage=local", "property is not defined in schema"),
        ("vmid=105&stora=secret", "property is not defined in schema"),
        ("vmid=105&storage=local&storage=secret", "more than one value"),
        ("vmid=105&storage=secret", "403 Permission check failed (/storage/secret, Datastore.AllocateSpace)"),
        ("vmid=105&vmid=104", "403 Permission check failed (/vms/104, VM.Backup)"),
        ("vmid=105%00--dumpdir%00/tmp/x", "invalid format"),
        ("vmid=105&mode=--all", "does not have a value in the enumeration"),
        ("vmid=105&remove=--all", "type check ('boolean') failed"),
        (
            "vmid=105&prune-backups=keep-last%3d1",
            "403 Permission check failed (/storage/local, Datastore.Allocate)",
        ),
        ("vmid=105&node=other", "already defined in URI"),
    ] {
        let answer = ask("", FORM, body);
        assert!(answer.contains(words) && !answer.contains("UPID:"), "{body}: {answer}");
    }
    let answer = ask("?storage=secret", FORM, "vmid=105&storage=local");
    assert!(answer.contains("more than one value"), "{answer}");
    let answer = ask("", JSON, r#"{"vmid":105,"storage":"local","storage":"secret"}"#);
    assert!(answer.contains("more than one value"), "{answer}");
    let line = "PUT /api2/json/nodes/vm/lxc/105/config";
    let create = format!("vmid=105&ostemplate=local:vztmpl/a.tar&password={}", "A".repeat(512));
    let answer = request(&node, &server, "POST /api2/json/nodes/vm/lxc", &[&joe, FORM], &create);
    assert!(answer.contains("longer than 511 bytes"), "{answer}");
    for (body, words) in
        [("vmid=104&memory=64", "already defined in URI"), ("memory=64&=1", "a parameter has no name")]
    {
        let answer = request(&node, &server, line, &[&joe, FORM], body);
        assert!(answer.contains(words), "{body}: {answer}");
    }
}

/// Makes a ticket as the server does, with the node's own key.
fn ticket(node: &TestNode, user: &str, time: u64, login: u64) -> String {
    let private = node.root().join("etc/pve/priv");
    let key = std::fs::read(private.join("authkey.key")).unwrap();
    let shadow = std::fs::read_to_string(private.join("shadow.cfg")).unwrap();
    let hash = shadow.lines().find_map(|line| line.strip_prefix(user)?.strip_prefix(':')).unwrap();
    let text = format!("PVE:{user}:{time:08X}\n{login:08X}\n{}", hash.trim_end_matches(':'));
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &key), text.as_bytes());
    let signature = tag.as_ref().iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"));
    format!("PVE:{user}:{time:08X}::{login:08X}:{signature}")
}

#[test]
fn a_ticket_ends_with_its_password_and_after_a_day() {
    let node = node_or_skip!();
    node.user("root@pam", "hunter22");
    node.user("joe@pve", "hunter33");
    let server = TestServer::start(&node);
    let uses = |ticket: &str| {
        let answer = request(
            &node,
            &server,
            "GET /api2/json/version",
            &[&format!("Cookie: PVEAuthCookie={ticket}")],
            "",
        );
        answer.starts_with("HTTP/1.1 200")
    };
    let renewed = |ticket: &str| {
        let answer = login(&node, &server, "joe@pve", &ticket.replace(':', "%3A"));
        answer.starts_with("HTTP/1.1 200").then(|| field(&answer, "ticket"))
    };
    let first = field(&login(&node, &server, "joe@pve", "hunter33"), "ticket");
    let second = renewed(&first).unwrap();
    assert!(uses(&first) && uses(&second));
    // A renewed ticket keeps the time of the login.
    let login_of = |ticket: &str| {
        let (_, rest) = ticket.rsplit_once("::").unwrap();
        u64::from_str_radix(rest.split_once(':').unwrap().0, 16).unwrap()
    };
    assert_eq!(login_of(&first), login_of(&second));
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let day = 24 * 60 * 60;
    let nearly = ticket(&node, "joe@pve", now, now - day + 600);
    assert!(uses(&nearly) && login_of(&renewed(&nearly).unwrap()) == now - day + 600);
    let old = ticket(&node, "joe@pve", now, now - day);
    assert!(!uses(&old) && renewed(&old).is_none());
    node.user("joe@pve", "hunter33");
    for ticket in [&first, &second, &nearly] {
        assert!(!uses(ticket) && renewed(ticket).is_none());
    }
    assert!(login(&node, &server, "joe@pve", "hunter33").starts_with("HTTP/1.1 200"));
}
