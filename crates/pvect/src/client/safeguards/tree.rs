//! push and pull of whole directories, owners and modes kept. Traps exit-zero and silent-copy for each file of them.
//!
//! pct copies single files only. So the directory travels as a tar stream through `pct exec`, nothing of it is kept
//! in memory or in temporary files; where the container has no tar, it is pushed file by file.

use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use pvect_core::{Call, CheckedCall, Error, ErrorKind, Events, Outcome, Result, Verb, Vmid};
use pvect_pct::{Captured, Streams};
use rustix::pipe::PipeFlags;

use super::archive::{self, Copied, Item, Unpacking};
use super::fingerprint::Found;
use super::outside::Outside;
use super::verify::of_guest;
use super::{Manner, copy, not_done};
use crate::Client;

/// The status of a shell, and of lxc-attach, for a missing command.
const NOT_FOUND: i32 = 127;

/// Copies a directory. A single file is copied as always.
pub(super) async fn run(
    client: &Client,
    call: &CheckedCall,
    manner: &Manner,
    events: &mut dyn Events,
) -> Result<Outcome> {
    let (Some(vmid), [_, from, to]) = (call.vmid(), call.args()) else {
        return client.plain(call, events).await;
    };
    if call.verb() == Verb::Push && Path::new(from).is_file() {
        return copy::run(client, call, manner, events).await;
    }
    if let Some((name, _)) = call.options().first() {
        let text = format!("--recursive keeps owners and modes: leave out --{name}");
        return Err(Error::bad_argument("arguments", text));
    }
    let guest = if call.verb() == Verb::Push { to } else { from };
    if !guest.starts_with('/') {
        return Err(Error::bad_argument(
            "arguments",
            format!("'{guest}': with --recursive it must begin with /"),
        ));
    }
    if call.verb() == Verb::Pull && !is_directory(client, vmid, guest).await? {
        return copy::run(client, call, manner, events).await;
    }
    let copied = match call.verb() {
        Verb::Push => push(client, call, vmid, Path::new(from), to, manner).await?,
        _ => pull(client, call, vmid, from, Path::new(to), manner).await?,
    };
    let outcome = Outcome { warnings: copied.warnings.clone(), ..Outcome::default() };
    if manner.verify {
        verify(client, call, vmid, &copied, guest).await?;
    }
    Ok(outcome)
}

/// Whether a path is a directory. Says no only if that is certain: what cannot be checked is left to tar.
async fn is_directory(client: &Client, vmid: Vmid, path: &str) -> Result<bool> {
    if let Some(outside) = Outside::of(client, vmid) {
        let found = outside.look(client, vmid, Path::new(path)).await?;
        return Ok(!matches!(found, Found::Unread | Found::Nothing));
    }
    Ok(client.exec(vmid, ["test", "-d", path], None).await?.status != 1)
}

async fn push(
    client: &Client,
    call: &CheckedCall,
    vmid: Vmid,
    from: &Path,
    to: &str,
    manner: &Manner,
) -> Result<Copied> {
    if !from.is_dir() {
        let source = fs::metadata(from).err().unwrap_or_else(|| io::ErrorKind::NotADirectory.into());
        return Err(Error::Io { what: format!("cannot copy '{}'", from.display()), source });
    }
    // The owner and mode of an existing directory (perhaps /) stay as they are.
    let new = client.exec(vmid, ["test", "-e", to], None).await?.status == 1;
    let made = client.exec(vmid, ["mkdir", "-p", to], None).await?;
    succeeded(client, call, "mkdir", &made)?;
    let (reader, writer) = pipe()?;
    let source = from.to_owned();
    let writing = tokio::task::spawn_blocking(move || archive::write(&source, new, writer));
    let words = ["tar", "-x", "-p", "-f", "-", "-C", to];
    let streams = Streams { stdin: Some(reader.into()), ..Streams::default() };
    let ran = client.exec_piped(vmid, words, streams).await;
    let written = writing.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let ran = ran?;
    match written {
        Ok(copied) => {
            succeeded(client, call, "tar", &ran)?;
            Ok(copied)
        }
        // tar ended before it had read everything.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            if ran.status == NOT_FOUND {
                return file_by_file(client, vmid, from, to, new, manner).await;
            }
            succeeded(client, call, "tar", &ran)?;
            Err(unreadable(from, error))
        }
        Err(error) => Err(unreadable(from, error)),
    }
}

/// The way without tar: pct's own push for each file, the container's mkdir and ln for the rest.
async fn file_by_file(
    client: &Client,
    vmid: Vmid,
    from: &Path,
    to: &str,
    itself: bool,
    manner: &Manner,
) -> Result<Copied> {
    let source = from.to_owned();
    let items = tokio::task::spawn_blocking(move || archive::walk(&source)).await;
    let items = items
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|error| unreadable(from, error))?;
    let mut copied = Copied::default();
    let mut directories = Vec::new();
    for Item { path, meta } in items {
        let target = Path::new(to).join(&path);
        let Some(target) = target.to_str().map(|text| text.trim_end_matches('/').to_owned()) else {
            copied.warnings.push(format!("'{}' is not UTF-8 and was left out", path.display()));
            continue;
        };
        let mode = format!("{:04o}", meta.mode() & 0o7777);
        let (user, group) = (meta.uid().to_string(), meta.gid().to_string());
        let run = async |words: &[&str]| {
            let ran = client.exec(vmid, words.iter().copied(), None).await?;
            succeeded(client, &Call::on(Verb::Push, vmid), words[0], &ran)
        };
        if meta.is_dir() {
            run(&["mkdir", "-p", &target]).await?;
            if itself || !path.as_os_str().is_empty() {
                directories.push((target, mode, format!("{user}:{group}")));
            }
        } else if meta.is_symlink() {
            let link = fs::read_link(from.join(&path)).map_err(|error| unreadable(from, error))?;
            run(&["ln", "-sfn", &link.to_string_lossy(), &target]).await?;
            run(&["chown", "-h", &format!("{user}:{group}"), &target]).await?;
        } else if meta.is_file() {
            let call = Call::on(Verb::Push, vmid).arg(from.join(&path).to_string_lossy()).arg(target);
            let call = call.option("user", user).option("group", group).option("perms", mode);
            let manner = Manner { recursive: false, ..*manner };
            copy::run(client, &client.checked(call)?, &manner, &mut ()).await?;
        } else {
            copied
                .warnings
                .push(format!("'{}' is not a file, directory or link and was left out", path.display()));
        }
    }
    for (target, mode, owner) in directories.into_iter().rev() {
        for words in [["chown", owner.as_str(), target.as_str()], ["chmod", mode.as_str(), target.as_str()]] {
            let ran = client.exec(vmid, words, None).await?;
            succeeded(client, &Call::on(Verb::Push, vmid), words[0], &ran)?;
        }
    }
    Ok(copied)
}

async fn pull(
    client: &Client,
    call: &Call,
    vmid: Vmid,
    from: &str,
    to: &Path,
    manner: &Manner,
) -> Result<Copied> {
    let cannot = |source| Error::Io { what: format!("cannot write '{}'", to.display()), source };
    let new = !to.exists();
    if new {
        fs::create_dir_all(to).map_err(cannot)?;
    }
    let owners = rustix::process::geteuid().is_root();
    let (reader, writer) = pipe()?;
    let target = to.to_owned();
    let how = Unpacking { itself: new, owners, fill: manner.fill, hash: manner.verify };
    let cancel = client.node.cancel.clone();
    // Closed when nobody waits any more.
    let (waited, _waiting) = tokio::sync::oneshot::channel::<()>();
    let stop = move || cancel.is_cancelled() || waited.is_closed();
    let reading = tokio::task::spawn_blocking(move || archive::unpack(reader, &target, how, &stop));
    let streams = Streams { stdout: Some(writer.into()), ..Streams::default() };
    let ran = client.exec_piped(vmid, ["tar", "-c", "-f", "-", "-C", from, "."], streams).await;
    let unpacked = reading.await.unwrap_or_else(|error| Err(io::Error::other(error)));
    let done = async {
        let ran = ran?;
        // When unpacking failed, tar in the container failed too, because nobody read on.
        let mut copied = match unpacked {
            Err(_) if client.node.cancel.is_cancelled() => return Err(interrupted(vmid)),
            Err(error) if ran.status == 0 || error.kind() != io::ErrorKind::UnexpectedEof => {
                return Err(cannot(error));
            }
            Err(_) => Copied::default(),
            Ok(copied) => copied,
        };
        succeeded(client, call, "tar", &ran)?;
        if !owners {
            copied.warnings.push("owners were not kept: pvect does not run as root".to_owned());
        }
        Ok(copied)
    };
    done.await.inspect_err(|_| {
        // Only an empty directory is removed; what has arrived stays for inspection.
        if new {
            let _ = fs::remove_dir(to);
        }
    })
}

/// The error of a copy that the user did not wait for.
fn interrupted(vmid: Vmid) -> Error {
    let message = "interrupted before the copy was complete and verified".to_owned();
    Error::Failed { kind: ErrorKind::PctTimeout, message, vmid: Some(vmid), run: Box::default() }
}

/// Compares each file of the copy with the container's own.
async fn verify(client: &Client, call: &Call, vmid: Vmid, copied: &Copied, guest: &str) -> Result<()> {
    if copied.files.is_empty() {
        return Ok(());
    }
    let differ = |name: &str| {
        let message = format!("the copy differs: {name}");
        Err(not_done(client, call, &Outcome::default(), message))
    };
    let odd = match Outside::of(client, vmid) {
        Some(outside) => {
            let (wrong, odd) = outside.compare(client, vmid, Path::new(guest), copied.files.clone()).await?;
            if !wrong.is_empty() {
                let names = wrong.iter().take(3).map(|index| &copied.files[*index].0);
                let names: Vec<String> =
                    names.map(|path| Path::new(guest).join(path).display().to_string()).collect();
                return differ(&names.join(", "));
            }
            odd
        }
        None => match ask(client, vmid, copied, guest).await? {
            Asked::Odd(odd) => odd,
            Asked::Differ(names) => return differ(&names),
        },
    };
    for (path, content) in odd.into_iter().map(|index| &copied.files[index]) {
        let path: PathBuf = Path::new(guest).join(path);
        match path.to_str() {
            Some(text) if content.fits(&of_guest(client, vmid, text, content).await?) => {}
            _ => return differ(&path.display().to_string()),
        }
    }
    Ok(())
}

/// What the container's own sha256sum says.
enum Asked {
    /// Everything matches, except these files, which it cannot check.
    Odd(Vec<usize>),
    /// These differ.
    Differ(String),
}

/// Lets the container's own sha256sum compare the files, because there is no other way. It runs in a session without a
/// terminal.
async fn ask(client: &Client, vmid: Vmid, copied: &Copied, guest: &str) -> Result<Asked> {
    let broken = |source| Error::Io { what: "cannot verify the copy".to_owned(), source };
    let (list, mut odd) = archive::checklist(copied, Path::new(guest)).map_err(broken)?;
    let mut answers = tempfile::tempfile().map_err(broken)?;
    let streams = Streams {
        stdin: Some(list.into()),
        stdout: Some(answers.try_clone().map_err(broken)?.into()),
        stderr: None,
    };
    let ran = client.exec_piped(vmid, ["sha256sum", "-c", "-"], streams).await?;
    if ran.status == NOT_FOUND {
        odd = (0..copied.files.len()).collect();
    } else if ran.status != 0 {
        let names = failed_names(&mut answers).map_err(broken)?;
        return Ok(Asked::Differ(if names.is_empty() { last_line(&ran.stderr) } else { names.join(", ") }));
    }
    Ok(Asked::Odd(odd))
}

/// The first files that `sha256sum -c` reported as wrong.
fn failed_names(answers: &mut File) -> io::Result<Vec<String>> {
    answers.rewind()?;
    let mut text = String::new();
    let mut bytes = Vec::new();
    answers.take(1 << 24).read_to_end(&mut bytes)?;
    text.push_str(&String::from_utf8_lossy(&bytes));
    let failed = text.lines().filter_map(|line| line.strip_suffix(": FAILED"));
    Ok(failed.take(3).map(str::to_owned).collect())
}

/// The error of a command in the container that failed.
fn succeeded(client: &Client, call: &Call, program: &str, ran: &Captured) -> Result<()> {
    if ran.status == 0 {
        return Ok(());
    }
    let vmid = call.vmid();
    if ran.status == NOT_FOUND {
        let what = format!("the container has no {program}, which --recursive needs");
        return Err(Error::Unsupported { what, vmid });
    }
    let text = last_line(&ran.stderr);
    let message = format!("{program} in the container failed with status {}: {text}", ran.status);
    match not_done(client, call, &Outcome { status: ran.status, ..Outcome::default() }, message) {
        Error::Failed { message, vmid, mut run, .. } => {
            run.stderr = String::from_utf8_lossy(&ran.stderr).into_owned();
            Err(Error::Failed { kind: ErrorKind::PctOperationFailed, message, vmid, run })
        }
        other => Err(other),
    }
}

fn last_line(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("it says nothing").to_owned()
}

/// Makes a pipe, its reading end first.
fn pipe() -> Result<(File, File)> {
    let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
        .map_err(|errno| Error::Io { what: "cannot make a pipe".to_owned(), source: errno.into() })?;
    Ok((reader.into(), writer.into()))
}

fn unreadable(path: &Path, source: io::Error) -> Error {
    Error::Io { what: format!("cannot read '{}'", path.display()), source }
}
