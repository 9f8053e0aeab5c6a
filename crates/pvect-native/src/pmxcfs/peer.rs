//! A server for tests: as pmxcfs where a test says nothing else.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, symlink};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rustix::net::{AddressFamily, SocketAddrUnix, SocketType, accept, bind, listen, socket};
use rustix::process::Uid;

use super::message::{GET_CONFIG, GET_FS_VERSION, WELCOME, number, signed, text_of};

const MAGIC: u32 = 0xA1A1_A1A1;

/// What a server does that pmxcfs does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Proper,
    /// It listens as another user.
    OfUser(u32),
    /// It takes the connection and says nothing.
    SaysNothing,
    /// It closes the connection in the middle of its welcome.
    HalfWelcome,
    /// It changes a number of its welcome.
    Welcome(usize, i32),
    /// It names other files than its rings.
    Rings(&'static str),
    /// Its rings are links.
    LinkedRings,
    /// Anybody may write its rings.
    OpenRings,
    /// It changes a number in the header of its ring for answers.
    Header(usize, i32),
    /// It answers so many requests and then waits.
    StopsAt(u32),
    /// It answers so many requests and then closes.
    ClosesAt(u32),
    /// It says that so many more answers wait than there are.
    Extra(u32),
    /// It changes a number of each chunk of its answers.
    Chunk(usize, i32),
    /// It says that its answers end there.
    EndsAt(u32),
    /// Its ring shrinks after the first answer.
    Shrinks,
}

/// A running server; its directory of rings goes with it.
pub(super) struct Peer {
    /// Its abstract name.
    pub(super) name: Vec<u8>,
    _rings: tempfile::TempDir,
}

impl Peer {
    /// Starts one that gives these files.
    pub(super) fn start(manner: Manner, versions: &str, files: &[(String, Vec<u8>)]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("pvect-test-{}-{number}", std::process::id()).into_bytes();
        let rings = tempfile::Builder::new().prefix("qb-").rand_bytes(12).tempdir_in("/dev/shm").unwrap();
        let served = Served {
            manner,
            versions: versions.to_owned(),
            files: files.iter().cloned().collect(),
            rings: rings.path().to_owned(),
            longest: 0,
            answered: 0,
        };
        let (ready, waits) = std::sync::mpsc::channel();
        let padded = [name.as_slice(), &[0; 107][name.len()..]].concat();
        std::thread::spawn(move || {
            if let Manner::OfUser(uid) = manner {
                rustix::thread::set_thread_res_uid(None, Uid::from_raw(uid), None).unwrap();
            }
            let listener = socket(AddressFamily::UNIX, SocketType::STREAM, None).unwrap();
            bind(&listener, &SocketAddrUnix::new_abstract_name(&padded).unwrap()).unwrap();
            listen(&listener, 1).unwrap();
            ready.send(()).unwrap();
            served.serve(UnixStream::from(accept(&listener).unwrap()));
        });
        waits.recv_timeout(Duration::from_secs(60)).unwrap();
        Self { name, _rings: rings }
    }
}

struct Served {
    manner: Manner,
    versions: String,
    files: BTreeMap<String, Vec<u8>>,
    rings: PathBuf,
    /// How long the messages of the client may be, bytes.
    longest: u32,
    answered: u32,
}

impl Served {
    fn serve(mut self, mut client: UnixStream) {
        let mut hello = [0; 24];
        client.read_exact(&mut hello).unwrap();
        self.longest = number(&hello, 16).unwrap();
        let (requests, answers) = (self.ring("request"), self.ring("response"));
        let welcome = self.welcome();
        match self.manner {
            Manner::SaysNothing => return until_closed(client),
            Manner::HalfWelcome => return client.write_all(&welcome[..WELCOME / 2]).unwrap(),
            _ => client.write_all(&welcome).unwrap(),
        }
        let (mut from, mut to) = (0, 0);
        let mut byte = [0];
        while client.read(&mut byte).is_ok_and(|count| count == 1) {
            match self.manner {
                Manner::StopsAt(count) if count == self.answered => return until_closed(client),
                Manner::ClosesAt(count) if count == self.answered => return,
                _ => {}
            }
            let request = requests.take(&mut from);
            let answer = self.answer(&request);
            if !answers.put(&mut to, &answer) {
                return;
            }
            self.answered += 1;
            self.spoil(&answers);
        }
    }

    /// Makes a ring's files, as nobody has used them.
    fn ring(&self, name: &str) -> Ring {
        let path = |end: &str| self.rings.join(format!("qb-{name}-test-{end}"));
        let mut header = vec![0; 8252];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        let length = (self.longest as usize + 13).next_multiple_of(4096);
        put(8, &((length / 4) as u32).to_ne_bytes());
        put(12, path("header").as_os_str().as_encoded_bytes());
        put(4108, path("data").as_os_str().as_encoded_bytes());
        put(8204, &1_u32.to_ne_bytes());
        if let (Manner::Header(at, value), "response") = (self.manner, name) {
            put(at, &value.to_ne_bytes());
        }
        let make = |end: &str, bytes: &[u8]| {
            let there =
                if self.manner == Manner::LinkedRings { path(&format!("{end}-it")) } else { path(end) };
            std::fs::write(&there, bytes).unwrap();
            let mode = if self.manner == Manner::OpenRings { 0o666 } else { 0o600 };
            std::fs::set_permissions(&there, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
            if there != path(end) {
                symlink(&there, path(end)).unwrap();
            }
            File::options().read(true).write(true).open(there).unwrap()
        };
        Ring { header: make("header", &header), data: make("data", &vec![0; length]), length }
    }

    fn welcome(&self) -> Vec<u8> {
        let mut bytes = vec![0; WELCOME];
        let mut put = |at: usize, new: &[u8]| bytes[at..at + new.len()].copy_from_slice(new);
        let rings = self.rings.to_str().unwrap();
        for (at, value) in [(0, -1), (8, WELCOME as i32), (16, 0), (24, 1), (28, self.longest as i32)] {
            put(at, &i32::to_ne_bytes(value));
        }
        for (at, name) in [(40, "request"), (4136, "response"), (8232, "event")] {
            put(at, format!("{rings}/qb-{name}-test").as_bytes());
        }
        match self.manner {
            Manner::Rings(name) => put(4136, format!("{name}\0").as_bytes()),
            Manner::Welcome(at, value) => put(at, &value.to_ne_bytes()),
            _ => {}
        }
        bytes
    }

    fn answer(&self, request: &[u8]) -> Vec<u8> {
        let kind = signed(request, 0).unwrap();
        assert_eq!(number(request, 8), Some(request.len() as u32));
        let (error, body) = match kind {
            GET_FS_VERSION => (0, self.versions.as_bytes()),
            GET_CONFIG => match self.files.get(text_of(&request[16..]).unwrap()) {
                Some(text) => (0, text.as_slice()),
                None => (-2, &b""[..]),
            },
            _ => panic!("{kind}"),
        };
        let length = (24 + body.len()) as i32;
        let header: Vec<u8> = [kind, length, error].iter().flat_map(|field| field_of(*field)).collect();
        let mut chunk = [&field_of(length)[..4], &MAGIC.to_ne_bytes(), &header, body].concat();
        if let (Manner::Chunk(at, value), GET_CONFIG) = (self.manner, kind) {
            chunk[at..at + 4].copy_from_slice(&value.to_ne_bytes());
        }
        chunk.resize(chunk.len().next_multiple_of(4), 0);
        chunk
    }

    fn spoil(&self, answers: &Ring) {
        match self.manner {
            Manner::Extra(count) => answers.set(8208, answers.get(8208) + count),
            Manner::EndsAt(word) => answers.set(0, word),
            Manner::Shrinks => answers.data.set_len(0).unwrap(),
            _ => {}
        }
    }
}

/// A number in 8 bytes; what is behind it is not cleared, as in libqb.
fn field_of(value: i32) -> [u8; 8] {
    let mut field = [0x56; 8];
    field[..4].copy_from_slice(&value.to_ne_bytes());
    field
}

fn until_closed(mut client: UnixStream) {
    let _ = client.read_to_end(&mut Vec::new());
}

/// The server's side of a ring.
struct Ring {
    header: File,
    data: File,
    length: usize,
}

impl Ring {
    fn get(&self, at: u64) -> u32 {
        let mut bytes = [0; 4];
        self.header.read_exact_at(&mut bytes, at).unwrap();
        u32::from_ne_bytes(bytes)
    }

    fn set(&self, at: u64, value: u32) {
        self.header.write_all_at(&value.to_ne_bytes(), at).unwrap();
    }

    /// Takes the next request, of a ring that may begin anew in the middle of it.
    fn take(&self, from: &mut usize) -> Vec<u8> {
        let waiting = self.get(8208);
        assert!(waiting > 0, "a byte without a request");
        self.set(8208, waiting - 1);
        let part = |at: usize, length: usize| {
            let at = at % self.length;
            let mut bytes = vec![0; length];
            let (before, after) = bytes.split_at_mut(length.min(self.length - at));
            self.data.read_exact_at(before, at as u64).unwrap();
            self.data.read_exact_at(after, 0).unwrap();
            bytes
        };
        let header = part(*from, 8);
        assert_eq!(number(&header, 4), Some(MAGIC));
        let length = number(&header, 0).unwrap() as usize;
        let request = part(*from + 8, length);
        *from = (*from + 8 + length.next_multiple_of(4)) % self.length;
        self.set(4, (*from / 4) as u32);
        request
    }

    /// Puts an answer into the ring; returns false where it has no room.
    fn put(&self, to: &mut usize, chunk: &[u8]) -> bool {
        let (read, waiting) = (4 * self.get(4) as usize, self.get(8208));
        let room = match (read + self.length - *to) % self.length {
            0 if waiting == 0 => self.length,
            room => room.saturating_sub(4),
        };
        if room < chunk.len() + 12 {
            return false;
        }
        let first = chunk.len().min(self.length - *to);
        self.data.write_all_at(&chunk[..first], *to as u64).unwrap();
        self.data.write_all_at(&chunk[first..], 0).unwrap();
        *to = (*to + chunk.len()) % self.length;
        self.set(0, (*to / 4) as u32);
        self.set(8208, self.get(8208) + 1);
        true
    }
}
