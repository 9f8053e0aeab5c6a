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

/// How long to wait before a held lock file is tried again.
const LOCK_INTERVAL: Duration = Duration::from_millis(50);

/// The progress of waiting for a lock file that somebody else holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Waiting {
    Begun,
    Over,
    Failed,
}

impl Waiting {
    /// What pct prints on stderr, with line ends.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Begun => "trying to acquire lock...\n",
            Self::Over => " OK\n",
            Self::Failed => " failed\n",
        }
    }
}

/// Opens and locks a file exclusively; `say` is called when it has to wait, and when the wait is over. A signal ends
/// the wait.
///
/// Child processes do not inherit the descriptor, so they do not keep the lock; but see [`inherited`].
///
/// # Errors
/// `can't lock file '<path>' - <reason>`; `interrupted by signal`.
pub(crate) fn take(path: &Path, seconds: u64, say: &mut dyn FnMut(Waiting)) -> NodeResult<File> {
    let mut watched = None;
    acquire(path, seconds, say, &mut || {
        // Signals from before the wait do not count: the caller may be undoing something because of one.
        let (interrupt, before) = watched.get_or_insert_with(|| {
            let interrupt = Interrupt::watch();
            let before = interrupt.came();
            (interrupt, before)
        });
        if *before { Ok(()) } else { interrupt.check() }
    })
}

/// As [`take`], for a file that others hold for a moment only: signals do not end the wait.
///
/// # Errors
/// `can't lock file '<path>' - <reason>`.
pub(crate) fn take_for_a_moment(path: &Path, seconds: u64) -> NodeResult<File> {
    acquire(path, seconds, &mut |_| {}, &mut || Ok(()))
}

/// `between` decides whether to wait on.
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
        .custom_flags(OFlags::NOFOLLOW.bits() as i32)
        .open(path)
        .map_err(|error| cannot(&format!("can't open file - {}", os_text(&error))))?;
    // Another user could hold a file forever if he made it, or has a hard link to it.
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
                // Before the message: whoever reads it may send a signal at once.
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
    // No code that may panic runs while the mutex is locked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A locked file; released on drop.
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

/// Holds a lock until [`end_operation`] or the end of the process.
pub(crate) fn begin_operation(path: &Path, file: File) {
    entered(&OPERATIONS).insert(path.to_owned(), HeldLock::new(file));
}

/// Releases what [`begin_operation`] holds.
pub(crate) fn end_operation(path: &Path) {
    entered(&OPERATIONS).remove(path);
}

/// Runs `spawn` so that its child inherits the locked files.
pub(crate) fn inherited<T>(spawn: impl FnOnce() -> T) -> T {
    let files: Vec<Arc<File>> = entered(&HELD).iter().filter_map(Weak::upgrade).collect();
    // If a child cannot inherit one, we alone hold it, as usual.
    for file in &files {
        let _ = fcntl_setfd(file, FdFlags::empty());
    }
    let result = spawn();
    for file in &files {
        let _ = fcntl_setfd(file, FdFlags::CLOEXEC);
    }
    result
}
