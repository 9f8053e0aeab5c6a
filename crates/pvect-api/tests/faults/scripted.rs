//! A server of HTTPS that answers as a test says, and counts what it is asked.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pvect_api::Host;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest, Sha256};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

/// A request as the server saw it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// `GET /api2/json/version`, without the query.
    pub line: String,
    /// The head, as it came.
    pub head: String,
    /// The body.
    pub body: String,
}

/// What the server does with a request.
pub enum Reply {
    /// This text, and the connection stays open.
    Text(String),
    /// This text, then the connection is closed.
    Last(String),
    /// The connection is closed without a word.
    Close,
    /// Nothing comes for this long.
    Silence(Duration),
    /// The head, then a byte of a long body each time.
    Drip(Duration),
}

/// An answer of the API with data.
pub fn data(json: &str) -> Reply {
    status(200, "OK", &format!(r#"{{"data":{json}}}"#))
}

/// Any answer with a length.
pub fn status(code: u16, reason: &str, body: &str) -> Reply {
    let length = body.len();
    Reply::Text(format!(
        "HTTP/1.1 {code} {reason}\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: {length}\r\n\r\n{body}"
    ))
}

/// Certificates for a test.
pub struct Certificate {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    /// The authority that signed it, as PEM.
    pub authority: String,
}

impl Certificate {
    /// Makes a certificate for a name, signed by an authority of its own, good until the given year.
    pub fn new(name: &str, until: i32) -> Self {
        let authority_key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let authority = params.self_signed(&authority_key).unwrap().pem();
        let issuer = Issuer::new(params, authority_key);
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &issuer).unwrap();
        Self {
            chain: vec![certificate.der().clone()],
            key: PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            authority,
        }
    }

    /// Its fingerprint, as people write it.
    pub fn fingerprint(&self) -> String {
        let digest = Sha256::digest(self.chain[0].as_ref());
        digest.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
    }
}

type Answers = dyn Fn(&Asked, usize) -> Reply + Send + Sync;

/// The server. It ends when it is dropped.
pub struct Server {
    pub address: SocketAddr,
    pub certificate: Arc<Certificate>,
    asked: Arc<Mutex<Vec<Asked>>>,
    /// How many connections came, handshake or not.
    connections: Arc<Mutex<usize>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// Starts a server for `127.0.0.1` on a free port. `answer` is given the request and how many came before it.
    pub async fn start(answer: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static) -> Self {
        Self::with(Certificate::new("127.0.0.1", 2100), answer).await
    }

    /// As [`Server::start`], with a certificate.
    pub async fn with(
        certificate: Certificate,
        answer: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::at("127.0.0.1:0".parse().unwrap(), Arc::new(certificate), answer).await
    }

    /// Starts a server at an address.
    pub async fn at(
        address: SocketAddr,
        certificate: Arc<Certificate>,
        answer: impl Fn(&Asked, usize) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).await.unwrap();
        let address = listener.local_addr().unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificate.chain.clone(), certificate.key.clone_key())
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let connections = Arc::new(Mutex::new(0));
        let (answer, heard, counted): (Arc<Answers>, _, _) =
            (Arc::new(answer), Arc::clone(&asked), Arc::clone(&connections));
        let task = tokio::spawn(async move {
            let mut served = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                *counted.lock().unwrap() += 1;
                let (acceptor, answer, heard) = (acceptor.clone(), Arc::clone(&answer), Arc::clone(&heard));
                served.spawn(async move {
                    if let Ok(mut stream) = acceptor.accept(stream).await {
                        serve(&mut stream, &*answer, &heard).await;
                    }
                });
            }
        });
        Self { address, certificate, asked, connections, task }
    }

    /// The host, for a client.
    pub fn host(&self) -> Host {
        host(self.address)
    }

    /// What was asked so far: methods and paths.
    pub fn lines(&self) -> Vec<String> {
        self.asked.lock().unwrap().iter().map(|asked| asked.line.clone()).collect()
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> usize {
        *self.connections.lock().unwrap()
    }

    /// Kills the server: its port and all of its connections are closed.
    pub async fn kill(self) -> (SocketAddr, Arc<Certificate>) {
        self.task.abort();
        while !self.task.is_finished() {
            tokio::task::yield_now().await;
        }
        (self.address, Arc::clone(&self.certificate))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The host of an address.
pub fn host(address: SocketAddr) -> Host {
    Host { name: address.ip().to_string(), port: address.port() }
}

async fn serve<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    answer: &Answers,
    heard: &Mutex<Vec<Asked>>,
) {
    while let Some(asked) = read(stream).await {
        let before = {
            let mut heard = heard.lock().unwrap();
            heard.push(asked.clone());
            heard.len() - 1
        };
        match answer(&asked, before) {
            Reply::Text(text) => {
                if stream.write_all(text.as_bytes()).await.is_err() || stream.flush().await.is_err() {
                    return;
                }
            }
            Reply::Last(text) => {
                let _ = stream.write_all(text.as_bytes()).await;
                let _ = stream.shutdown().await;
                return;
            }
            Reply::Close => return,
            Reply::Silence(time) => tokio::time::sleep(time).await,
            Reply::Drip(pause) => {
                let head =
                    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n";
                let mut sent = stream.write_all(head.as_bytes()).await;
                while sent.is_ok() {
                    tokio::time::sleep(pause).await;
                    sent = stream.write_all(b" ").await.and(stream.flush().await);
                }
                return;
            }
        }
    }
}

async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> Option<Asked> {
    let mut bytes = Vec::new();
    let head = loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            break end + 4;
        }
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    };
    let text = String::from_utf8(bytes[..head].to_vec()).unwrap();
    let length = text
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.trim().parse().ok())
        .unwrap_or(0);
    while bytes.len() < head + length {
        if stream.read_buf(&mut bytes).await.ok()? == 0 {
            return None;
        }
    }
    let line = text.lines().next().unwrap_or_default().trim_end_matches(" HTTP/1.1");
    let line = line.split('?').next().unwrap_or_default().to_owned();
    Some(Asked { line, head: text, body: String::from_utf8(bytes[head..].to_vec()).unwrap() })
}
