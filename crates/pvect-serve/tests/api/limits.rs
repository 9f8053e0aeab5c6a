//! Slow, broken and many clients.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use pvect_testkit::{TestNode, TestServer, node_or_skip};

use crate::raw::{connect, request};

fn descriptors(server: &TestServer) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", server.pid())).map_or(0, Iterator::count)
}

#[test]
fn slow_and_broken_clients_hurt_nobody() {
    let node = node_or_skip!();
    let token = format!("Authorization: PVEAPIToken={}", node.token("root@pam!ci", false));
    let server = TestServer::start(&node);
    // Some that only connect, some that speak no TLS, some with half a request. All of them stay below the share of
    // one address: who waits for a place is another test's question.
    let silent: Vec<TcpStream> =
        (0..20).map(|_| TcpStream::connect(("127.0.0.1", server.port)).unwrap()).collect();
    for _ in 0..20 {
        let mut plain = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
        plain.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    }
    // Each writes as soon as it is connected: the time for its handshake runs from then on.
    let half = || {
        let mut half = connect(&node, &server);
        let text = b"PUT /api2/json/nodes/vm/lxc/101/config HTTP/1.1\r\nHost: vm\r\nContent-Length: 100\r\n";
        half.write_all(text).unwrap();
        half
    };
    let halves: Vec<_> = (0..20).map(|_| half()).collect();
    let answer = request(&node, &server, "GET /api2/json/version", &[&token], "");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    // More headers than anybody needs.
    let long = format!("X: {}", "x".repeat(200_000));
    let refused = request_raw(&node, &server, &long);
    assert!(refused.starts_with("HTTP/1.1 431") || refused.is_empty(), "{refused}");
    drop((silent, halves));
    let answer = request(&node, &server, "GET /api2/json/version", &[&token], "");
    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{answer}");
    assert_eq!(server.stop(), 0);
}

fn request_raw(node: &TestNode, server: &TestServer, header: &str) -> String {
    let mut stream = connect(node, server);
    let text =
        format!("GET /api2/json/version HTTP/1.1\r\nHost: vm\r\nConnection: close\r\n{header}\r\n\r\n");
    let mut answer = Vec::new();
    // The server may close before all of it is sent.
    if stream.write_all(text.as_bytes()).is_ok() {
        let _ = stream.read_to_end(&mut answer);
    }
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn two_hundred_clients_read_without_error() {
    let node = node_or_skip!();
    let token = node.token("root@pam!ci", false);
    for vmid in 101..=105 {
        std::fs::write(node.config_file(vmid), "arch: amd64\nhostname: web\nunprivileged: 1\n").unwrap();
    }
    let server = TestServer::start(&node);
    let before = descriptors(&server);
    let done = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..200 {
            scope.spawn(|| {
                let mut stream = connect(&node, &server);
                for path in ["/version", "/nodes/vm/lxc", "/nodes/vm/lxc/103/config", "/cluster/resources"] {
                    let text = format!(
                        "GET /api2/json{path} HTTP/1.1\r\nHost: vm\r\nAuthorization: PVEAPIToken={token}\r\n\r\n"
                    );
                    stream.write_all(text.as_bytes()).unwrap();
                    let answer = one_answer(&mut stream);
                    assert!(answer.starts_with("HTTP/1.1 200 OK"), "{path}: {answer}");
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    assert_eq!(done.into_inner(), 800);
    let back = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        descriptors(&server) <= before + 2
    });
    assert!(back, "{before} descriptors before, {} after", descriptors(&server));
}

/// Reads one answer of a connection that stays open.
fn one_answer(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.and_then(|length| length.parse().ok()).unwrap_or(0);
            if body.len() >= length {
                return text;
            }
        }
        match stream.read(&mut buffer).unwrap() {
            0 => return text,
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}
