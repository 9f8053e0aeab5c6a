//! A real registry: Debian's docker-registry on loopback; plain, with a password, with TLS.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod common;

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use common::{Image, Setup};
use pvect_image::{Credentials, ImageError, Reference};

/// What htpasswd(1) writes for `hunter22` with bcrypt, the only hash that the registry takes.
const USER: &str = "user:$2y$05$UmFe5G.0wrzl96KOL5PXO.H8uPk7EBj2Uuo3OYsDDAV1vtBO3dhsy";

struct Registry {
    child: Child,
    directory: tempfile::TempDir,
    port: u16,
}

impl Registry {
    /// Starts one with an image in it; `None`, with a line that says so, where the program is not installed.
    fn start(image: &Image, more: impl Fn(&Path) -> String) -> Option<Self> {
        if Command::new("docker-registry").arg("--version").stdout(Stdio::null()).status().is_err() {
            let _ = writeln!(std::io::stderr(), "skipped: docker-registry is not installed");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        lay(directory.path(), image);
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let configuration = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: '{0}'}}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n{1}",
            directory.path().display(),
            more(directory.path()),
        );
        let file = directory.path().join("config.yml");
        std::fs::write(&file, configuration).unwrap();
        let log = std::fs::File::create(directory.path().join("log")).unwrap();
        let mut command = Command::new("docker-registry");
        command.arg("serve").arg(&file).stdout(Stdio::null()).stderr(log);
        let mut registry = Self { child: command.spawn().unwrap(), directory, port };
        for _ in 0..600 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(registry);
            }
            assert!(registry.child.try_wait().unwrap().is_none(), "{}", registry.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("the registry does not listen: {}", registry.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    fn reference(&self, rest: &str) -> Reference {
        Reference::parse(&format!("127.0.0.1:{}/{rest}", self.port)).unwrap()
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Puts an image where the registry keeps them, as `a/b:1`.
fn lay(root: &Path, image: &Image) {
    let base = root.join("docker/registry/v2");
    let write = |path: &str, bytes: &[u8]| {
        let path = base.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let hex = |digest: &str| digest.trim_start_matches("sha256:").to_owned();
    for bytes in image.blobs.iter().chain([&image.manifest]) {
        let digest = common::digest(bytes);
        let hex = hex(&digest);
        write(&format!("blobs/sha256/{}/{hex}/data", &hex[..2]), bytes);
        write(&format!("repositories/a/b/_layers/sha256/{hex}/link"), digest.as_bytes());
    }
    let (digest, hex) = (image.digest.as_bytes(), hex(&image.digest));
    write(&format!("repositories/a/b/_manifests/revisions/sha256/{hex}/link"), digest);
    write("repositories/a/b/_manifests/tags/1/current/link", digest);
    write(&format!("repositories/a/b/_manifests/tags/1/index/sha256/{hex}/link"), digest);
}

fn with_password(directory: &Path) -> String {
    let file = directory.join("htpasswd");
    std::fs::write(&file, USER).unwrap();
    format!("auth: {{htpasswd: {{realm: r, path: '{}'}}}}\n", file.display())
}

fn credentials(password: &str) -> Option<Credentials> {
    Some(Credentials::Password { username: "user".to_owned(), password: password.to_owned().into() })
}

#[test]
fn an_image_is_pulled_by_tag_and_by_digest() {
    let layer = vec![7; 3_000_000];
    let image = Image::new(&[&layer, b"two"]);
    let Some(registry) = Registry::start(&image, |_| String::new()) else { return };
    let setup = Setup::new();
    let pulled = setup.pull(&registry.reference("a/b:1")).unwrap();
    assert_eq!(pulled.digest.to_string(), image.digest);
    setup.pull(&registry.reference(&format!("a/b@{}", image.digest))).unwrap();
    let error = setup.pull(&registry.reference("a/b:2")).unwrap_err();
    assert!(matches!(error, ImageError::NotFound(_)), "{error}");
    let partial = setup.store.root().join("partial").join(image.layers[0].replace(':', "-"));
    std::fs::remove_file(setup.store.root().join("blobs").join(image.layers[0].replace(':', "/"))).unwrap();
    std::fs::write(&partial, &layer[..1_000_000]).unwrap();
    setup.pull(&registry.reference("a/b:1")).unwrap();
}

#[test]
fn a_password_is_wanted_and_checked() {
    let image = Image::new(&[b"layer"]);
    let Some(registry) = Registry::start(&image, with_password) else { return };
    let mut setup = Setup::new();
    for wrong in [None, credentials("other")] {
        setup.credentials = wrong;
        let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
        assert!(matches!(error, ImageError::Denied(_)), "{error}");
    }
    setup.credentials = credentials("hunter22");
    setup.pull(&registry.reference("a/b:1")).unwrap();
}

#[test]
fn a_certificate_counts_on_this_machine_too() {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    let image = Image::new(&[b"layer"]);
    let started = Registry::start(&image, |directory| {
        std::fs::write(directory.join("cert.pem"), &certificate).unwrap();
        std::fs::write(directory.join("key.pem"), &key).unwrap();
        let path = directory.display();
        let tls = format!("  tls: {{certificate: '{path}/cert.pem', key: '{path}/key.pem'}}\n");
        tls + &with_password(directory)
    });
    let Some(registry) = started else { return };
    let mut setup = Setup::new();
    setup.credentials = credentials("hunter22");
    let error = setup.pull(&registry.reference("a/b:1")).unwrap_err();
    assert!(matches!(error, ImageError::Untrusted(_)), "{error}");
    setup.rules.ca_file = Some(registry.directory.path().join("cert.pem"));
    setup.pull(&registry.reference("a/b:1")).unwrap();
}
