//! Lock files (flock(2)): waited for, held, and handed on to programs.
//!
//! A program that writes to a volume (mkfs, resize2fs) outlives us when we are killed. It inherits the files that this
//! process holds, and with them the locks: nobody takes the container for free before the program has ended.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};
use rustix::io::{FdFlags, fcntl_setfd};

use crate::error::os_text;
use crate::files::make_directories;
use crate::interrupt::Interrupt;
use crate::{Failure, FailureKind, NodeResult};

/// How often a held lock file is tried again.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// How the wait for a lock file goes that somebody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Begun,
    Over,
    Failed,
}

impl Waiting {
    /// pct's words on stderr, with their line ends.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Begun => "trying to acquire lock...\n",
            Self::Over => " OK\n",
            Self::Failed => " failed\n",
        }
    }
}

/// Opens and locks a file exclusively; `say` is called when it has to wait, and when that is over. A signal that comes
/// while it waits ends the wait.
///
/// The descriptor is closed in children, so none of them keeps the lock; but see [`inherited`].
///
/// # Errors
/// `can't lock file '<path>' - <reason>`; `interrupted by signal`.
pub(crate) fn take(path: &Path, seconds: u64, say: &mut dyn FnMut(Waiting)) -> NodeResult<File> {
    let mut watched = None;
    acquire(path, seconds, say, &mut || {
        // What has come before is whoever undoes something to know.
        let (interrupt, before) = watched.get_or_insert_with(|| {
            let interrupt = Interrupt::watch();
            let before = interrupt.came();
            (interrupt, before)
        });
        if *before { Ok(()) } else { interrupt.check() }
    })
}

/// As [`take`], for a file that others hold for a moment only: signals change nothing.
///
/// # Errors
/// `can't lock file '<path>' - <reason>`.
pub(crate) fn take_for_a_moment(path: &Path, seconds: u64) -> NodeResult<File> {
    acquire(path, seconds, &mut |_| {}, &mut || Ok(()))
}

/// `between` is asked whether to wait on.
fn acquire(
    path: &Path,
    seconds: u64,
    say: &mut dyn FnMut(Waiting),
    between: &mut dyn FnMut() -> NodeResult<()>,
) -> NodeResult<File> {
    let cannot = |reason: &str| Failure::new(format!("can't lock file '{}' - {reason}", path.display()));
    if let Some(parent) = path.parent() {
        make_directories(parent, 0o700)?;
    }
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
        .map_err(|error| cannot(&format!("can't open file - {}", os_text(&error))))?;
    // One that somebody else made, or has made a hard link of, is his to hold.
    let owner = file.metadata().map_err(|error| cannot(&os_text(&error)))?.uid();
    if ![0, rustix::process::geteuid().as_raw()].contains(&owner) {
        return Err(cannot(&format!("it belongs to uid {owner}: remove it")));
    }
    let deadline = Instant::now() + Duration::from_secs(seconds);
    let mut told = false;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {
                if told {
                    say(Waiting::Over);
                }
                return Ok(file);
            }
            Err(rustix::io::Errno::INTR) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                // Before it is said: who reads that may send a signal at once.
                between()?;
                if !told {
                    say(Waiting::Begun);
                    told = true;
                }
                if Instant::now() >= deadline {
                    return Err(cannot("got timeout").of_kind(FailureKind::Held));
                }
                std::thread::sleep(LOCK_INTERVAL);
            }
            Err(errno) => {
                if told {
                    say(Waiting::Failed);
                }
                return Err(cannot(&os_text(&errno.into())));
            }
        }
    }
}

static HELD: Mutex<Vec<Weak<File>>> = Mutex::new(Vec::new());
static OPERATIONS: Mutex<BTreeMap<PathBuf, HeldLock>> = Mutex::new(BTreeMap::new());

fn entered<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics runs while they are locked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A locked file; dropped, it is released.
#[derive(Debug)]
pub(crate) struct HeldLock {
    _file: Arc<File>,
}

impl HeldLock {
    pub(crate) fn new(file: File) -> Self {
        let file = Arc::new(file);
        let mut held = entered(&HELD);
        held.retain(|known| known.strong_count() > 0);
        held.push(Arc::downgrade(&file));
        Self { _file: file }
    }
}

/// Keeps a lock until [`end_operation`] or the end of the process.
pub(crate) fn begin_operation(path: &Path, file: File) {
    entered(&OPERATIONS).insert(path.to_owned(), HeldLock::new(file));
}

/// Releases what [`begin_operation`] keeps.
pub(crate) fn end_operation(path: &Path) {
    entered(&OPERATIONS).remove(path);
}

/// Runs `spawn` while the locked files are open for children, too.
pub(crate) fn inherited<T>(spawn: impl FnOnce() -> T) -> T {
    let files: Vec<Arc<File>> = entered(&HELD).iter().filter_map(Weak::upgrade).collect();
    // One that cannot be handed on is held by us alone, as it would be without this.
    for file in &files {
        let _ = fcntl_setfd(file, FdFlags::empty());
    }
    let result = spawn();
    for file in &files {
        let _ = fcntl_setfd(file, FdFlags::CLOEXEC);
    }
    result
}
