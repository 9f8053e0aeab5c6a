//! HTTP by hand: what a library would hide.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::time::Duration;

use pvect_testkit::{TestNode, TestServer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Connects to the server; its certificate is the only one that is trusted.
pub fn connect(node: &TestNode, server: &TestServer) -> Stream {
    connect_from(node, server, [127, 0, 0, 1])
}

/// As [`connect`], from this address of the loopback interface.
pub fn connect_from(node: &TestNode, server: &TestServer, from: [u8; 4]) -> Stream {
    let mut roots = RootCertStore::empty();
    let pem = node.root().join("etc/pve/nodes/vm/pve-ssl.pem");
    roots.add(CertificateDer::from_pem_file(pem).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from("127.0.0.1").unwrap();
    let client = ClientConnection::new(Arc::new(config), name).unwrap();
    let socket = socket(from, server.port);
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    StreamOwned::new(client, socket)
}

fn socket(from: [u8; 4], port: u16) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let connected = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind((from, 0).into())?;
        socket.connect(([127, 0, 0, 1], port).into()).await?.into_std()
    });
    let socket: TcpStream = connected.unwrap();
    socket.set_nonblocking(false).unwrap();
    socket
}

/// Sends one request with these header lines and returns status line, type and body.
pub fn request(node: &TestNode, server: &TestServer, line: &str, headers: &[&str], body: &str) -> String {
    let mut stream = connect(node, server);
    let mut text = format!("{line} HTTP/1.1\r\nHost: vm\r\nConnection: close\r\n");
    for header in headers {
        text += &format!("{header}\r\n");
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    text += &format!("\r\n{body}");
    // The server may close before all of it is sent; what it said can be read then, or nothing.
    let _ = stream.write_all(text.as_bytes());
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
    let status = head.lines().next().unwrap_or_default();
    format!("{status}\n{body}")
}
