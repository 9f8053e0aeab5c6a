//! The bytes of libqb's IPC and of the messages of pmxcfs: plain functions, from bytes to values.
//!
//! Numbers are of the machine's own byte order. Sources: qbipc_common.h, ipc_int.h and ringbuffer.c of libqb 2.0;
//! cfs-ipc-ops.h and server.c of pve-cluster.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// What a client has to say first.
const AUTHENTICATE: i32 = -1;
/// Rings in shared memory, the kind of connection that pmxcfs offers.
const SHARED_MEMORY: i32 = 1;
/// How long the field of a ring's name is.
const NAME_FIELD: usize = 4096;
/// The header of a request: its kind and its length, each in 8 bytes.
const REQUEST_HEADER: usize = 16;
/// The header of an answer: kind, length and error, each in 8 bytes.
const ANSWER_HEADER: usize = 24;
/// What stands before a message in a ring: its length and [`CHUNK_MAGIC`], 4 bytes each.
const CHUNK_HEADER: usize = 8;
/// Says that a chunk is whole.
const CHUNK_MAGIC: u32 = 0xA1A1_A1A1;
/// Where the header of a ring has what: the places of writer and reader and the length of the ring, in words of 4 bytes; the
/// names of both files; how many have the ring open; how many messages wait.
pub(super) const WRITE: usize = 0;
pub(super) const READ: usize = 4;
const WORDS: usize = 8;
const HEADER_NAME: usize = 12;
const DATA_NAME: usize = HEADER_NAME + NAME_FIELD;
const OPEN: usize = DATA_NAME + NAME_FIELD;
pub(super) const WAITING: usize = OPEN + 4;
/// What is looked at of a ring's header: all of the above, and the rest of the semaphore.
pub(super) const RING_HEADER: usize = WAITING + 32;
/// What libqb adds to the longest message for the length of a ring.
pub(super) const RING_MARGIN: u64 = 13;
/// What it rounds that up to at the most: a page of any machine.
const RING_ROUNDED: u64 = 64 << 10;
/// Where rings may be, and how the names of their directories begin.
const RINGS: &str = "/dev/shm/qb-";

/// The length of the answer to [`hello`].
pub(super) const WELCOME: usize = 40 + 3 * NAME_FIELD;
/// Asks for the versions of what pmxcfs holds; the answer is the text of `/etc/pve/.version`.
pub(super) const GET_FS_VERSION: i32 = 1;
/// Asks for a whole file.
pub(super) const GET_CONFIG: i32 = 6;

/// Why bytes are not what they should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Malformed(pub(super) &'static str);

/// The first message of a client: how long one message may be, in bytes.
pub(super) fn hello(longest: u32) -> [u8; 24] {
    let mut bytes = [0; 24];
    bytes[..4].copy_from_slice(&AUTHENTICATE.to_ne_bytes());
    bytes[8..12].copy_from_slice(&24_i32.to_ne_bytes());
    bytes[16..20].copy_from_slice(&longest.to_ne_bytes());
    bytes
}

/// What the server says to a client that it lets in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Welcome {
    /// How long one message may be, in bytes.
    pub(super) longest: u32,
    /// The ring for requests: the beginning of the names of its two files.
    pub(super) requests: PathBuf,
    /// As `requests`, for answers.
    pub(super) answers: PathBuf,
}

/// Parses the answer to [`hello`]; `None` where the client is not let in.
pub(super) fn welcome(bytes: &[u8]) -> Result<Option<Welcome>, Malformed> {
    let field = |at| signed(bytes, at).ok_or(Malformed("the welcome is short"));
    if (field(0)?, field(8)?) != (AUTHENTICATE, WELCOME as i32) {
        return Err(Malformed("the welcome has another form"));
    }
    if field(16)? != 0 {
        return Ok(None);
    }
    if field(24)? != SHARED_MEMORY {
        return Err(Malformed("the server offers another kind of connection"));
    }
    let longest = u32::try_from(field(28)?).map_err(|_| Malformed("the longest message has no length"))?;
    Ok(Some(Welcome {
        longest,
        requests: ring_name(bytes, 40)?,
        answers: ring_name(bytes, 40 + NAME_FIELD)?,
    }))
}

/// A ring's name: a directory of libqb's own, and a plain name in it.
fn ring_name(bytes: &[u8], at: usize) -> Result<PathBuf, Malformed> {
    let wrong = Malformed("a ring has an unexpected name");
    let field = bytes.get(at..at + NAME_FIELD).and_then(text_of).ok_or(wrong)?;
    let (directory, name) = field.strip_prefix(RINGS).and_then(|rest| rest.split_once('/')).ok_or(wrong)?;
    let is_plain = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    if is_plain(directory) && is_plain(name) { Ok(field.into()) } else { Err(wrong) }
}

/// Returns whether the header of a ring says that nobody has used the ring, that it consists of two files of these names,
/// and that the data, which has `length` bytes, has room for messages of `longest` bytes.
pub(super) fn is_fresh_ring(bytes: &[u8], names: [&Path; 2], length: u64, longest: u32) -> bool {
    let named = |at: usize, path: &Path| {
        let field = bytes.get(at..at + NAME_FIELD).and_then(text_of);
        field.map(str::as_bytes) == Some(path.as_os_str().as_bytes())
    };
    let room = u64::from(longest) + RING_MARGIN;
    [WRITE, READ, WAITING].iter().all(|at| number(bytes, *at) == Some(0))
        && number(bytes, OPEN) == Some(1)
        && named(HEADER_NAME, names[0])
        && named(DATA_NAME, names[1])
        && number(bytes, WORDS).map(|words| u64::from(words) * 4) == Some(length)
        && (room..=room + RING_ROUNDED).contains(&length)
}

/// The text of a field, up to its first NUL.
pub(super) fn text_of(field: &[u8]) -> Option<&str> {
    let end = field.iter().position(|byte| *byte == 0)?;
    std::str::from_utf8(field.get(..end)?).ok()
}

/// Makes a request, as a chunk of a ring; what was in `chunk` goes.
pub(super) fn put_request(chunk: &mut Vec<u8>, kind: i32, body: &[u8]) {
    let length = REQUEST_HEADER + body.len();
    chunk.clear();
    chunk.extend((length as u32).to_ne_bytes());
    chunk.extend(CHUNK_MAGIC.to_ne_bytes());
    for field in [kind, length as i32] {
        chunk.extend(field.to_ne_bytes());
        chunk.extend([0; 4]);
    }
    chunk.extend(body);
    chunk.resize(chunk.len().next_multiple_of(4), 0);
}

/// The body of a request for a file, whose path is below the root of pmxcfs and has no slash before it.
pub(super) fn path_body(path: &str) -> Vec<u8> {
    [path.as_bytes(), b"\0"].concat()
}

/// One answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer<'a> {
    /// 0, or a negative errno(3).
    pub(super) error: i32,
    /// What was asked for.
    pub(super) body: &'a [u8],
}

/// Parses what a ring for answers holds: one whole chunk, of the kind that was asked for.
pub(super) fn answer(bytes: &[u8], kind: i32) -> Result<Answer<'_>, Malformed> {
    let length = number(bytes, 0).and_then(|length| usize::try_from(length).ok());
    let length = length.ok_or(Malformed("an answer is missing"))?;
    if number(bytes, 4) != Some(CHUNK_MAGIC) {
        return Err(Malformed("an answer is not whole"));
    }
    let chunk = bytes.get(CHUNK_HEADER..).and_then(|all| all.get(..length));
    let chunk = chunk.ok_or(Malformed("an answer is longer than what is there"))?;
    if bytes.len() != CHUNK_HEADER + length.next_multiple_of(4) {
        return Err(Malformed("there is more than one answer"));
    }
    let field = |at| signed(chunk, at).ok_or(Malformed("an answer is short"));
    let (given, size, error) = (field(0)?, field(8)?, field(16)?);
    let body = chunk.get(ANSWER_HEADER..).ok_or(Malformed("an answer is short"))?;
    if given != kind || usize::try_from(size) != Ok(length) || error > 0 {
        return Err(Malformed("an answer has an unexpected header"));
    }
    Ok(Answer { error, body })
}

/// Returns when pmxcfs was started, in seconds since 1970, of the text of its versions.
pub(super) fn start_time(versions: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(versions).ok()?;
    let rest = text.strip_prefix('{')?.trim_start().strip_prefix("\"starttime\":")?;
    rest.split_once(',')?.0.trim().parse().ok()
}

/// The 4-byte number at a place.
pub(super) fn number(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_ne_bytes(field.try_into().ok()?))
}

/// As [`number`], of one that may be negative.
pub(super) fn signed(bytes: &[u8], at: usize) -> Option<i32> {
    number(bytes, at).map(|number| number as i32)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What pmxcfs 9.1.6 with libqb 2.0.8 said to a client that asked for the versions and for three files: one with a
    /// snapshot, one that is empty, and one that there is not.
    const WELCOMED: &[u8] = include_bytes!("../../fixtures/pmxcfs/welcome.bin");
    const ANSWERS: &[u8] = include_bytes!("../../fixtures/pmxcfs/answers.bin");
    /// The header of the ring for answers, before the first request.
    const HEADER: &[u8] = include_bytes!("../../fixtures/pmxcfs/ring-header.bin");
    const RING: &str = "/dev/shm/qb-17160-18672-14-dX0jOu/qb-response-pve2";

    fn changed(bytes: &[u8], at: usize, new: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        bytes[at..at + new.len()].copy_from_slice(new);
        bytes
    }

    #[test]
    fn the_welcome_names_the_rings() {
        let expected = Welcome {
            longest: 1 << 20,
            requests: "/dev/shm/qb-17160-18672-14-dX0jOu/qb-request-pve2".into(),
            answers: RING.into(),
        };
        assert_eq!(welcome(WELCOMED), Ok(Some(expected)));
        assert_eq!(welcome(&changed(WELCOMED, 16, &1_i32.to_ne_bytes())), Ok(None));
        for at in [0, 8, 24] {
            assert!(welcome(&changed(WELCOMED, at, &[9])).is_err(), "{at}");
        }
        for length in [0, 20, 39, 41, WELCOME / 2] {
            assert!(welcome(&WELCOMED[..length]).is_err(), "{length}");
        }
    }

    #[test]
    fn rings_are_where_libqb_makes_them() {
        for name in [
            "/etc/passwd",
            "/dev/shm/qb-1/../../../etc/passwd",
            "/dev/shm/qb-1/a/b",
            "/dev/shm/qb-../x",
            "/dev/shm/qb-1/..",
            "/dev/shm/qb-1/",
            "/dev/shm/qb-/x",
            "/dev/shm/qb-1",
            "qb-1/x",
            "",
        ] {
            let field = changed(WELCOMED, 40, &[name.as_bytes(), b"\0"].concat());
            assert!(welcome(&field).is_err(), "{name}");
        }
        let endless = changed(WELCOMED, 40, &[b'a'; NAME_FIELD]);
        assert!(welcome(&endless).is_err());
    }

    #[test]
    fn a_ring_is_used_only_as_libqb_makes_it() {
        let names = [PathBuf::from(format!("{RING}-header")), PathBuf::from(format!("{RING}-data"))];
        let is_fresh = |bytes: &[u8], length, longest| {
            is_fresh_ring(bytes, [names[0].as_path(), names[1].as_path()], length, longest)
        };
        let length = (1 << 20) + 4096;
        assert!(is_fresh(HEADER, length, 1 << 20));
        assert!(!is_fresh(HEADER, length - 4, 1 << 20) && !is_fresh(HEADER, length, length as u32 - 12));
        assert!(!is_fresh(HEADER, length, 1 << 19) && !is_fresh(&HEADER[..100], length, 1 << 20));
        for at in [WRITE, READ, WORDS, HEADER_NAME + 3, DATA_NAME + 9, OPEN, WAITING] {
            assert!(!is_fresh(&changed(HEADER, at, &[7]), length, 1 << 20), "{at}");
        }
    }

    /// The recorded answers, each as the ring had it.
    fn recorded() -> Vec<&'static [u8]> {
        let mut rest = ANSWERS;
        let mut chunks = Vec::new();
        while let Some(length) = number(rest, 0) {
            let (chunk, others) = rest.split_at(8 + (length as usize).next_multiple_of(4));
            chunks.push(chunk);
            rest = others;
        }
        chunks
    }

    #[test]
    fn answers_are_files_or_errors() {
        let [versions, file, empty, none] = recorded()[..] else { panic!("four answers") };
        let versions = answer(versions, GET_FS_VERSION).unwrap();
        assert_eq!((versions.error, start_time(versions.body)), (0, Some(1_796_022_453)));
        let text = "arch: amd64\nhostname: web\nlock: backup\nmemory: 512\n#a comment\n\n\
                    [before]\nhostname: old\nsnaptime: 1700000000\n";
        assert_eq!(answer(file, GET_CONFIG), Ok(Answer { error: 0, body: text.as_bytes() }));
        assert_eq!(answer(empty, GET_CONFIG), Ok(Answer { error: 0, body: b"" }));
        assert_eq!(answer(none, GET_CONFIG), Ok(Answer { error: -2, body: b"" }));
    }

    #[test]
    fn answers_that_are_not_whole_are_none() {
        let file = recorded()[1];
        for length in 0..file.len() {
            assert!(answer(&file[..length], GET_CONFIG).is_err(), "{length}");
        }
        assert!(answer(file, GET_FS_VERSION).is_err() && answer(ANSWERS, GET_FS_VERSION).is_err());
        // The length of the chunk, that it is whole, the kind, the length of the answer, the error.
        for (at, new) in
            [(0, -1), (0, 0), (0, 23), (0, i32::MAX), (4, 0), (8, 1), (16, 24), (16, -1), (24, 1)]
        {
            let bytes = changed(file, at, &i32::to_ne_bytes(new));
            assert!(answer(&bytes, GET_CONFIG).is_err(), "{at}: {new}");
        }
    }

    #[test]
    fn requests_are_as_those_of_libqb() {
        let words =
            |bytes: &[u8]| (0..bytes.len() / 4).filter_map(|at| signed(bytes, 4 * at)).collect::<Vec<_>>();
        let (magic, text) = (CHUNK_MAGIC as i32, i32::from_ne_bytes(*b"a\0\0\0"));
        let mut chunk = Vec::new();
        put_request(&mut chunk, GET_CONFIG, &path_body("a"));
        assert_eq!(words(&chunk), [18, magic, 6, 0, 18, 0, text]);
        put_request(&mut chunk, GET_FS_VERSION, b"");
        assert_eq!(words(&chunk), [16, magic, 1, 0, 16, 0]);
        assert_eq!(words(&hello(7)), [-1, 0, 24, 0, 7, 0]);
    }

    #[test]
    fn the_time_of_the_start_comes_first() {
        assert_eq!(start_time(b"{\n\"starttime\": 12,\n\"clinfo\": 0}"), Some(12));
        for text in [
            "",
            "{",
            "{\"clinfo\": 1,\"starttime\": 12,",
            "{\"starttime\": x,",
            "{\"starttime\": 12",
            "\u{e9}",
        ] {
            assert_eq!(start_time(text.as_bytes()), None, "{text}");
        }
    }
}
