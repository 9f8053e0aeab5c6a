//! What happens when the API, or the way to it, fails: each failure has its kind, its exit status and its message, and
//! nothing that changes something is ever sent twice.

#![allow(clippy::unwrap_used)]

mod scripted;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pvect_api::{Api, ApiBackend, ApiConfig, Credentials, Host, Method, OneTimeCode, Request, Trust};
use pvect_core::{Call, Error, Events, Inspect, Operate, Verb, Vmid};

use scripted::{Certificate, Reply, Server, data, host, status};

const TOKEN: &str = "ci@pve!test=5ec2e7aa-0000-4000-8000-hunter22hunt";
const PASSWORD: &str = "correct-horse-hunter22";

fn token() -> Credentials {
    Credentials::Token(TOKEN.to_owned().into())
}

fn password(code: Option<OneTimeCode>) -> Credentials {
    Credentials::Password { user: "ci@pve".to_owned(), password: PASSWORD.to_owned().into(), code }
}

fn config(server: &Server) -> ApiConfig {
    let mut config = ApiConfig::new(vec![server.host()], token());
    config.trust = Trust::Fingerprint(server.certificate.fingerprint().parse().unwrap());
    config
}

fn api(server: &Server) -> Api {
    Api::new(config(server)).unwrap()
}

fn version() -> Request {
    Request::get("/version")
}

/// A request that must not be sent twice.
fn start() -> Request {
    Request::new(Method::Post, "/nodes/pve1/lxc/101/status/start")
}

/// Kind, exit status and message of a failure; ports, which differ each time, are `PORT`. No secret is ever in it.
fn shown(error: &Error) -> String {
    let everything = format!("{error:?}{:?}{error}", error.run());
    for secret in ["hunter22", "secret-ticket", "secret-csrf", "123456"] {
        assert!(!everything.contains(secret), "{everything}");
    }
    let text = format!("{} {}: {error}", error.kind(), error.kind().exit_status());
    let mut words = Vec::new();
    for word in text.split(' ') {
        match word.split_once("127.0.0.1:") {
            Some((before, after)) => {
                words.push(format!(
                    "{before}127.0.0.1:PORT{}",
                    after.trim_start_matches(|c: char| c.is_ascii_digit())
                ));
            }
            None => words.push(word.to_owned()),
        }
    }
    words.join(" ")
}

async fn failure(api: &Api, request: &Request) -> String {
    match api.send(request).await {
        Ok(data) => panic!("it went well: {data}"),
        Err(error) => shown(&error),
    }
}

/// The login of a server: answers with a ticket that counts, and hands everything else on.
fn with_login(
    rest: impl Fn(&str, usize) -> Reply + Send + Sync + 'static,
) -> impl Fn(&scripted::Asked, usize) -> Reply + Send + Sync + 'static {
    let logins = AtomicUsize::new(0);
    move |asked, _| {
        if asked.line == "POST /api2/json/access/ticket" {
            let count = logins.fetch_add(1, Ordering::SeqCst) + 1;
            return data(&format!(
                r#"{{"username":"ci@pve","ticket":"PVE:secret-ticket{count}","CSRFPreventionToken":"secret-csrf{count}"}}"#
            ));
        }
        let sent =
            (1..9).rev().find(|count| asked.head.contains(&format!("secret-ticket{count}"))).unwrap_or(0);
        rest(&asked.line, sent)
    }
}

#[tokio::test]
async fn refusals_have_their_kinds() {
    for (code, reason, body, expected) in [
        (
            401,
            "permission denied - invalid PVE ticket",
            r#"{"data":null}"#,
            "api_unauthenticated 5: permission denied - invalid PVE ticket",
        ),
        (
            401,
            "no such token 'test' for user 'ci@pve'",
            "",
            "api_unauthenticated 5: no such token 'test' for user 'ci@pve'",
        ),
        (
            403,
            "Permission check failed (/vms/101, VM.PowerMgmt)",
            r#"{"data":null}"#,
            "pct_permission_denied 5: Permission check failed (/vms/101, VM.PowerMgmt)",
        ),
        (
            403,
            "Forbidden",
            r#"{"data":null,"message":"Permission check failed (changing feature flags)\n"}"#,
            "pct_permission_denied 5: Permission check failed (changing feature flags)",
        ),
        (
            400,
            "Parameter verification failed.",
            r#"{"data":null,"errors":{"memory":"type check ('integer') failed - got 'much'\n","vmid":"invalid format\n"}}"#,
            "invalid_argument 2: memory: type check ('integer') failed - got 'much'; vmid: invalid format",
        ),
        (500, "CT 101 already running", r#"{"data":null}"#, "already_running 4: CT 101 already running"),
        (
            500,
            "Configuration file 'nodes/pve1/lxc/999.conf' does not exist",
            r#"{"data":null,"message":"Configuration file 'nodes/pve1/lxc/999.conf' does not exist\n"}"#,
            "not_found 3: Configuration file 'nodes/pve1/lxc/999.conf' does not exist",
        ),
        (500, "CT is locked (backup)", "{}", "locked 4: CT is locked (backup)"),
        (500, "CT 101 not running", "", "not_running 4: CT 101 not running"),
        (500, "the sky is falling", "", "pct_command_failed 1: the sky is falling"),
        (
            501,
            "Method 'POST /nodes/pve1/lxc/101/exec' not implemented",
            r#"{"data":null}"#,
            "unsupported 9: this API cannot do it: Method 'POST /nodes/pve1/lxc/101/exec' not implemented",
        ),
        (
            595,
            "No route to host",
            "",
            "node_unreachable 7: 127.0.0.1 could not reach the node: No route to host (595)",
        ),
        (
            596,
            "tls_process_server_certificate: certificate verify failed",
            "",
            "node_unreachable 7: 127.0.0.1 could not reach the node: tls_process_server_certificate: certificate verify failed (596)",
        ),
        (
            599,
            "Too many redirections",
            "",
            "node_unreachable 7: 127.0.0.1 could not reach the node: Too many redirections (599)",
        ),
        (
            502,
            "Bad Gateway",
            "<html><body><h1>502 Bad Gateway</h1></body></html>",
            "pct_command_failed 1: Bad Gateway",
        ),
        (302, "Found", "", "pct_command_failed 1: Found"),
    ] {
        let server = Server::start(move |_, _| status(code, reason, body)).await;
        assert_eq!(failure(&api(&server), &start()).await, expected);
        assert_eq!(server.lines(), ["POST /api2/json/nodes/pve1/lxc/101/status/start"], "{expected}");
    }
}

#[tokio::test]
async fn answers_that_are_none() {
    let long = 10 * 1024 * 1024;
    let chunk = format!("{:x}\r\n{}\r\n", 1024 * 1024, "a".repeat(1024 * 1024));
    for (reply, expected) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{\"data\":[".to_owned(),
            "pct_invalid_output 8: the answer of the API could not be understood: it is not JSON of the API: EOF while parsing a list at line 1 column 9",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 19\r\n\r\n<html>Login</html>\n".to_owned(),
            "pct_invalid_output 8: the answer of the API could not be understood: it is not JSON of the API: expected value at line 1 column 1",
        ),
        (
            format!("HTTP/1.1 200 OK\r\nContent-Length: {long}\r\n\r\n"),
            "pct_invalid_output 8: the answer of the API could not be understood: it is longer than 8 MiB",
        ),
        (
            format!("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk.repeat(10)),
            "pct_invalid_output 8: the answer of the API could not be understood: it is longer than 8 MiB",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"data\"".to_owned(),
            "connection_lost 7: the connection to '127.0.0.1:PORT' was lost: the answer broke off; the command may have run",
        ),
        (
            "SSH-2.0-OpenSSH_9.2\r\n".to_owned(),
            "connection_lost 7: the connection to '127.0.0.1:PORT' was lost: invalid HTTP version parsed; the command may have run",
        ),
    ] {
        let server = Server::start(move |_, _| Reply::Last(reply.clone())).await;
        assert_eq!(failure(&api(&server), &start()).await, expected);
        assert_eq!(server.lines().len(), 1, "{expected}");
    }
}

#[tokio::test]
async fn a_long_answer_within_the_bound_is_read() {
    let server = Server::start(|_, _| data(&format!("\"{}\"", "a".repeat(4 * 1024 * 1024)))).await;
    let data = api(&server).send(&version()).await.unwrap();
    assert_eq!(data.as_str().map(str::len), Some(4 * 1024 * 1024));
}

#[tokio::test]
async fn only_trusted_servers_are_asked() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("ca.pem");
    let other = "11:".repeat(31) + "11";
    for (name, until, trust, expected) in [
        (
            "127.0.0.1",
            2100,
            Trust::System,
            "api_untrusted 7: nobody trusted here has signed the certificate of 127.0.0.1:PORT: pin its fingerprint, or name the ca_file",
        ),
        (
            "127.0.0.1",
            2021,
            Trust::CaFile(file.clone()),
            "api_untrusted 7: the certificate of 127.0.0.1:PORT has expired",
        ),
        (
            "pve9.example.com",
            2100,
            Trust::CaFile(file.clone()),
            "api_untrusted 7: the certificate of 127.0.0.1:PORT is for another name",
        ),
        (
            "127.0.0.1",
            2100,
            Trust::Fingerprint(other.parse().unwrap()),
            "api_untrusted 7: the certificate of 127.0.0.1:PORT has another fingerprint: FINGERPRINT",
        ),
        ("127.0.0.1", 2100, Trust::CaFile(file.clone()), "\"8.4.1\""),
    ] {
        let certificate = Certificate::new(name, until);
        std::fs::write(&file, &certificate.authority).unwrap();
        let server = Server::with(certificate, |_, _| data("\"8.4.1\"")).await;
        let mut config = config(&server);
        config.trust = trust;
        let found = match Api::new(config).unwrap().send(&start()).await {
            Ok(data) => data.to_string(),
            Err(error) => shown(&error).replace(&server.certificate.fingerprint(), "FINGERPRINT"),
        };
        assert_eq!(found, expected);
        let asked = usize::from(expected.starts_with('"'));
        assert_eq!((server.lines().len(), server.connections()), (asked, 1), "{expected}");
    }
}

#[tokio::test]
async fn a_pinned_certificate_may_have_expired_or_be_for_another_name() {
    let server = Server::with(Certificate::new("pve9.example.com", 2021), |_, _| data("1")).await;
    assert_eq!(api(&server).send(&version()).await.unwrap(), 1);
}

#[tokio::test]
async fn ports_where_no_api_is() {
    let plain = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    let heard = Arc::new(Mutex::new(Vec::new()));
    let bytes = Arc::clone(&heard);
    let task = tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        while let Ok((mut stream, _)) = plain.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            bytes.lock().unwrap().push(());
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
        }
    });
    let at = |host: Host| Api::new(ApiConfig::new(vec![host], token())).unwrap();
    assert_eq!(
        failure(&at(host(address)), &start()).await,
        "api_untrusted 7: 127.0.0.1:PORT does not speak TLS; is it a port of plain HTTP?"
    );
    assert_eq!(heard.lock().unwrap().len(), 1);
    task.abort();
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    assert_eq!(
        failure(&at(host(closed)), &start()).await,
        "api_unreachable 7: cannot connect to 127.0.0.1:PORT: Connection refused"
    );
    // It takes the connection and closes it before there is TLS.
    let shy = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = shy.local_addr().unwrap();
    let task = tokio::spawn(async move {
        while let Ok((stream, _)) = shy.accept().await {
            drop(stream);
        }
    });
    let text = failure(&at(host(address)), &start()).await;
    assert!(text.starts_with("api_unreachable 7: cannot connect to 127.0.0.1:PORT: "), "{text}");
    task.abort();
    // Nobody answers at all; the kernel takes the connections.
    let deaf = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let mut config = ApiConfig::new(vec![host(deaf.local_addr().unwrap())], token());
    config.connect_timeout = Duration::from_millis(100);
    assert_eq!(
        failure(&Api::new(config).unwrap(), &start()).await,
        "api_unreachable 7: cannot connect to 127.0.0.1:PORT: no answer"
    );
}

#[tokio::test]
async fn the_next_host_is_asked_when_nothing_was_sent() {
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let server = Server::start(|_, _| data("1")).await;
    let mut config = config(&server);
    config.hosts.insert(0, host(closed));
    let api = Api::new(config).unwrap();
    assert_eq!(api.send(&start()).await.unwrap(), 1);
    assert_eq!(api.send(&version()).await.unwrap(), 1);
    assert_eq!(server.lines(), ["POST /api2/json/nodes/pve1/lxc/101/status/start", "GET /api2/json/version"]);
}

#[tokio::test]
async fn an_untrusted_host_ends_the_search() {
    let (first, second) = (Server::start(|_, _| data("1")).await, Server::start(|_, _| data("2")).await);
    let mut config = config(&second);
    config.hosts.insert(0, first.host());
    let text = failure(&Api::new(config).unwrap(), &version()).await;
    assert!(
        text.starts_with("api_untrusted 7: the certificate of 127.0.0.1:PORT has another fingerprint"),
        "{text}"
    );
    assert_eq!((first.lines().len(), second.lines().len()), (0, 0));
}

#[tokio::test]
async fn reads_are_repeated_and_changes_are_not() {
    let flaky = || Server::start(|_, before| if before < 2 { Reply::Close } else { data("1") });
    let server = flaky().await;
    assert_eq!(api(&server).send(&version()).await.unwrap(), 1);
    assert_eq!(server.lines().len(), 3);
    for method in [Method::Post, Method::Put, Method::Delete] {
        let server = flaky().await;
        let text = failure(&api(&server), &Request::new(method, "/nodes/pve1/lxc/101")).await;
        assert_eq!(
            text,
            "connection_lost 7: the connection to '127.0.0.1:PORT' was lost: the server closed it without an answer; \
             the command may have run"
        );
        assert_eq!(server.lines().len(), 1, "{method:?}");
    }
    // A change is not tried at the next host either, when it may have run.
    let (first, second) = (flaky().await, Server::start(|_, _| data("2")).await);
    let mut both = config(&first);
    both.trust = Trust::CaFile(bundle(&[&first, &second]));
    both.hosts.push(second.host());
    let api = Api::new(both).unwrap();
    assert!(failure(&api, &start()).await.ends_with("; the command may have run"));
    assert_eq!(second.lines().len(), 0);
    assert_eq!(api.send(&version()).await.unwrap(), 2);
}

/// A file with the authorities of several servers; the directory stays until the test's process ends.
fn bundle(servers: &[&Server]) -> std::path::PathBuf {
    let dir = tempfile::tempdir().unwrap().keep();
    let file = dir.join("ca.pem");
    let text: String = servers.iter().map(|server| server.certificate.authority.clone()).collect();
    std::fs::write(&file, text).unwrap();
    file
}

#[tokio::test]
async fn no_change_is_sent_on_a_kept_connection() {
    // The server closes each connection after its first answer without saying so before.
    let server = Server::start(|_, _| match data("1") {
        Reply::Text(text) => Reply::Last(text),
        other => other,
    })
    .await;
    let api = api(&server);
    for _ in 0..20 {
        assert_eq!(api.send(&version()).await.unwrap(), 1);
        assert_eq!(api.send(&start()).await.unwrap(), 1);
    }
    let starts = server.lines().iter().filter(|line| line.starts_with("POST")).count();
    assert_eq!(starts, 20);
    // Reads share a connection where the server keeps it.
    let server = Server::start(|_, _| data("1")).await;
    let api = self::api(&server);
    for _ in 0..5 {
        api.send(&version()).await.unwrap();
    }
    assert_eq!(server.connections(), 1);
    for _ in 0..5 {
        api.send(&start()).await.unwrap();
    }
    assert_eq!(server.connections(), 6);
}

#[tokio::test]
async fn slow_answers_end_at_the_limit() {
    let server = Server::start(|_, _| Reply::Silence(Duration::from_secs(60))).await;
    let mut config = config(&server);
    config.timeout = Some(Duration::from_millis(200));
    let api = Api::new(config).unwrap();
    assert_eq!(
        failure(&api, &version()).await,
        "pct_timeout 6: 127.0.0.1:PORT took the request and did not answer in time"
    );
    assert_eq!(
        failure(&api, &start()).await,
        "pct_timeout 6: 127.0.0.1:PORT took the request and did not answer in time; it may have run, and may still"
    );
    assert_eq!(server.lines().len(), 2);
}

mod login;
mod tasks;
