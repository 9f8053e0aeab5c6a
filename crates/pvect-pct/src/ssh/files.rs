//! Helpers at the other end: its process table, signals, files on their way.

use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::connection::helper::Helped;
use super::{Connection, Frame, Log, nonce};

// What the scripts write is between marks; see `Frame`.

/// Every process with its stat file. The name in a stat file may contain anything but NUL, so NUL ends a record; and
/// the process id is taken from the path, because a container chooses its processes' names.
const TABLE: &str = r#"cd /proc && exec grep -Hz '' [0-9]*/stat 2>/dev/null"#;
/// Sends a signal; it is not a failure if a process is gone.
const SIGNAL: &str = r#"kill -s "$@" 2>/dev/null; exit 0"#;
/// Makes a directory of its own and writes stdin into a file there; prints the directory's name and the file's hash.
const RECEIVE: &str = r#"umask 077
dir=$(mktemp -d /tmp/pvect.XXXXXXXXXX) || exit 1
if cat >"$dir/file" && chmod "$1" "$dir/file" && hash=$(sha256sum <"$dir/file"); then printf '%s %s' "$dir" "${hash%% *}"
else rm -rf "$dir"; exit 1; fi"#;
/// Makes a directory of its own and prints its name.
const DIRECTORY: &str = r#"umask 077
mktemp -d /tmp/pvect.XXXXXXXXXX | tr -d '\n'"#;
/// Prints hash, mode and length of the file in the directory.
const MEASURE: &str = r#"hash=$(sha256sum <"$1/file") || exit 1
printf '%s %s' "${hash%% *}" "$(stat -c '%a %s' "$1/file")""#;
/// Sends the file.
const SEND: &str = r#"exec cat "$1/file""#;
/// Removes such directories, and nothing that is not one.
const REMOVE: &str =
    r#"for dir in "$@"; do case $dir in /tmp/pvect.??????????) rm -rf -- "$dir" ;; esac; done"#;

/// Prints the files of containers and virtual machines, and the bounds for new ids. A pattern without matches is
/// printed as it is, and is ignored because it is not a number.
const CLUSTER: &str = r#"cd "$1" 2>/dev/null || exit 0
printf '%s\n' nodes/*/lxc/*.conf nodes/*/qemu-server/*.conf
grep -h '^next-id:' datacenter.cfg 2>/dev/null
exit 0"#;

/// Why a file is not where it should be.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// The connection failed.
    Lost(String),
    /// The other side, or this one, could not do it.
    Failed(String),
    /// The other side's answer makes no sense.
    Invalid(String),
}

/// A file to be sent: a regular file on this side.
pub(crate) struct Parcel {
    file: File,
    mode: u32,
    hash: String,
}

impl Parcel {
    /// Opens the file and computes its hash; blocks for as long as that takes.
    ///
    /// # Errors
    /// When it cannot be read or is not a regular file.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let data = file.metadata()?;
        if !data.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        let hash = sha256(&mut file)?;
        file.rewind()?;
        Ok(Self { file, mode: data.mode() & 0o7777, hash })
    }
}

/// Returns the SHA-256 of what is left to read, in lower-case hex.
pub(crate) fn sha256(from: &mut impl Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 256 << 10];
    loop {
        match from.read(&mut buffer)? {
            0 => return Ok(hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()),
            count => hash.update(&buffer[..count]),
        }
    }
}

impl Connection {
    /// Reads the process table of the other side: records `PID/stat:TEXT`, each ended by NUL.
    pub(crate) async fn process_table(&self) -> Option<Vec<u8>> {
        let helped = self.help(TABLE, &[], Stdio::null()).await?;
        (!helped.stdout.is_empty()).then_some(helped.stdout)
    }

    /// Sends a signal to processes of the other side. Returns whether it could be sent.
    pub(crate) async fn signal(&self, name: &str, pids: &[i32]) -> bool {
        let words: Vec<String> =
            std::iter::once(name.to_owned()).chain(pids.iter().map(ToString::to_string)).collect();
        self.help(SIGNAL, &words, Stdio::null()).await.is_some_and(|helped| helped.status == Some(0))
    }

    /// Asks pct to end, without waiting for it; for a caller that is ending itself.
    pub(crate) fn signal_blindly(&self, name: &str, pid: i32) {
        self.blindly(SIGNAL, &[name.to_owned(), pid.to_string()]);
    }

    fn blindly(&self, script: &str, args: &[String]) {
        let Ok(log) = Log::new() else { return };
        let mut command = self.helper(&log, "-", script, args);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if let Ok(mut child) = command.spawn() {
            // It ends by itself; the thread only reaps it, and keeps the log's file open until then.
            std::thread::spawn(move || child.wait().map(|_| drop(log)));
        }
    }

    /// Copies a file into a directory of its own at the other side and returns the directory. The file there is called
    /// `file`, and its hash was compared.
    pub(crate) async fn send(&self, parcel: Parcel, limit: Duration) -> Result<String, Trouble> {
        let words = [format!("{:o}", parcel.mode)];
        let helped = self.help_within(limit, RECEIVE, &words, parcel.file.into()).await;
        let text = told(helped)?;
        match text.split_once(' ') {
            Some((directory, _)) if !is_ours(directory) => Err(Trouble::Invalid(NO_DIRECTORY.to_owned())),
            Some((directory, hash)) if hash == parcel.hash => Ok(directory.to_owned()),
            Some((directory, _)) => {
                self.remove(&[directory.to_owned()]).await;
                Err(Trouble::Failed("what arrived is not the same: was the file changed meanwhile?".into()))
            }
            None => Err(Trouble::Failed("it did not arrive whole".into())),
        }
    }

    /// Makes an empty directory at the other side.
    pub(crate) async fn directory_there(&self) -> Result<String, Trouble> {
        let directory = told(self.help(DIRECTORY, &[], Stdio::null()).await)?;
        if is_ours(&directory) { Ok(directory) } else { Err(Trouble::Invalid(NO_DIRECTORY.to_owned())) }
    }

    /// Copies the file of such a directory into `to`, which is on this side; returns its mode and its hash there.
    pub(crate) async fn fetch(
        &self,
        directory: &str,
        to: File,
        limit: Duration,
    ) -> Result<(u32, String), Trouble> {
        let words = [directory.to_owned()];
        let measured = told(self.help_within(limit, MEASURE, &words, Stdio::null()).await)?;
        let Some((hash, mode, length)) = measures(&measured) else {
            return Err(Trouble::Invalid(
                "it did not report the hash, mode and length of the file".to_owned(),
            ));
        };
        let failed = |error: io::Error| Trouble::Failed(error.to_string());
        let log = Log::new().map_err(|error| Trouble::Failed(error.to_string()))?;
        let number = nonce().map_err(failed)?;
        let mut command = self.helper(&log, &number, SEND, &words);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn().map_err(failed)?;
        let mut stream = child.stdout.take();
        let mut left = length;
        let work = async {
            let mut frame = Frame::new(&number);
            let mut to = tokio::fs::File::from_std(to);
            let mut buffer = vec![0; 256 << 10];
            while let Some(stream) = &mut stream {
                let count = stream.read(&mut buffer).await?;
                let body = match count {
                    0 => frame.finish(),
                    count => frame.push(&buffer[..count]),
                };
                // More than was announced would not match the hash and only fill this side's disk.
                left = left.checked_sub(body.len() as u64).ok_or(io::ErrorKind::FileTooLarge)?;
                to.write_all(&body).await?;
                if count == 0 {
                    break;
                }
            }
            to.flush().await?;
            child.wait().await
        };
        match tokio::time::timeout(limit, work).await {
            Err(_) => Err(Trouble::Failed(format!("no end after {} s", limit.as_secs()))),
            Ok(Err(error)) if error.kind() == io::ErrorKind::FileTooLarge => {
                Err(Trouble::Invalid(format!("it sent more than the {length} bytes that it had announced")))
            }
            Ok(Err(error)) => Err(failed(error)),
            Ok(Ok(status)) if status.success() => Ok((mode, hash.to_owned())),
            Ok(Ok(_)) => Err(Trouble::Lost(log.text())),
        }
    }

    /// Lists the files of the cluster on the other side.
    ///
    /// # Errors
    /// When there is no connection.
    pub(crate) async fn cluster_files(&self, pve: &str) -> pvect_core::Result<String> {
        self.open().await?;
        let helped = self.help(CLUSTER, &[pve.to_owned()], Stdio::null()).await;
        match helped {
            Some(Helped { status: Some(0), stdout, .. }) => Ok(String::from_utf8_lossy(&stdout).into_owned()),
            Some(Helped { stderr, excess: true, .. }) => {
                Err(pvect_core::Error::InvalidOutput { what: stderr, run: Box::default() })
            }
            Some(Helped { stderr, .. }) => Err(self.unreachable(stderr)),
            None => Err(self.unreachable("no answer".to_owned())),
        }
    }

    /// Removes directories that [`Connection::send`] or [`Connection::directory_there`] made.
    pub(crate) async fn remove(&self, directories: &[String]) {
        if self.help(REMOVE, directories, Stdio::null()).await.is_none() {
            tracing::warn!(?directories, "temporary directories were left at the other side");
        }
    }

    /// The same without waiting for it; for a caller that is ending itself.
    pub(crate) fn remove_blindly(&self, directories: &[String]) {
        self.blindly(REMOVE, directories);
    }
}

const NO_DIRECTORY: &str = "it did not report the name of a directory";

/// Whether it is a name as the other side's mktemp makes it.
fn is_ours(directory: &str) -> bool {
    let name = directory.strip_prefix("/tmp/pvect.");
    name.is_some_and(|name| name.len() == 10 && name.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Hash, mode and length. Set-user-ID and set-group-ID bits are not taken over from another machine.
fn measures(text: &str) -> Option<(&str, u32, u64)> {
    let fields: Vec<&str> = text.split(' ').collect();
    let [hash, mode, length] = fields[..] else { return None };
    let is_hash = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_hash.then_some((hash, u32::from_str_radix(mode, 8).ok()? & 0o777, length.parse().ok()?))
}

/// What a helper printed, or why it failed.
fn told(helped: Option<Helped>) -> Result<String, Trouble> {
    match helped {
        None => Err(Trouble::Lost("no answer".into())),
        Some(Helped { excess: true, stderr, .. }) => Err(Trouble::Invalid(stderr)),
        Some(Helped { status: Some(0), stdout, .. }) if !stdout.is_empty() => {
            Ok(String::from_utf8_lossy(&stdout).into_owned())
        }
        Some(Helped { status: Some(255) | None, stderr, .. }) => Err(Trouble::Lost(stderr)),
        Some(Helped { stderr, .. }) => Err(Trouble::Failed(stderr)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_regular_files_can_be_sent() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "abc").unwrap();
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Parcel::open(&path).unwrap().hash, abc);
        let error = |path: &Path| Parcel::open(path).err().unwrap().to_string();
        assert_eq!(error(dir.path()), "it is not a regular file");
        assert_eq!(error(&dir.path().join("none")), "No such file or directory (os error 2)");
    }

    #[test]
    fn what_a_helper_did_not_do_is_told_from_a_lost_connection() {
        let helped = |status, stdout: &str| {
            told(Some(Helped { status, stdout: stdout.into(), stderr: "text".to_owned(), excess: false }))
        };
        assert_eq!(helped(Some(0), "/tmp/x").unwrap(), "/tmp/x");
        assert!(matches!(helped(Some(0), ""), Err(Trouble::Failed(text)) if text == "text"));
        assert!(matches!(helped(Some(1), "x"), Err(Trouble::Failed(_))));
        assert!(matches!(helped(Some(255), "x"), Err(Trouble::Lost(_))));
        assert!(matches!(told(None), Err(Trouble::Lost(text)) if text == "no answer"));
        let excess = Helped { status: None, stdout: Vec::new(), stderr: "much".to_owned(), excess: true };
        assert!(matches!(told(Some(excess)), Err(Trouble::Invalid(text)) if text == "much"));
    }

    #[test]
    fn of_the_other_sides_words_only_the_expected_ones_are_taken() {
        let hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(measures(&format!("{hash} 6755 12")), Some((hash, 0o755, 12)));
        for bad in
            [format!("{hash} 644"), format!("{hash} x 1"), format!("{hash} 644 -1"), "x 644 1".to_owned()]
        {
            assert_eq!(measures(&bad), None, "{bad}");
        }
        assert!(is_ours("/tmp/pvect.0123456789"));
        for bad in ["/tmp/pvect.01234/6789", "/tmp/pvect.", "/etc", "/tmp/pvect.012345678\n"] {
            assert!(!is_ours(bad), "{bad}");
        }
    }
}
