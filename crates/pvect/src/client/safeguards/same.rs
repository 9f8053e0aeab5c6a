//! Whether two files have the same content, without a hash: both are read side by side, holes are not read at all.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use rustix::fs::SeekFrom;
use rustix::io::Errno;

/// How much of each file is in memory at a time, bytes.
const BLOCK: usize = 1 << 20;

/// Whether two regular files have the same size and content. One that changes meanwhile may be either.
///
/// Reads at most the smaller of the two sizes at the start. It blocks.
pub(super) fn is_same(one: &File, other: &File) -> io::Result<bool> {
    let (first, second) = (one.metadata()?, other.metadata()?);
    let size = first.len();
    if !first.is_file() || !second.is_file() || second.len() != size {
        return Ok(false);
    }
    let mut blocks = [vec![0; BLOCK], vec![0; BLOCK]];
    let mut at = 0;
    while at < size {
        // Parts that are holes in both files are the same.
        at = data_from(one, at)?.min(data_from(other, at)?);
        let end = (at + BLOCK as u64).min(size);
        if at >= end {
            break;
        }
        let count = usize::try_from(end - at).unwrap_or(BLOCK);
        let [left, right] = &mut blocks;
        if !fill(one, &mut left[..count], at)? || !fill(other, &mut right[..count], at)? {
            return Ok(false);
        }
        if left[..count] != right[..count] {
            return Ok(false);
        }
        at = end;
    }
    Ok(one.metadata()?.len() == size && other.metadata()?.len() == size)
}

/// Where the next data is, from `at` on: `at` itself if the file system does not support holes.
fn data_from(file: &File, at: u64) -> io::Result<u64> {
    match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(found) => Ok(found.max(at)),
        // Nothing but a hole follows.
        Err(Errno::NXIO) => Ok(u64::MAX),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => Ok(at),
        Err(errno) => Err(errno.into()),
    }
}

/// Reads a whole buffer; `false` when the file has become shorter.
fn fill(file: &File, mut buffer: &mut [u8], mut at: u64) -> io::Result<bool> {
    while !buffer.is_empty() {
        match file.read_at(buffer, at) {
            Ok(0) => return Ok(false),
            Ok(count) => {
                at += count as u64;
                buffer = &mut buffer[count..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_equal_contents_are_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let make = |name: &str, size: u64, pieces: &[(u64, &[u8])]| {
            let path = dir.path().join(name);
            let file = File::options().read(true).write(true).create_new(true).open(path).unwrap();
            file.set_len(size).unwrap();
            for (at, bytes) in pieces {
                file.write_all_at(bytes, *at).unwrap();
            }
            file
        };
        const LARGE: u64 = (1 << 40) + 7;
        let last = LARGE - 3;
        let zeros = vec![0; 3 * BLOCK];
        let sparse = make("sparse", LARGE, &[(0, b"begin"), (5 << 30, b"middle"), (last, b"end")]);
        for (name, size, pieces, expected) in [
            ("same", LARGE, vec![(0, &b"begin"[..]), (5 << 30, b"middle"), (last, b"end")], true),
            // Written zeros equal a hole.
            (
                "zeros",
                LARGE,
                vec![(0, b"begin"), (1 << 30, &zeros), (5 << 30, b"middle"), (last, b"end")],
                true,
            ),
            ("first", LARGE, vec![(0, b"Begin"), (5 << 30, b"middle"), (last, b"end")], false),
            (
                "hole",
                LARGE,
                vec![(0, b"begin"), (1 << 30, b"x"), (5 << 30, b"middle"), (last, b"end")],
                false,
            ),
            ("lacks", LARGE, vec![(0, b"begin"), (last, b"end")], false),
            ("last", LARGE, vec![(0, b"begin"), (5 << 30, b"middle"), (last, b"enD")], false),
            ("longer", LARGE + 1, vec![(0, b"begin"), (5 << 30, b"middle"), (last, b"end")], false),
        ] {
            let other = make(name, size, &pieces);
            assert_eq!(is_same(&sparse, &other).unwrap(), expected, "{name}");
            assert_eq!(is_same(&other, &sparse).unwrap(), expected, "{name}");
        }
        let (empty, none) = (make("empty", 0, &[]), make("none", 0, &[]));
        assert!(is_same(&empty, &none).unwrap());
        assert!(!is_same(&empty, &sparse).unwrap());
        let directory = File::open(dir.path()).unwrap();
        assert!(!is_same(&directory, &directory).unwrap());
    }
}
