//! The worker of one request of the HTTPS API: a process of its own that runs one verb, so that its task has a UPID, a
//! log and a life of its own, as the workers of pvedaemon have.
//!
//! It is started as `pvect __node api-worker ROOT NODE`; the [`Job`] comes on stdin. On stdout it answers with lines of
//! JSON, one [`Answer`] each: the name of the task as soon as it begins, and how the verb ended. Who reads only the
//! first may close the pipe; the work goes on.

use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use pvect_core::upid::Upid;
use pvect_core::{Call, NodeName, Verb, Vmid, VolumeId};
use rustix::fs::{CWD, Mode, OFlags};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::{Failure, FailureKind, Layout, Node, NodeResult, Output, interrupt, storage, store, task, verbs};

/// The helper verb.
pub const NAME: &str = "api-worker";
/// A job that is not a verb: `vzdump WORD...`.
pub const VZDUMP: &str = "vzdump";
/// A job that is not a verb: removes a volume that does not belong to a container, `VOLUME`.
pub const REMOVE: &str = "imgdel";
/// A job that is not a verb: puts an uploaded template into its place, `FILE STORAGE NAME`.
pub const PLACE: &str = "imgcopy";
/// The longest job that is read, bytes.
const LONGEST_JOB: u64 = 4 * 1024 * 1024;

/// What is to be done, and for whom.
#[derive(Serialize, Deserialize)]
pub struct Job {
    /// The user or token of the task.
    pub user: String,
    /// The verb's name.
    pub verb: String,
    /// The positional arguments.
    pub args: Vec<String>,
    /// The options, by full name.
    pub options: Vec<(String, String)>,
    /// The secret options.
    pub secrets: Vec<(String, String)>,
    /// Options for which pct takes the path of a file, but the API its content.
    pub files: Vec<(String, String)>,
}

/// What a worker reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Answer {
    /// A task has begun.
    Upid(String),
    /// The verb is done.
    Done,
    /// The verb failed.
    Failed(Failure),
}

/// Runs the job on stdin and returns the exit status.
pub(crate) fn run(root: &str, name: &str) -> u8 {
    // Without a session of its own it would end with that of the server.
    let _ = rustix::process::setsid();
    let Ok(answers) = detach() else { return 1 };
    let answers = Arc::new(Mutex::new(answers));
    let tell = {
        let answers = Arc::clone(&answers);
        move |answer: &Answer| {
            let line = serde_json::to_string(answer).unwrap_or_default() + "\n";
            // Nobody may be listening any more.
            let _ = answers.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
        }
    };
    let begun = {
        let tell = tell.clone();
        move |upid: &Upid| tell(&Answer::Upid(upid.to_string()))
    };
    match work(root, name, begun) {
        Ok(_) => {
            tell(&Answer::Done);
            0
        }
        Err(failure) => {
            let exit = failure.exit;
            tell(&Answer::Failed(failure));
            exit
        }
    }
}

/// Reserves stdout for the answers; programs that the work starts do not get it.
fn detach() -> std::io::Result<File> {
    let answers = rustix::io::fcntl_dupfd_cloexec(std::io::stdout(), 3)?;
    let null = rustix::fs::openat(CWD, "/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdout(&null)?;
    Ok(File::from(answers))
}

fn work(root: &str, name: &str, begun: impl Fn(&Upid) + Send + Sync + 'static) -> NodeResult<u8> {
    let bad = |what: &str| Failure::new(format!("bad {what}"));
    let name: NodeName = name.parse().map_err(|_| bad("node name"))?;
    let mut text = String::new();
    std::io::stdin().take(LONGEST_JOB).read_to_string(&mut text).map_err(|_| bad("job"))?;
    let job: Job = serde_json::from_str(&text).map_err(|_| bad("job"))?;
    drop(SecretString::from(text));
    let helper = std::env::current_exe().map_err(|error| Failure::new(error.to_string()))?;
    let node = Node { layout: Layout::new(Path::new(root), name.clone()), name, helper };
    task::work_for(job.user.clone(), begun);
    store::ensure_root(&node)?;
    let (mut out, mut err) = (std::io::sink(), std::io::sink());
    let mut output = Output::new(&mut out, &mut err);
    let words: Vec<&str> = job.args.iter().map(String::as_str).collect();
    match (job.verb.as_str(), &words[..]) {
        (VZDUMP, _) => crate::backup::try_run(&node, &job.args, &mut output).map(|()| 0),
        (REMOVE, [volume]) => remove(&node, volume, &mut output).map(|()| 0),
        (PLACE, [file, storage, name]) => {
            place(&node, Path::new(file), storage, name, &mut output).map(|()| 0)
        }
        _ => {
            let (call, _files) = call(job)?;
            interrupt::one_command();
            verbs::dispatch(&node, &call, &mut output)
        }
    }
}

/// Removes a template, a backup or an image that no configuration names.
fn remove(node: &Node, volume: &str, output: &mut Output<'_>) -> NodeResult<()> {
    let volume: VolumeId =
        volume.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{volume}'")))?;
    let id = format!("{}@{}", volume.volume().replace(['/', ':'], "-"), volume.storage());
    task::run(node, REMOVE, &id, output, |log, output| {
        match volume.volume().split('/').next() {
            Some("vztmpl") => storage::remove_template(node, &volume)?,
            Some("backup") => remove_backup(node, &volume)?,
            Some(owner) => {
                let owner: Option<Vmid> = owner.parse().ok();
                if let Some(vmid) = owner {
                    match store::load(node, vmid) {
                        Err(Failure { kind: FailureKind::NoContainer { .. }, .. }) => {}
                        // Also one whose configuration cannot be read.
                        _ => {
                            let text = format!("cannot remove image, a guest with VMID '{vmid}' exists!");
                            return Err(Failure::new(text));
                        }
                    }
                }
                storage::free(node, &volume)?;
            }
            None => {}
        }
        log.line(output, &format!("Removed volume '{volume}'"));
        Ok(())
    })
}

fn remove_backup(node: &Node, volume: &VolumeId) -> NodeResult<()> {
    let storages = storage::Storages::load(&node.layout)?;
    let directory = storages.find(volume.storage())?.directories()?.of("backup");
    let name = volume.volume().trim_start_matches("backup/");
    let archives = crate::backup::prune::archives(&directory)?;
    let found = archives.iter().find(|one| one.path.file_name().is_some_and(|known| known == name));
    match found {
        None => Err(Failure::no_volume(volume)),
        Some(one) if one.protected => {
            Err(Failure::new(format!("can't remove protected archive '{}'", one.path.display())))
        }
        Some(one) => one.remove(),
    }
}

/// Moves an uploaded file, which is in the storage already, to its name.
fn place(node: &Node, file: &Path, storage: &str, name: &str, output: &mut Output<'_>) -> NodeResult<()> {
    let storages = storage::Storages::load(&node.layout)?;
    let target = storages.find(storage)?.directories()?.of("vztmpl").join(name);
    task::run(node, PLACE, "", output, |log, output| {
        log.line(output, &format!("target node: {}", node.name));
        log.line(output, &format!("target file: {}", target.display()));
        let moved = std::fs::set_permissions(file, Permissions::from_mode(0o644))
            .and_then(|()| File::open(file)?.sync_all())
            .and_then(|()| std::fs::rename(file, &target));
        if let Err(error) = moved {
            let _ = std::fs::remove_file(file);
            return Err(Failure::io("can't move the upload to", &target, &error));
        }
        let size = target.metadata().map_or(0, |meta| meta.len());
        log.line(output, &format!("file size is: {size} bytes"));
        log.line(output, "finished file import successfully");
        Ok(())
    })
}

/// Makes the call. The files exist as long as the second value that is returned.
fn call(job: Job) -> NodeResult<(Call, Vec<tempfile::NamedTempFile>)> {
    let verb: Verb = Verb::from_name(&job.verb).ok_or_else(|| Failure::new("bad verb"))?;
    let mut call = job.args.into_iter().fold(Call::new(verb), Call::arg);
    for (name, value) in job.options {
        call = call.option(name, value);
    }
    for (name, value) in job.secrets {
        call = call.secret(name, value.into());
    }
    let mut files = Vec::new();
    for (name, content) in job.files {
        let failed = |error: std::io::Error| Failure::new(format!("can't write a temporary file - {error}"));
        let mut file = tempfile::NamedTempFile::new().map_err(failed)?;
        file.write_all(content.as_bytes()).map_err(failed)?;
        call = call.option(name, file.path().to_string_lossy());
        files.push(file);
    }
    let call = call.verified().map_err(|found| crate::usage::report::refused(verb, &found))?;
    crate::cli::check_zone(&call)?;
    Ok((call, files))
}

impl Job {
    /// Makes a job that is not a verb.
    pub fn named(user: String, name: &str, args: Vec<String>) -> Self {
        let verb = name.to_owned();
        Self { user, verb, args, options: Vec::new(), secrets: Vec::new(), files: Vec::new() }
    }

    /// Makes the job of a verified call. `files` names the options whose values are contents.
    pub fn of(user: String, call: &Call) -> Self {
        let spec = call.verb().spec();
        let mut job = Self {
            user,
            verb: spec.name.to_owned(),
            args: call.args().to_vec(),
            options: Vec::new(),
            secrets: Vec::new(),
            files: Vec::new(),
        };
        for (name, _) in call.options() {
            if let Some(secret) = call.get_secret(name) {
                job.secrets.push((name.clone(), secret.expose_secret().to_owned()));
                continue;
            }
            let value = call.get(name).unwrap_or_default().to_owned();
            let is_file = spec.option(name).is_some_and(|(option, _)| option.file);
            if is_file { &mut job.files } else { &mut job.options }.push((name.clone(), value));
        }
        job
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("user", &self.user).field("verb", &self.verb).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_of_a_guest_are_kept_also_when_its_configuration_cannot_be_read() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        store::ensure_root(&node).unwrap();
        let images = node.layout.local_storage().join("images");
        let (mut out, mut err) = (std::io::sink(), std::io::sink());
        let mut output = Output::new(&mut out, &mut err);
        let mut removed = |vmid: &str| {
            let image = images.join(format!("{vmid}/vm-{vmid}-disk-0.raw"));
            std::fs::create_dir_all(image.parent().unwrap()).unwrap();
            std::fs::write(&image, "").unwrap();
            let done = remove(&node, &format!("local:{vmid}/vm-{vmid}-disk-0.raw"), &mut output);
            assert_eq!(done.is_err(), image.exists());
            done.map_err(|failure| failure.text)
        };
        std::fs::create_dir(node.layout.config("101".parse().unwrap())).unwrap();
        let text = "cannot remove image, a guest with VMID '101' exists!";
        assert_eq!(removed("101"), Err(text.to_owned()));
        assert_eq!(removed("102"), Ok(()));
    }
}
