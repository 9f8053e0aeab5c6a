//! Files with holes as GNU tar stores them in posix archives, which is how vzdump packs them.
//!
//! Three forms: 0.0 has two records of the extended header for each piece, 0.1 has the map in one record, 1.0 in decimal
//! lines before the data, padded to whole blocks. Source: the manual of GNU tar, "Storing Sparse Files". (The older form
//! of GNU archives is read by the tar crate.)

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use super::pax::Record;

const PREFIX: &str = "GNU.sparse.";
/// The most pieces a file may have; each takes 16 bytes here.
const MOST_PIECES: usize = 1 << 20;
const BLOCK: usize = 512;

/// What the extended header says of a file with holes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Sparse {
    /// Its real name; the member itself has a made-up one.
    pub(super) name: Option<Vec<u8>>,
    /// Its size with the holes.
    pub(super) size: u64,
    /// Offset and length of each piece (forms 0.0 and 0.1).
    map: Option<Vec<(u64, u64)>>,
}

/// Why a file with holes cannot be written.
pub(super) enum Problem {
    Io(io::Error),
    Map(&'static str),
    Interrupted,
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

const DAMAGED: &str = "the map of its holes is damaged";

impl Sparse {
    /// Reads the records of a member; `None` when it has no holes.
    ///
    /// # Errors
    /// When they are damaged, or of an unknown form.
    pub(super) fn of(records: &[Record]) -> Result<Option<Self>, Problem> {
        let mut sparse = Self::default();
        let (mut found, mut major, mut offset) = (false, None, None);
        for record in records {
            let Some(key) = record.key.strip_prefix(PREFIX) else { continue };
            found = true;
            let number = || number(&record.value);
            match key {
                "name" => sparse.name = Some(record.value.clone()),
                "size" | "realsize" => sparse.size = number()?,
                "major" => major = Some(number()?),
                "map" => sparse.map = Some(pairs(&record.value)?),
                // A file that is nothing but a hole has no pieces.
                "numblocks" => sparse.map = Some(sparse.map.unwrap_or_default()),
                "offset" => offset = Some(number()?),
                "numbytes" => {
                    let offset = offset.take().ok_or(Problem::Map(DAMAGED))?;
                    let map = sparse.map.get_or_insert_default();
                    map.push((offset, number()?));
                    if map.len() > MOST_PIECES {
                        return Err(Problem::Map(DAMAGED));
                    }
                }
                _ => {}
            }
        }
        match (found, major, &sparse.map) {
            (false, ..) => Ok(None),
            (true, Some(1), _) | (true, _, Some(_)) => Ok(Some(sparse)),
            _ => Err(Problem::Map("it is stored with holes in a form that is not supported")),
        }
    }

    /// Writes the pieces of a member to where they belong in a new file.
    pub(super) fn copy(
        self,
        from: &mut impl Read,
        to: &File,
        block: &mut [u8],
        interrupted: &dyn Fn() -> bool,
    ) -> Result<(), Problem> {
        let map = match self.map {
            Some(map) => map,
            None => read_map(from)?,
        };
        to.set_len(self.size)?;
        let mut end = 0;
        for (offset, length) in map {
            let last = offset.checked_add(length).filter(|last| offset >= end && *last <= self.size);
            end = last.ok_or(Problem::Map(DAMAGED))?;
            let mut at = offset;
            while at < end {
                if interrupted() {
                    return Err(Problem::Interrupted);
                }
                let wanted = usize::try_from(end - at).unwrap_or(usize::MAX).min(block.len());
                from.read_exact(&mut block[..wanted])?;
                to.write_all_at(&block[..wanted], at)?;
                at += wanted as u64;
            }
        }
        Ok(())
    }
}

fn number(text: &[u8]) -> Result<u64, Problem> {
    let text = std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    text.and_then(|text| text.parse().ok()).ok_or(Problem::Map(DAMAGED))
}

fn pairs(text: &[u8]) -> Result<Vec<(u64, u64)>, Problem> {
    let numbers = text.split(|byte| *byte == b',').map(number).collect::<Result<Vec<_>, _>>()?;
    if numbers.len() % 2 != 0 || numbers.len() / 2 > MOST_PIECES {
        return Err(Problem::Map(DAMAGED));
    }
    Ok(numbers.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
}

/// Reads the map before the data: the number of pieces, then offset and length of each, a line each.
fn read_map(from: &mut impl Read) -> Result<Vec<(u64, u64)>, Problem> {
    let mut lines = Lines { from, block: [0; BLOCK], at: BLOCK };
    let count = usize::try_from(lines.next()?).ok().filter(|count| *count <= MOST_PIECES);
    let mut map = Vec::new();
    for _ in 0..count.ok_or(Problem::Map(DAMAGED))? {
        map.push((lines.next()?, lines.next()?));
    }
    Ok(map)
}

/// Decimal lines in whole blocks.
struct Lines<'a, R> {
    from: &'a mut R,
    block: [u8; BLOCK],
    at: usize,
}

impl<R: Read> Lines<'_, R> {
    fn next(&mut self) -> Result<u64, Problem> {
        let mut digits = Vec::new();
        loop {
            if self.at == BLOCK {
                self.from.read_exact(&mut self.block)?;
                self.at = 0;
            }
            let byte = self.block[self.at];
            self.at += 1;
            match byte {
                b'\n' if !digits.is_empty() => return number(&digits),
                b'0'..=b'9' if digits.len() < 20 => digits.push(byte),
                _ => return Err(Problem::Map(DAMAGED)),
            }
        }
    }
}
