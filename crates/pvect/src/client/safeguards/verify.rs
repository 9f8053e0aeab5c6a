//! Whether a copy is whole: both sides are read.

use std::io;
use std::path::{Path, PathBuf};

use pvect_core::{Call, Error, Result, Verb, Vmid};

use super::fingerprint::{Fingerprint, Found, of_file};
use super::outside::Outside;
use crate::Client;

/// Reads a file of this machine in the background.
pub(super) async fn of_local(path: &Path) -> Result<Fingerprint> {
    let owned = path.to_owned();
    let read = tokio::task::spawn_blocking(move || of_file(&owned)).await;
    read.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(|source| Error::Io {
        what: format!("cannot read '{}' to verify the copy", path.display()),
        source,
    })
}

/// Checks a path of a container before it is copied: from outside if possible, or else by the container's own
/// sha256sum.
pub(super) async fn look(client: &Client, vmid: Vmid, path: &str) -> Result<Found> {
    let path = absolute(path);
    match Outside::of(client, vmid) {
        Some(outside) => outside.look(client, vmid, Path::new(&path)).await,
        None => ask(client, vmid, &path).await,
    }
}

/// pct takes every path as relative to the container's root.
fn absolute(path: &str) -> String {
    format!("/{}", path.trim_start_matches('/'))
}

/// Asks the container's own sha256sum, because there is no other way. It runs in a session without a terminal.
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

/// Whether a file of a container is the same as the one here, by reading both from here. `false` also when that could
/// not be determined: [`of_local`] and [`of_guest`] then say what each is.
pub(super) async fn is_same(client: &Client, vmid: Vmid, path: &str, here: &Path) -> Result<bool> {
    let (Some(outside), Ok(here)) = (Outside::of(client, vmid), std::fs::File::open(here)) else {
        return Ok(false);
    };
    outside.is_same(client, vmid, Path::new(&absolute(path)), here).await
}

/// Reads a file of a container that should match the one here: from outside, or else by the container's own sha256sum,
/// or by pulling it if there is none.
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
}
