//! Images made in memory, and a registry of the test's own.

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pvect_image::{
    Algorithm, Credentials, Digest, Event, ImageError, Pull, Pulled, Reference, Registries, Rules, Store,
    platform,
};

pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub fn digest(bytes: &[u8]) -> String {
    Digest::of(Algorithm::Sha256, bytes).to_string()
}

/// An index of manifests: bytes, architecture, media type.
pub fn index_of(manifests: &[(&Vec<u8>, &str, &str)]) -> Vec<u8> {
    let list: Vec<serde_json::Value> = manifests
        .iter()
        .map(|(bytes, architecture, media_type)| {
            serde_json::json!({
                "mediaType": media_type,
                "digest": digest(bytes),
                "size": bytes.len(),
                "platform": { "architecture": architecture, "os": "linux" },
            })
        })
        .collect();
    serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": list }).to_string().into_bytes()
}

/// An image whose layers are any bytes.
#[derive(Clone)]
pub struct Image {
    pub manifest: Vec<u8>,
    pub digest: String,
    pub layers: Vec<String>,
    pub blobs: Vec<Vec<u8>>,
}

impl Image {
    pub fn new(layers: &[&[u8]]) -> Self {
        Self::of("amd64", layers)
    }

    pub fn of(architecture: &str, layers: &[&[u8]]) -> Self {
        let config =
            serde_json::json!({ "architecture": architecture, "os": "linux", "config": { "Cmd": ["sh"] } });
        let config = config.to_string().into_bytes();
        let descriptor = |kind: &str, bytes: &[u8]| serde_json::json!({ "mediaType": kind, "digest": digest(bytes), "size": bytes.len() });
        let listed: Vec<serde_json::Value> =
            layers.iter().map(|bytes| descriptor("application/vnd.oci.image.layer.v1.tar", bytes)).collect();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": listed,
        });
        let manifest = manifest.to_string().into_bytes();
        let mut blobs = vec![config];
        blobs.extend(layers.iter().map(|bytes| bytes.to_vec()));
        let layers = layers.iter().map(|bytes| digest(bytes)).collect();
        Self { digest: digest(&manifest), manifest, layers, blobs }
    }

    pub fn answer_manifest(&self) -> Answer {
        Answer { media_type: MANIFEST, ..Answer::ok(self.manifest.clone()) }
    }

    /// What an honest registry answers that has the image as `a/b:1`.
    pub fn answer(&self, asked: &Asked) -> Answer {
        let path = asked.path.as_str();
        if path.ends_with("/a/b/manifests/1") || path.ends_with(&format!("/manifests/{}", self.digest)) {
            return self.answer_manifest();
        }
        let Some(blob) = self.blobs.iter().find(|blob| path.ends_with(&format!("/blobs/{}", digest(blob))))
        else {
            return Answer { status: 404, ..Answer::ok(Vec::new()) };
        };
        match asked.range.and_then(|from| usize::try_from(from).ok()) {
            Some(from) if from < blob.len() => {
                let range = format!("Content-Range: bytes {from}-{}/{}", blob.len() - 1, blob.len());
                Answer { status: 206, headers: vec![range], ..Answer::ok(blob[from..].to_vec()) }
            }
            Some(_) => Answer { status: 416, ..Answer::ok(Vec::new()) },
            None => Answer::ok(blob.clone()),
        }
    }
}

/// A request.
#[derive(Debug, Clone)]
pub struct Asked {
    pub path: String,
    pub authorization: Option<String>,
    pub range: Option<u64>,
}

/// What is sent back.
#[derive(Debug, Clone)]
pub struct Answer {
    pub status: u16,
    pub media_type: &'static str,
    pub headers: Vec<String>,
    pub body: Vec<u8>,
    /// With a `Content-Length`; else the end of the connection is the end of the body.
    pub announced: bool,
    pub breaks_after: Option<usize>,
    pub drips: Option<Duration>,
    pub endless: bool,
}

impl Answer {
    pub fn ok(body: Vec<u8>) -> Self {
        Self {
            status: 200,
            media_type: "application/octet-stream",
            headers: Vec::new(),
            body,
            announced: true,
            breaks_after: None,
            drips: None,
            endless: false,
        }
    }

    pub fn redirect(target: &str) -> Self {
        Self { status: 307, headers: vec![format!("Location: {target}")], ..Self::ok(Vec::new()) }
    }

    pub fn unauthorized(challenge: &str) -> Self {
        Self { status: 401, headers: vec![format!("WWW-Authenticate: {challenge}")], ..Self::ok(Vec::new()) }
    }
}

/// A registry on loopback that answers as the test says. It does not speak TLS.
pub struct Hostile {
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Hostile {
    pub fn start(answer: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (answer, log) = (Arc::new(answer), Arc::clone(&asked));
        // It ends with the test.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, log) = (Arc::clone(&answer), Arc::clone(&log));
                std::thread::spawn(move || {
                    // Clients that go away are a part of the tests.
                    let _ = serve(stream, &*answer, &log);
                });
            }
        });
        Self { address, asked }
    }

    pub fn reference(&self, rest: &str) -> Reference {
        Reference::parse(&format!("{}/{rest}", self.address)).unwrap()
    }

    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// How many requests had this in their paths.
    pub fn count(&self, part: &str) -> usize {
        self.asked().iter().filter(|asked| asked.path.contains(part)).count()
    }
}

fn serve(
    mut stream: TcpStream,
    answer: &(dyn Fn(&Asked) -> Answer + Send + Sync),
    log: &Mutex<Vec<Asked>>,
) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut reader = BufReader::new(stream.try_clone()?.take(1 << 20));
    let mut bytes = Vec::new();
    reader.read_until(b'\n', &mut bytes)?;
    let line = String::from_utf8_lossy(&bytes).into_owned();
    if !line.contains("HTTP/1") {
        return stream.write_all(b"HTTP/1.0 400 Bad Request\r\n\r\n");
    }
    let mut asked = Asked {
        path: line.split(' ').nth(1).unwrap_or_default().to_owned(),
        authorization: None,
        range: None,
    };
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line.trim().is_empty() {
            break;
        }
        let (name, value) = line.trim().split_once(": ").unwrap_or_default();
        match name.to_ascii_lowercase().as_str() {
            "authorization" => asked.authorization = Some(value.to_owned()),
            "range" => {
                asked.range = value.trim_start_matches("bytes=").trim_end_matches('-').parse().ok();
            }
            _ => {}
        }
    }
    log.lock().unwrap().push(asked.clone());
    send(&mut stream, &answer(&asked))
}

fn send(stream: &mut TcpStream, answer: &Answer) -> std::io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {} X\r\nConnection: close\r\nContent-Type: {}\r\n",
        answer.status, answer.media_type
    );
    for header in &answer.headers {
        head += &format!("{header}\r\n");
    }
    if answer.announced && !answer.endless {
        head += &format!("Content-Length: {}\r\n", answer.body.len());
    }
    stream.write_all((head + "\r\n").as_bytes())?;
    if answer.endless {
        loop {
            stream.write_all(&[b' '; 65536])?;
        }
    }
    if let Some(pause) = answer.drips {
        for byte in &answer.body {
            stream.write_all(&[*byte])?;
            std::thread::sleep(pause);
        }
    }
    let end = answer.breaks_after.unwrap_or(answer.body.len()).min(answer.body.len());
    stream.write_all(&answer.body[..end])
}

/// A store of the test's own, and how is pulled into it.
pub struct Setup {
    _directory: tempfile::TempDir,
    pub store: Store,
    pub registries: Registries,
    pub rules: Rules,
    pub credentials: Option<Credentials>,
    pub arch: &'static str,
    pub warnings: Mutex<Vec<String>>,
}

impl Setup {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            store: Store::new(directory.path().join("images")),
            _directory: directory,
            registries: Registries::default(),
            rules: Rules::default(),
            credentials: None,
            arch: "amd64",
            warnings: Mutex::new(Vec::new()),
        }
    }

    /// Pulls; what was pulled is in the store, whole.
    pub fn pull(&self, reference: &Reference) -> Result<Pulled, ImageError> {
        let platform = platform(self.arch).unwrap();
        let pull = Pull {
            store: &self.store,
            registries: &self.registries,
            rules: &self.rules,
            credentials: &|_| Ok(self.credentials.clone()),
            platform: &platform,
            events: &|event| {
                if let Event::Warning(text) = event {
                    self.warnings.lock().unwrap().push(text.to_owned());
                }
            },
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let pulled = runtime.block_on(pull.run(reference, 7))?;
        let details = self.store.inspect(reference).unwrap();
        assert_eq!(details.image.digest, pulled.digest);
        for (digest, size) in &details.layers {
            let path = self.store.root().join("blobs").join(digest.algorithm().as_str()).join(digest.hex());
            let bytes = std::fs::read(path).unwrap();
            assert_eq!((Digest::of(digest.algorithm(), &bytes), bytes.len() as u64), (digest.clone(), *size));
        }
        Ok(pulled)
    }
}
