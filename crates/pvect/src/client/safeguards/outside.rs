//! Files of a running container, read from outside: none of its programs has a part in it, so none can lie about a copy.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pvect_core::error::Run;
use pvect_core::{Call, Error, ErrorKind, Result, Verb, Vmid};
use pvect_rootfs::rooted::{Rooted, is_of_kernel, is_plain};
use rustix::fs::OFlags;

use super::fingerprint::{Fingerprint, Found, of_reader};
use super::same;
use crate::Client;

/// A container's root directory, seen from outside.
#[derive(Debug, Clone)]
pub(super) struct Outside {
    root: Arc<Rooted>,
}

impl Outside {
    /// `None` if the container does not run or cannot be seen from here: then only its own programs can read its files.
    pub(super) fn of(client: &Client, vmid: Vmid) -> Option<Self> {
        client.guest_root(vmid).map(|root| Self { root: Arc::new(root) })
    }

    /// Finds out what is at a path, without reading a file.
    pub(super) async fn look(&self, client: &Client, vmid: Vmid, path: &Path) -> Result<Found> {
        let (this, path) = (self.clone(), path.to_owned());
        beside(client, vmid, move |stop| this.look_now(&path, None, &mut Known::new(), stop)).await
    }

    /// Reads what is at a path. Of a file it reads only as much as is needed to see that it is larger than it should
    /// be.
    pub(super) async fn read(&self, client: &Client, vmid: Vmid, path: &Path, size: u64) -> Result<Found> {
        let (this, path) = (self.clone(), path.to_owned());
        beside(client, vmid, move |stop| this.look_now(&path, Some(size), &mut Known::new(), stop)).await
    }

    /// Whether the file at a path has the same content as one of this machine; `false` also when that could not be
    /// determined.
    pub(super) async fn is_same(&self, client: &Client, vmid: Vmid, path: &Path, here: File) -> Result<bool> {
        let (this, path) = (self.clone(), path.to_owned());
        beside(client, vmid, move |_| this.same_now(&path, &here).unwrap_or(false)).await
    }

    /// Compares files below a directory of the container; returns the indices of those that differ, and of those that
    /// cannot be read from outside.
    pub(super) async fn compare(
        &self,
        client: &Client,
        vmid: Vmid,
        guest: &Path,
        files: Vec<(PathBuf, Fingerprint)>,
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        let (this, guest) = (self.clone(), guest.to_owned());
        let work = move |stop: &dyn Fn() -> bool| {
            let (mut differ, mut odd) = (Vec::new(), Vec::new());
            let mut known = Known::new();
            for (index, (path, content)) in files.iter().enumerate() {
                let size = content.size.unwrap_or(u64::MAX);
                match this.look_now(&guest.join(path), Some(size), &mut known, stop) {
                    Found::File(found) if content.fits(&found) => {}
                    Found::Unknown => odd.push(index),
                    _ => differ.push(index),
                }
            }
            (differ, odd)
        };
        beside(client, vmid, work).await
    }

    fn look_now(&self, path: &Path, size: Option<u64>, known: &mut Known, stop: &dyn Fn() -> bool) -> Found {
        self.open(path, size, known, stop).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Found::Nothing,
            _ => Found::Unknown,
        })
    }

    fn same_now(&self, path: &Path, here: &File) -> io::Result<bool> {
        match self.open_harmless(path)? {
            Some(there) => same::is_same(here, &there),
            None => Ok(false),
        }
    }

    /// Opens a file or directory; `None` if opening it might have an effect.
    fn open_harmless(&self, path: &Path) -> io::Result<Option<File>> {
        // First with `O_PATH` only: merely opening a device, a pipe, or a file such as /proc/kmsg may have an effect.
        let place = self.root.open_at(path, OFlags::PATH)?;
        if !is_plain(&place) || is_of_kernel(&place) {
            return Ok(None);
        }
        // Open the same file that was checked.
        File::open(format!("/proc/self/fd/{}", place.as_raw_fd())).map(Some)
    }

    fn open(
        &self,
        path: &Path,
        size: Option<u64>,
        known: &mut Known,
        stop: &dyn Fn() -> bool,
    ) -> io::Result<Found> {
        let Some(file) = self.open_harmless(path)? else { return Ok(Found::Unknown) };
        let meta = file.metadata()?;
        if meta.is_dir() {
            return Ok(Found::Directory);
        }
        let Some(size) = size else { return Ok(Found::Unread) };
        // A container can make a file of terabytes in no time, or one that grows while it is read.
        if meta.len() > size {
            return Ok(Found::File(Fingerprint { size: Some(meta.len()), sha256: String::new() }));
        }
        let place = (meta.dev(), meta.ino());
        if let Some(content) = known.get(&place) {
            return Ok(Found::File(content.clone()));
        }
        let content = of_reader(file.take(size.saturating_add(1)), stop)?;
        known.insert(place, content.clone());
        Ok(Found::File(content))
    }
}

/// The files that were read, by device and inode, because one file may have any number of names.
type Known = HashMap<(u64, u64), Fingerprint>;

/// Tells the thread that works for a future that nobody waits for it any more.
struct Ends(Arc<AtomicBool>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Works in a thread of its own that nobody has to wait for, because a file system of the container (FUSE) may never
/// answer. The limits are those of a command in the container. `work` gets a function that says whether to stop, to be
/// called now and then.
async fn beside<T: Send + 'static>(
    client: &Client,
    vmid: Vmid,
    work: impl FnOnce(&dyn Fn() -> bool) -> T + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let ends = Ends(Arc::default());
    let ended = Arc::clone(&ends.0);
    std::thread::spawn(move || sender.send(work(&|| ended.load(Ordering::Relaxed))));
    let gave_up = |kind, why: &str| Error::Failed {
        kind,
        message: format!("the copy was not verified: {why}"),
        vmid: Some(vmid),
        run: Box::<Run>::default(),
    };
    let limit = client.node.config.limit(&Call::on(Verb::Exec, vmid));
    let clock = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let mut cancelled = client.node.cancel.subscribe();
    tokio::select! {
        done = receiver => done.map_err(|_| gave_up(ErrorKind::PctOperationFailed, "reading it ended early")),
        () = clock => {
            let seconds = limit.unwrap_or_default().as_secs_f64();
            let why = format!("the container's file system did not answer within {seconds:.1} s");
            Err(gave_up(ErrorKind::PctTimeout, &why))
        }
        Ok(_) = cancelled.wait_for(|count| *count > 0) => {
            Err(gave_up(ErrorKind::PctTimeout, "interrupted"))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_what_is_inside_and_harmless_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("root");
        std::fs::create_dir_all(root.join("etc")).unwrap();
        std::fs::write(root.join("etc/file"), "inside").unwrap();
        std::fs::write(dir.path().join("secret"), "outside").unwrap();
        symlink("/etc/file", root.join("link")).unwrap();
        symlink("../../secret", root.join("etc/out")).unwrap();
        let fifo = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, root.join("fifo"), rustix::fs::FileType::Fifo, fifo, 0).unwrap();
        let outside = Outside { root: Arc::new(Rooted::open(&root, (0, 0)).unwrap()) };
        let look = |path: &str| outside.look_now(Path::new(path), Some(6), &mut Known::new(), &|| false);
        for path in ["/etc/file", "/link", "etc/file"] {
            assert!(matches!(look(path), Found::File(found) if found.size == Some(6)), "{path}");
        }
        assert!(matches!(look("/etc"), Found::Directory));
        for path in ["/none", "/etc/out", "/../secret", "/etc/file/x"] {
            assert!(matches!(look(path), Found::Nothing), "{path}");
        }
        assert!(matches!(look("/fifo"), Found::Unknown));
        let unread = outside.look_now(Path::new("/link"), None, &mut Known::new(), &|| false);
        assert!(matches!(unread, Found::Unread));
        File::create(root.join("large")).unwrap().set_len(1 << 43).unwrap();
        let large = Fingerprint { size: Some(1 << 43), sha256: String::new() };
        assert!(matches!(look("/large"), Found::File(found) if found == large));
        assert_eq!(large.to_string(), "8796093022208 bytes");
    }

    #[test]
    fn a_file_of_many_names_is_read_once_and_a_read_can_be_stopped() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("one"), vec![7; 3 << 20]).unwrap();
        std::fs::hard_link(dir.path().join("one"), dir.path().join("two")).unwrap();
        let outside = Outside { root: Arc::new(Rooted::open(dir.path(), (0, 0)).unwrap()) };
        let (mut known, asked) = (Known::new(), std::cell::Cell::new(0));
        let mut look = |path: &str| {
            let before = asked.get();
            let found = outside.look_now(Path::new(path), Some(4 << 20), &mut known, &|| {
                asked.set(asked.get() + 1);
                false
            });
            (format!("{found:?}"), asked.get() - before)
        };
        let (one, blocks) = look("/one");
        assert!(one.contains("3145728") && blocks > 3, "{one} {blocks}");
        assert_eq!(look("/two"), (one, 0));
        let stopped = outside.look_now(Path::new("/one"), Some(4 << 20), &mut Known::new(), &|| true);
        assert!(matches!(stopped, Found::Unknown));
    }
}
