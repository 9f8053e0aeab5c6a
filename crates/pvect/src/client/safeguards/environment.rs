//! Trap env-one-var: variables are separated by NUL, argv cannot hold NUL, so pct takes one variable in a call.
//!
//! pct gets the first one, which it checks and stores as it stores every option. The others are then added to the
//! configuration file, beside the first one, under the lock file that pct itself holds for each change.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pvect_core::config::ParseMode;
use pvect_core::error::Finding;
use pvect_core::schema::{Format, Violation};
use pvect_core::{Call, ContainerConfig, Error, ErrorKind, Result, RunState, Vmid};
use rustix::fs::{FlockOperation, OFlags, flock};

use crate::{Client, Place};

/// How long pct waits for the lock file, and so do we.
const LOCK_WAIT: Duration = Duration::from_secs(10);
const LOCK_STEP: Duration = Duration::from_millis(50);
/// What is done when pct has stored its one variable.
const FIRST_ONLY: &str = "only the first environment variable is set";

/// Several variables that one call sets.
#[derive(Debug, Clone)]
pub(super) struct Several {
    entries: Vec<String>,
    config: PathBuf,
    lock: PathBuf,
}

/// Returns the call as pct can take it: with the first variable only.
pub(super) fn first_only(call: &Call) -> Call {
    match call.get("env").and_then(|text| text.split_once('\0')) {
        Some((first, _)) => {
            let first = first.to_owned();
            call.clone().option("env", first)
        }
        None => call.clone(),
    }
}

impl Several {
    /// Finds the variables of a call; `None` when it has one or none.
    ///
    /// # Errors
    /// `Unsupported` when there are several and the configuration file is out of reach.
    pub(super) fn of(client: &Client, call: &Call, vmid: Vmid) -> Result<Option<Self>> {
        let Some(text) = call.get("env").filter(|text| text.contains('\0')) else { return Ok(None) };
        // Values that we write into the file ourselves are checked even if those for pct are not.
        for entry in text.split('\0') {
            let refused = |reason| Error::invalid(Violation::option("env", reason));
            Format::Environment.check(entry).map_err(refused)?;
        }
        if !client.way.writes_files() {
            let what = "pct takes one environment variable in a call; further ones are written into the container's \
                        configuration file, for which pvect must run on the node as root"
                .to_owned();
            return Err(Error::Unsupported { what, vmid: Some(vmid) });
        }
        let (configs, locks) = match &client.node.place {
            Place::Standalone { root, node } => {
                (client.node.pve.join("nodes").join(node.as_str()).join("lxc"), root.join("run/lock/lxc"))
            }
            // Files of another node are out of reach, which the transport has reported already.
            Place::Proxmox | Place::Far { .. } | Place::Api { .. } => {
                (client.node.pve.join("lxc"), client.locks.clone())
            }
        };
        Ok(Some(Self {
            entries: text.split('\0').map(str::to_owned).collect(),
            config: configs.join(format!("{vmid}.conf")),
            lock: locks.join(format!("pve-config-{vmid}.lock")),
        }))
    }

    /// Adds the further variables beside the first one, which pct has stored.
    ///
    /// # Errors
    /// `Conflict` when the first one is not there alone (somebody else changed it meanwhile), `Locked` when the lock
    /// file stays taken, `Io`.
    pub(super) async fn write(self, client: &Client, vmid: Vmid) -> Result<()> {
        // A running container has its change among the pending ones.
        let running = client.status(vmid).await?.status == RunState::Running;
        let path = self.config.clone();
        let done = tokio::task::spawn_blocking(move || self.write_now(running)).await;
        done.map_err(io::Error::other).map_err(failed(&path))?.map_err(|problem| match problem {
            Problem::Io(source) => failed(&path)(source),
            Problem::Held(path) => Error::Found {
                finding: Finding::LockFileHeld { path, done: Some(FIRST_ONLY.to_owned()) },
                vmid: Some(vmid),
                run: None,
            },
            Problem::Said(kind, text) => {
                let message = format!("{FIRST_ONLY}: {text}");
                Error::Failed { kind, message, vmid: Some(vmid), run: Box::default() }
            }
        })
    }

    fn write_now(&self, running: bool) -> Result<(), Problem> {
        let _lock = take(&self.lock)?;
        let bytes = fs::read(&self.config).map_err(Problem::Io)?;
        let broken = |text: String| Problem::Said(ErrorKind::PctInvalidOutput, text);
        let (mut config, _) =
            ContainerConfig::parse(&bytes, ParseMode::Lenient).map_err(|error| broken(error.to_string()))?;
        let first = &self.entries[..1];
        let waiting =
            config.pending.as_ref().map(|section| section.env.as_slice()).filter(|env| !env.is_empty());
        let stored = waiting.unwrap_or(&config.main.env);
        if stored != first {
            let text = "the configuration was changed by somebody else meanwhile".to_owned();
            return Err(Problem::Said(ErrorKind::Conflict, text));
        }
        if running {
            config.pending.get_or_insert_default().env.clone_from(&self.entries);
        } else {
            config.main.env.clone_from(&self.entries);
        }
        let text = config.to_text().map_err(|error| broken(error.to_string()))?;
        replace(&self.config, text.as_bytes()).map_err(Problem::Io)
    }
}

enum Problem {
    Io(io::Error),
    Held(PathBuf),
    Said(ErrorKind, String),
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Error {
    let what = format!("{FIRST_ONLY}: cannot change '{}'", path.display());
    move |source| Error::Io { what: what.clone(), source }
}

/// Takes the lock file as pct does; closing the file releases it.
fn take(path: &Path) -> Result<File, Problem> {
    // Every user can write to `/run/lock`, so a directory with this name may belong to anyone.
    let check = |path: &Path, meta: io::Result<fs::Metadata>| {
        let owner = meta.map_err(Problem::Io)?.uid();
        if ![0, rustix::process::geteuid().as_raw()].contains(&owner) {
            let text = format!("'{}' belongs to uid {owner}, not to root: remove it", path.display());
            return Err(Problem::Said(ErrorKind::PctPermissionDenied, text));
        }
        Ok(())
    };
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).map_err(Problem::Io)?;
        check(dir, dir.symlink_metadata())?;
    }
    let mut options = OpenOptions::new();
    options.create(true).append(true).mode(0o644).custom_flags(OFlags::NOFOLLOW.bits() as i32);
    let file = options.open(path).map_err(Problem::Io)?;
    check(path, file.metadata())?;
    let started = Instant::now();
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK) if started.elapsed() < LOCK_WAIT => {
                std::thread::sleep(LOCK_STEP);
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(Problem::Held(path.to_owned()));
            }
            Err(error) => return Err(Problem::Io(error.into())),
        }
    }
}

/// Writes a file beside the old one and puts it in its place.
fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // A symlink in the path (such as the node's own directory) stays.
    let path = path.canonicalize()?;
    let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".tmp.{}", std::process::id()));
    let new = path.with_file_name(name);
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&new, &path)
    };
    write().inspect_err(|_| {
        // The unfinished file is of no use.
        let _ = fs::remove_file(&new);
    })
}
