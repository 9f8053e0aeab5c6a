//! Files of a running container, read from outside: none of its programs has a part in it, so none can lie about a copy.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pvect_core::error::Run;
use pvect_core::{Call, Error, ErrorKind, Result, Verb, Vmid};
use pvect_rootfs::rooted::{Rooted, is_of_kernel, is_plain};
use rustix::fs::OFlags;

use super::verify::{Fingerprint, Found, of_open};
use crate::Client;

/// Where a container's files are seen from outside.
#[derive(Debug, Clone)]
pub(super) struct Outside {
    root: Arc<Rooted>,
}

impl Outside {
    /// `None` where the container does not run, or is not seen from here: then only its own programs can look.
    pub(super) fn of(client: &Client, vmid: Vmid) -> Option<Self> {
        client.guest_root(vmid).map(|root| Self { root: Arc::new(root) })
    }

    /// Looks at a path, and reads the file there if `whole`; else its content is unknown.
    pub(super) async fn look(&self, client: &Client, vmid: Vmid, path: &Path, whole: bool) -> Result<Found> {
        let (this, path) = (self.clone(), path.to_owned());
        beside(client, vmid, move || this.look_now(&path, whole)).await
    }

    /// Compares files below a directory of the container; returns the places of those that differ, and of those that
    /// cannot be read from outside.
    pub(super) async fn compare(
        &self,
        client: &Client,
        vmid: Vmid,
        guest: &Path,
        files: Vec<(PathBuf, Fingerprint)>,
    ) -> Result<(Vec<usize>, Vec<usize>)> {
        let (this, guest) = (self.clone(), guest.to_owned());
        let work = move || {
            let (mut differ, mut odd) = (Vec::new(), Vec::new());
            for (index, (path, content)) in files.iter().enumerate() {
                match this.look_now(&guest.join(path), true) {
                    Found::File(found) if content.fits(&found) => {}
                    Found::Unknown => odd.push(index),
                    _ => differ.push(index),
                }
            }
            (differ, odd)
        };
        beside(client, vmid, work).await
    }

    fn look_now(&self, path: &Path, whole: bool) -> Found {
        self.open(path, whole).unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Found::Nothing,
            _ => Found::Unknown,
        })
    }

    fn open(&self, path: &Path, whole: bool) -> io::Result<Found> {
        // First as a place only: opening a device, a pipe, or a file such as /proc/kmsg, may act already.
        let place = self.root.open_at(path, OFlags::PATH)?;
        if !is_plain(&place) || is_of_kernel(&place) {
            return Ok(Found::Unknown);
        }
        // The very file that was looked at.
        let file = File::open(format!("/proc/self/fd/{}", place.as_raw_fd()))?;
        if file.metadata()?.is_dir() {
            return Ok(Found::Directory);
        }
        Ok(if whole { Found::File(of_open(file)?) } else { Found::Unread })
    }
}

/// Works in a thread of its own, which nobody has to wait for: a file system of the container (FUSE) may never answer.
/// The limits are those of a command in the container.
async fn beside<T: Send + 'static>(
    client: &Client,
    vmid: Vmid,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (sender, receiver) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || sender.send(work()));
    let gave_up = |kind, why: &str| Error::Failed {
        kind,
        message: format!("the copy was not verified: {why}"),
        vmid: Some(vmid),
        run: Box::<Run>::default(),
    };
    let limit = client.config.limit(&Call::on(Verb::Exec, vmid));
    let clock = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
    };
    let mut cancelled = client.cancel.subscribe();
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
        let look = |path: &str| outside.look_now(Path::new(path), true);
        for path in ["/etc/file", "/link", "etc/file"] {
            assert!(matches!(look(path), Found::File(found) if found.size == Some(6)), "{path}");
        }
        assert!(matches!(look("/etc"), Found::Directory));
        for path in ["/none", "/etc/out", "/../secret", "/etc/file/x"] {
            assert!(matches!(look(path), Found::Nothing), "{path}");
        }
        assert!(matches!(look("/fifo"), Found::Unknown));
        assert!(matches!(outside.look_now(Path::new("/link"), false), Found::Unread));
    }
}
