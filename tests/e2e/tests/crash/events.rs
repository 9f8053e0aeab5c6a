//! Changes of files below a directory, as they happen: moments at which to kill.

use std::collections::BTreeMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};

/// Watches directories with all that is below them. inotify(7) does not see into directories that were just made
/// until they are added: a change there may be missed, which costs no more than a moment.
pub struct Events {
    inotify: OwnedFd,
    directories: BTreeMap<i32, PathBuf>,
}

impl Events {
    /// Begins to watch.
    pub fn below(root: &Path) -> Self {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).expect("inotify");
        let mut events = Self { inotify, directories: BTreeMap::new() };
        events.add(root);
        events
    }

    fn add(&mut self, directory: &Path) {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVED_FROM
            | WatchFlags::MOVED_TO
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::ATTRIB
            | WatchFlags::ONLYDIR
            | WatchFlags::DONT_FOLLOW;
        // It may be gone by now.
        let Ok(watch) = inotify::add_watch(self.inotify.as_fd(), directory, flags) else { return };
        self.directories.insert(watch, directory.to_owned());
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.add(&entry.path());
            }
        }
    }

    /// Returns how many changes there were since the last call.
    pub fn count(&mut self) -> u64 {
        let mut buffer = [MaybeUninit::uninit(); 4096];
        let mut made = Vec::new();
        let mut count = 0;
        let mut reader = Reader::new(self.inotify.as_fd(), &mut buffer);
        while let Ok(event) = reader.next() {
            count += 1;
            let is_new = event.events().intersects(ReadFlags::CREATE | ReadFlags::MOVED_TO);
            if let (true, Some(name), Some(parent)) = (
                is_new && event.events().contains(ReadFlags::ISDIR),
                event.file_name().and_then(|name| name.to_str().ok()),
                self.directories.get(&event.wd()),
            ) {
                made.push(parent.join(name));
            }
        }
        made.iter().for_each(|path| self.add(path));
        count
    }
}
