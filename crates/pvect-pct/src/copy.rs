//! Local files for a pct of another node.
//!
//! `push`, `pull` and `--ssh-public-keys` name files, and pct takes them for files of its node. Through ssh such a
//! file goes over a directory of its own at the other side (mode 0700, below `/tmp`), which is removed afterwards,
//! however the run ended. The SHA-256 of both sides is compared; nothing is read into memory.

use std::fs::{self, File, Metadata, Permissions};
use std::io::{self, Seek};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use pvect_core::call::Value;
use pvect_core::{Call, Error, Result, Verb};

use crate::ssh::{Connection, Parcel, Trouble, nonce, sha256};

/// The option that names a file of public keys.
const KEYS: &str = "ssh-public-keys";
/// The name that is shown for a file on the other side when nothing is run.
const SHOWN: &str = "/tmp/pvect.XXXXXXXXXX/file";

/// A call whose files were copied to where its pct finds them; on drop they are removed there.
pub(crate) struct Copies {
    connection: Connection,
    limit: Duration,
    directories: Vec<String>,
    /// Where the result of `pull` goes, and the call as the caller made it.
    pull: Option<(PathBuf, Call)>,
}

impl Drop for Copies {
    fn drop(&mut self) {
        if !self.directories.is_empty() {
            self.connection.remove_blindly(&self.directories);
        }
    }
}

/// Returns whether the call names any files on this side.
pub(crate) fn are_needed(call: &Call) -> bool {
    matches!(call.verb(), Verb::Push | Verb::Pull) || call.get(KEYS).is_some()
}

/// The call as the other side will see it, for people.
pub(crate) fn shown(call: &Call) -> Call {
    with_names(call, |_| SHOWN.to_owned())
}

/// Gives the files of a call the names that they have on the other side.
fn with_names(call: &Call, mut name: impl FnMut(&str) -> String) -> Call {
    let mut args = call.args().to_vec();
    match (call.verb(), args.as_mut_slice()) {
        (Verb::Push, [_, file, ..]) | (Verb::Pull, [_, _, file, ..]) => *file = name(file),
        _ => {}
    }
    let mut new = args.into_iter().fold(Call::new(call.verb()), Call::arg);
    for (option, value) in call.options() {
        // The owner of a pulled file is a user on this side.
        let here = call.verb() == Verb::Pull && matches!(option.as_str(), "user" | "group" | "perms");
        new = match value {
            _ if here => new,
            Value::Text(path) if option == KEYS => new.option(option.clone(), name(path)),
            Value::Text(text) => new.option(option.clone(), text.clone()),
            Value::Secret(secret) => new.secret(option.clone(), secret.clone()),
        };
    }
    new.command(call.command_words().to_vec()).passthrough(call.passthrough_words().to_vec())
}

impl Copies {
    /// Sends the files that the call needs, and returns the call with the names that they have on the other side.
    ///
    /// # Errors
    /// When a file cannot be read or sent: pct was not started then.
    pub(crate) async fn send(connection: &Connection, call: &Call, limit: Duration) -> Result<(Self, Call)> {
        let mut copies = Self { connection: connection.clone(), limit, directories: Vec::new(), pull: None };
        connection.open().await?;
        let mut files = Vec::new();
        with_names(call, |name| {
            files.push(name.to_owned());
            String::new()
        });
        let mut names = Vec::new();
        for (index, file) in files.iter().enumerate() {
            let directory = if call.verb() == Verb::Pull && index == 0 {
                copies.pull = Some((target(Path::new(file))?, call.clone()));
                let made = connection.directory_there().await;
                made.map_err(|trouble| copies.error(trouble, false, "make a directory at"))?
            } else {
                copies.sent(file).await?
            };
            names.push(format!("{directory}/file"));
            copies.directories.push(directory);
        }
        let mut names = names.into_iter();
        let new = with_names(call, |_| names.next().unwrap_or_default());
        Ok((copies, new))
    }

    async fn sent(&self, file: &str) -> Result<String> {
        let cannot = |source: io::Error| Error::Io { what: format!("cannot read '{file}'"), source };
        let path = PathBuf::from(file);
        let parcel = tokio::task::spawn_blocking(move || Parcel::open(&path)).await;
        let parcel = parcel.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(cannot)?;
        let sent = self.connection.send(parcel, self.limit).await;
        sent.map_err(|trouble| self.error(trouble, false, &format!("send '{file}' to")))
    }

    fn error(&self, trouble: Trouble, may_have_run: bool, what: &str) -> Error {
        let node = self.connection.target().destination();
        match trouble {
            Trouble::Lost(text) => Error::ConnectionLost {
                node,
                may_have_run,
                what: text,
                vmid: self.pull.as_ref().and_then(|(_, call)| call.vmid()),
                run: Box::default(),
            },
            Trouble::Invalid(text) => {
                Error::InvalidOutput { what: format!("'{node}': {text}"), run: Box::default() }
            }
            Trouble::Failed(text) => {
                Error::Io { what: format!("cannot {what} '{node}'"), source: io::Error::other(text) }
            }
        }
    }

    /// Copies the result of `pull` to this side, completely or not at all.
    ///
    /// As with pct, an existing file keeps its owner and mode, and a symlink is followed.
    ///
    /// # Errors
    /// When it cannot be fetched or written.
    pub(crate) async fn fetch(&self) -> Result<()> {
        let (Some((target, call)), Some(directory)) = (&self.pull, self.directories.first()) else {
            return Ok(());
        };
        let failed =
            |source: io::Error| Error::Io { what: format!("cannot write '{}'", target.display()), source };
        let fetch = async |file: File| {
            let fetched = self.connection.fetch(directory, file, self.limit).await;
            let what = format!("fetch '{}' from", target.display());
            fetched.map_err(|trouble| self.error(trouble, true, &what))
        };
        let old = fs::metadata(target).ok();
        if old.as_ref().is_some_and(|old| !old.is_file()) {
            // A pipe or a device: what was written there cannot be read again.
            let file = File::options().write(true).open(target).map_err(failed)?;
            return fetch(file).await.map(drop);
        }
        let part = Part::new(target).map_err(failed)?;
        let (mode, hash) = fetch(part.file.try_clone().map_err(failed)?).await?;
        let mut file = part.file.try_clone().map_err(failed)?;
        let own = tokio::task::spawn_blocking(move || {
            file.rewind()?;
            sha256(&mut file)
        });
        if own.await.unwrap_or_else(|error| Err(io::Error::other(error))).map_err(failed)? != hash {
            return Err(failed(io::Error::other("what arrived is not the same")));
        }
        own_as(&part, old.as_ref(), mode, call).map_err(failed)?;
        give(&part.path, call).await?;
        part.keep(target).map_err(failed)
    }

    /// Removes what was copied to the other side.
    pub(crate) async fn remove(mut self) {
        let directories = std::mem::take(&mut self.directories);
        if !directories.is_empty() {
            self.connection.remove(&directories).await;
        }
    }
}

/// The path of the result: symlinks are followed, as far as their targets exist.
fn target(path: &Path) -> Result<PathBuf> {
    if path.is_dir() {
        return Err(Error::Io {
            what: format!("cannot write '{}'", path.display()),
            source: io::ErrorKind::IsADirectory.into(),
        });
    }
    Ok(path.canonicalize().unwrap_or_else(|_| path.to_owned()))
}

/// An incomplete file next to its target; removed on drop.
struct Part {
    path: PathBuf,
    file: File,
    kept: bool,
}

impl Part {
    fn new(target: &Path) -> io::Result<Self> {
        let name = target.file_name().ok_or(io::ErrorKind::IsADirectory)?;
        let path = target.with_file_name(format!(".{}.{}", name.to_string_lossy(), nonce()?));
        let file = File::options().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
        Ok(Self { path, file, kept: false })
    }

    fn keep(mut self, target: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.path, target)?;
        self.kept = true;
        Ok(())
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.kept {
            // The error is about what went wrong before, which matters more than a file that cannot be removed.
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Sets owner and mode: those that were asked for, or else those of the old file, or else those on the other side.
///
/// Sets the set-user-ID, set-group-ID and sticky bits only for a caller who asks for them, because the content comes
/// from another machine.
fn own_as(part: &Part, old: Option<&Metadata>, mode: u32, call: &Call) -> io::Result<()> {
    if let Some(old) = old {
        fchown(&part.file, Some(old.uid()), Some(old.gid()))?;
    }
    let asked = call.get("perms").map(|text| u32::from_str_radix(text.trim_start_matches("0o"), 8));
    let mode = match asked {
        Some(Ok(mode)) => mode,
        _ => old.map_or(mode, MetadataExt::mode) & 0o777,
    };
    part.file.set_permissions(Permissions::from_mode(mode & 0o7777))
}

/// Gives the file the owner that the call asks for, by the user names on this side.
async fn give(path: &Path, call: &Call) -> Result<()> {
    let (user, group) = (call.get("user").unwrap_or_default(), call.get("group").unwrap_or_default());
    if user.is_empty() && group.is_empty() {
        return Ok(());
    }
    let owner = if group.is_empty() { user.to_owned() } else { format!("{user}:{group}") };
    let mut command = tokio::process::Command::new("/bin/chown");
    command.arg("--").arg(&owner).arg(path).env_clear().env("LC_ALL", "C.UTF-8").stdin(Stdio::null());
    let failed = |source: io::Error| Error::Io { what: format!("cannot give the file to '{owner}'"), source };
    let output = command.kill_on_drop(true).output().await.map_err(failed)?;
    if output.status.success() {
        return Ok(());
    }
    Err(failed(io::Error::other(String::from_utf8_lossy(&output.stderr).trim().to_owned())))
}

#[cfg(test)]
mod tests {
    use pvect_core::Vmid;

    use super::*;

    #[test]
    fn files_have_other_names_at_the_other_side() {
        let words = |call: Call| shown(&call).argv().join(" ");
        let push = Call::on(Verb::Push, Vmid::MIN).arg("a").arg("/b").option("perms", "600");
        assert_eq!(words(push), "push 100 /tmp/pvect.XXXXXXXXXX/file /b --perms 600");
        let pull = Call::on(Verb::Pull, Vmid::MIN).arg("/a").arg("b").option("perms", "600");
        assert_eq!(words(pull), "pull 100 /a /tmp/pvect.XXXXXXXXXX/file");
        let create = Call::on(Verb::Create, Vmid::MIN).arg("t").option(KEYS, "keys").option("cores", "1");
        assert_eq!(words(create), "create 100 t --ssh-public-keys /tmp/pvect.XXXXXXXXXX/file --cores 1");
    }

    #[test]
    fn special_bits_are_only_given_where_they_are_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        let set = |old: Option<&Metadata>, call: Call| {
            let part = Part::new(&target).unwrap();
            own_as(&part, old, 0o6755, &call).unwrap();
            part.file.metadata().unwrap().mode() & 0o7777
        };
        let pull = || Call::on(Verb::Pull, Vmid::MIN).arg("/a").arg("b");
        assert_eq!(set(None, pull()), 0o755);
        assert_eq!(set(None, pull().option("perms", "4750")), 0o4750);
        fs::write(&target, "old").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o4711)).unwrap();
        assert_eq!(set(Some(&fs::metadata(&target).unwrap()), pull()), 0o711);
    }

    #[test]
    fn what_is_not_whole_vanishes() {
        let dir = tempfile::tempdir().unwrap();
        let target = dir.path().join("file");
        drop(Part::new(&target).unwrap());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
        Part::new(&target).unwrap().keep(&target).unwrap();
        let names: Vec<_> =
            fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["file"]);
    }
}
