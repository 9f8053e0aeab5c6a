//! Whether a copy is whole: size and SHA-256 of both sides.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use pvect_core::{Call, Error, Result, Verb, Vmid};
use sha2::{Digest, Sha256};

use super::outside::Outside;
use crate::Client;

/// What two equal files have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Fingerprint {
    /// The size in bytes; unknown where only a hash was computed.
    pub size: Option<u64>,
    /// SHA-256, lower-case hex; empty where the size told enough.
    pub sha256: String,
}

impl Fingerprint {
    /// Whether both can be those of one content.
    pub(super) fn fits(&self, other: &Self) -> bool {
        let sizes = self.size.zip(other.size);
        self.sha256 == other.sha256 && sizes.is_none_or(|(one, two)| one == two)
    }
}

/// Shows size and hash.
impl std::fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.size {
            Some(size) if self.sha256.is_empty() => write!(f, "{size} bytes"),
            Some(size) => write!(f, "{size} bytes, sha256 {}", self.sha256),
            None => write!(f, "sha256 {}", self.sha256),
        }
    }
}

/// Hashes what goes through.
pub(super) struct Hashing<R> {
    inner: R,
    hash: Sha256,
    size: u64,
}

impl<R> Hashing<R> {
    pub(super) fn new(inner: R) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }

    pub(super) fn finish(self) -> Fingerprint {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Fingerprint { size: Some(self.size), sha256 }
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.hash.update(&buffer[..count]);
        self.size += count as u64;
        Ok(count)
    }
}

/// Reads a file of this machine. It blocks.
pub(super) fn of_file(path: &Path) -> io::Result<Fingerprint> {
    of_open(File::open(path)?)
}

/// Reads an open file to its end. It blocks.
pub(super) fn of_open(file: File) -> io::Result<Fingerprint> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    of_reader(file)
}

/// Reads to the end. It blocks.
pub(super) fn of_reader(reader: impl Read) -> io::Result<Fingerprint> {
    let mut reader = Hashing::new(reader);
    let mut buffer = vec![0; 1 << 20];
    while reader.read(&mut buffer)? > 0 {}
    Ok(reader.finish())
}

/// Reads a file of this machine beside other work.
pub(super) async fn of_local(path: &Path) -> Result<Fingerprint> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || of_file(&owned)).await;
    read.map_err(io::Error::other).flatten().map_err(|source| Error::Io {
        what: format!("cannot read '{}' to verify the copy", path.display()),
        source,
    })
}

/// What is at a path of a container.
#[derive(Debug)]
pub(super) enum Found {
    /// A file with this content.
    File(Fingerprint),
    /// A file that was not read.
    Unread,
    /// A directory.
    Directory,
    /// Nothing.
    Nothing,
    /// It cannot be read: a device, a pipe, or the container has no program to look with.
    Unknown,
}

/// Looks at a path of a container before it is copied: from outside what is there, else its content by its own
/// sha256sum.
pub(super) async fn look(client: &Client, vmid: Vmid, path: &str) -> Result<Found> {
    let path = absolute(path);
    match Outside::of(client, vmid) {
        Some(outside) => outside.look(client, vmid, Path::new(&path)).await,
        None => ask(client, vmid, &path).await,
    }
}

/// pct takes every path as one from the container's root.
fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

/// Has the container's own sha256sum look, for want of another way. Its session has no terminal.
async fn ask(client: &Client, vmid: Vmid, path: &str) -> Result<Found> {
    let ran = client.exec(vmid, ["sha256sum", path], None).await?;
    if ran.status == 0 {
        let found = hash_of(&ran.stdout).map(|sha256| Found::File(Fingerprint { size: None, sha256 }));
        return Ok(found.unwrap_or(Found::Unknown));
    }
    let said = String::from_utf8_lossy(&ran.stderr);
    Ok(match said.trim_end() {
        _ if ran.status != 1 => Found::Unknown,
        text if text.ends_with("Is a directory") => Found::Directory,
        text if text.ends_with("No such file or directory") => Found::Nothing,
        _ => Found::Unknown,
    })
}

/// Whether a file of a container is the same as the one here, by reading both from here. `false` also where that was not
/// seen: [`of_local`] and [`of_guest`] tell then what each is.
pub(super) async fn is_same(client: &Client, vmid: Vmid, path: &str, here: &Path) -> Result<bool> {
    let (Some(outside), Ok(here)) = (Outside::of(client, vmid), File::open(here)) else { return Ok(false) };
    outside.is_same(client, vmid, Path::new(&absolute(path)), here).await
}

/// Reads a file of a container that should be as the one here: from outside, else by its own sha256sum, or by pulling
/// it where there is none.
pub(super) async fn of_guest(
    client: &Client,
    vmid: Vmid,
    path: &str,
    here: &Fingerprint,
) -> Result<Fingerprint> {
    let whole = absolute(path);
    let found = match Outside::of(client, vmid) {
        Some(outside) => outside.read(client, vmid, Path::new(&whole), here.size.unwrap_or(u64::MAX)).await?,
        None => ask(client, vmid, &whole).await?,
    };
    if let Found::File(content) = found {
        return Ok(content);
    }
    let dir = tempfile::tempdir().map_err(|source| Error::Io {
        what: "cannot make a directory to verify the copy".to_owned(),
        source,
    })?;
    let back: PathBuf = dir.path().join("copy");
    let call = Call::on(Verb::Pull, vmid).arg(path).arg(back.to_string_lossy());
    client.plain(&client.checked(call)?, &mut ()).await?;
    of_local(&back).await
}

/// The hash in what sha256sum printed; a backslash before it says that the name is quoted.
fn hash_of(stdout: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(stdout);
    let word = text.trim_start_matches('\\').split([' ', '\t', '\n']).next()?;
    let whole = word.len() == 64 && word.bytes().all(|b| b.is_ascii_hexdigit());
    whole.then(|| word.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_found_in_every_form() {
        let hash = "a".repeat(64);
        for text in
            [format!("{hash}  /x\n"), format!("\\{hash}  /x\\n\n"), format!("{hash} */x\n"), hash.clone()]
        {
            assert_eq!(hash_of(text.as_bytes()).as_deref(), Some(hash.as_str()), "{text}");
        }
        for text in ["", "abc  /x", "sha256sum: /x: No such file"] {
            assert_eq!(hash_of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn fingerprints_differ_in_size_or_hash() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let found = of_file(&path).unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(found, Fingerprint { size: Some(3), sha256: abc.to_owned() });
        assert!(found.fits(&Fingerprint { size: None, sha256: abc.to_owned() }));
        assert!(!found.fits(&Fingerprint { size: Some(4), sha256: abc.to_owned() }));
        assert!(!found.fits(&Fingerprint { size: None, sha256: "0".repeat(64) }));
    }
}
