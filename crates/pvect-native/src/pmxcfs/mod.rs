//! Reads many files of pmxcfs, the cluster's file system in `/etc/pve`, through its own IPC.
//!
//! Each file that is opened there costs several messages through FUSE. pmxcfs also has a server, on an abstract socket,
//! which Proxmox VE's own programs ask; it gives a whole file for one message. [`Pmxcfs::read`] asks it, and is used for
//! nothing that the files themselves would not say: whatever is not as it should be sends the caller back to them.
//!
//! Whom is believed: the server only if root holds the socket (any user may take its name while pmxcfs is not there), only
//! if it is the one whose file system the files are in, and only within the limits of [`LIMIT`] and [`TIME`].

mod connection;
mod message;
#[cfg(test)]
mod peer;
mod ring;
#[cfg(test)]
mod tests;

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use pvect_core::Vmid;
use rustix::fs::FsWord;

use self::connection::Connection;
use self::message::{Answer, Malformed};

/// The abstract name of the server.
const SERVER: &[u8] = b"pve2";
/// `FUSE_SUPER_MAGIC` of linux/magic.h.
const FUSE: FsWord = 0x6573_5546;
/// How many bytes of answers are kept; whoever has more reads files.
const LIMIT: usize = 32 << 20;
/// How long all of it may take.
const TIME: Duration = Duration::from_secs(2);
/// How much of the file of versions is read, bytes; the time of the start is at its beginning.
const VERSIONS: u64 = 64 << 10;

/// Why the server is not used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// Nobody listens, or too many wait already.
    #[error("nobody answers on its socket")]
    Absent,
    /// Somebody else than root listens.
    #[error("its socket is held by process {pid} of user {uid}")]
    Foreign { uid: u32, pid: i32 },
    /// We may not read.
    #[error("it does not let this user in")]
    Refused,
    /// It has closed the connection.
    #[error("it has closed the connection")]
    Closed,
    /// The answers did not come in time.
    #[error("its answers do not come in time")]
    Late,
    /// There is more than is read this way.
    #[error("its answers are too long")]
    Long,
    /// It is not the one that the files belong to.
    #[error("it was not started with the file system at {0}")]
    Another(PathBuf),
    /// What it says cannot be understood.
    #[error("it gives no proper answer")]
    Malformed(#[from] Malformed),
    /// The system does not let us ask.
    #[error("it cannot be asked")]
    Io(#[from] io::Error),
}

/// A directory of configurations in pmxcfs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pmxcfs {
    /// Where pmxcfs is mounted.
    root: PathBuf,
    /// The directory, as pmxcfs names it.
    folder: String,
    /// The abstract name of the server.
    server: Vec<u8>,
    /// How long all answers together may take.
    time: Duration,
}

impl Pmxcfs {
    /// Returns the place of a directory `<root>/nodes/<node>/lxc`; `None` where `<root>` is not a FUSE file system, and
    /// on machines on which libqb's memory has another form.
    pub(crate) fn of(configs: &Path) -> Option<Self> {
        let is_known = cfg!(all(target_pointer_width = "64", target_endian = "little"));
        let place = Self::below(configs, SERVER, TIME).filter(|_| is_known)?;
        let kind = rustix::fs::statfs(&place.root).ok()?.f_type;
        (kind == FUSE).then_some(place)
    }

    fn below(configs: &Path, server: &[u8], time: Duration) -> Option<Self> {
        let node = configs.parent()?;
        let nodes = node.parent()?;
        let name = node.file_name()?.to_str()?;
        let fits =
            configs.file_name() == Some(OsStr::new("lxc")) && nodes.file_name() == Some(OsStr::new("nodes"));
        let (root, folder) = (nodes.parent()?.to_owned(), format!("nodes/{name}/lxc"));
        fits.then(|| Self { root, folder, server: server.to_vec(), time })
    }

    /// Reads the configurations of containers, all of them or none.
    pub(crate) fn read(&self, vmids: &[Vmid]) -> Result<Together, Unusable> {
        let mut connection = Connection::open(&self.server, Instant::now() + self.time)?;
        let mut together = Together::default();
        self.check(&mut connection)?;
        for vmid in vmids {
            let path = format!("{}/{vmid}.conf", self.folder);
            together.add(connection.ask(message::GET_CONFIG, &message::path_body(&path))?)?;
        }
        Ok(together)
    }

    /// Checks that the server is the one that has mounted the file system: both say when pmxcfs was started.
    fn check(&self, connection: &mut Connection) -> Result<(), Unusable> {
        let answer = connection.ask(message::GET_FS_VERSION, b"")?;
        let started = message::start_time(answer.body);
        let mounted = self.versions().ok().and_then(|text| message::start_time(&text));
        if answer.error == 0 && started.is_some() && started == mounted {
            Ok(())
        } else {
            Err(Unusable::Another(self.root.clone()))
        }
    }

    /// The text of versions that the file system gives.
    fn versions(&self) -> io::Result<Vec<u8>> {
        let mut text = Vec::new();
        File::open(self.root.join(".version"))?.take(VERSIONS).read_to_end(&mut text)?;
        Ok(text)
    }
}

/// The texts of many files, in the order in which they were asked for.
#[derive(Debug, Default)]
pub(crate) struct Together {
    bytes: Vec<u8>,
    files: Vec<Option<Range<usize>>>,
}

impl Together {
    /// Returns the text of a file by its place in the order; `None` where the server did not give it: it is to be read
    /// as a file, which says why.
    pub(crate) fn get(&self, place: usize) -> Option<&[u8]> {
        self.bytes.get(self.files.get(place)?.clone()?)
    }

    fn add(&mut self, answer: Answer<'_>) -> Result<(), Unusable> {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(answer.body);
        self.files.push((answer.error == 0).then_some(start..self.bytes.len()));
        if self.bytes.len() > LIMIT { Err(Unusable::Long) } else { Ok(()) }
    }
}

/// Reads bytes as each of the messages, for the fuzz target; returns how long the files in them are.
pub(crate) fn read_as_each(bytes: &[u8]) -> usize {
    let _ = (message::welcome(bytes), message::start_time(bytes));
    let names = [Path::new("/dev/shm/qb-1/a-header"), Path::new("/dev/shm/qb-1/a-data")];
    let _ = message::is_fresh_ring(bytes, names, 8192, 4096);
    let answers = [message::GET_FS_VERSION, message::GET_CONFIG].map(|kind| message::answer(bytes, kind));
    answers.iter().flatten().map(|answer| answer.body.len()).sum()
}
