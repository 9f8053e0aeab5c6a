//! The lock files that this process holds.
//!
//! A program that writes to a volume (mkfs, resize2fs) outlives us when we are killed. It inherits these files, and
//! with them the locks: nobody takes the container for free before the program has ended.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use rustix::io::{FdFlags, fcntl_setfd};

static HELD: Mutex<Vec<Weak<File>>> = Mutex::new(Vec::new());
static OPERATIONS: Mutex<BTreeMap<PathBuf, Held>> = Mutex::new(BTreeMap::new());

fn entered<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that panics runs while they are locked.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A locked file; dropped, it is released.
#[derive(Debug)]
pub(crate) struct Held {
    _file: Arc<File>,
}

impl Held {
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
    entered(&OPERATIONS).insert(path.to_owned(), Held::new(file));
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
