//! Extended headers read as posix says: a record is as long as it says, and its value may contain line breaks.
//!
//! The tar crate ends a record at the first line break. So it is given a stream in which the line breaks of values are
//! replaced, and the records as they are go beside it. Source: pax(1), "pax Extended Header"; the manual of GNU tar,
//! "Basic Tar Format".

use std::cell::RefCell;
use std::io::{self, Read};
use std::ops::Range;
use std::rc::Rc;

use super::numbers;

const BLOCK: usize = 512;
/// The largest extended header, in bytes: attributes have at most 64 KiB each.
const LARGEST: u64 = 16 << 20;
/// The longest name that a member of its own may bring, in bytes; Linux knows paths of 4096.
const LONGEST_NAME: u64 = 1 << 20;
/// The most further blocks of the map of an old sparse file; each has 21 pieces.
const MAP_BLOCKS: u64 = 50_000;
/// What a global header may set: names and sizes belong to one member.
const OF_ALL: [&str; 3] = ["uid", "gid", "mtime"];
/// What the tar crate sees in place of a line break.
const STAND_IN: u8 = b'?';

/// A record of an extended header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: String,
    pub(super) value: Vec<u8>,
}

impl Record {
    /// Whether the crate takes it for a name, and would see another one.
    fn is_broken_name(&self) -> bool {
        ["path", "linkpath"].contains(&self.key.as_str()) && self.value.contains(&b'\n')
    }
}

/// The records of the member whose header was read last.
#[derive(Debug, Clone, Default)]
pub(super) struct Records(Rc<RefCell<Vec<Record>>>);

impl Records {
    /// Takes the records of the current member.
    pub(super) fn take(&self) -> Vec<Record> {
        self.0.take()
    }
}

/// What the stream is about to bring.
#[derive(Debug)]
enum Next {
    Header,
    /// More blocks of the map of an old sparse file, then so much data; how many blocks there were.
    SparseMap(u64, u64),
    Data(u64),
    /// Nothing that is looked at.
    Rest,
}

/// A stream of tar blocks whose extended headers the tar crate can read.
pub(super) struct Stream<R> {
    inner: R,
    next: Next,
    /// What was read and not yet handed out.
    ready: Vec<u8>,
    at: usize,
    /// The records for the next member.
    waiting: Vec<Record>,
    /// The records for all members from here on.
    global: Vec<Record>,
    current: Records,
    /// Whether a name that the crate would see with a stand-in is refused.
    plain_names: bool,
}

impl<R: Read> Stream<R> {
    /// Wraps a stream that begins with a header; `records` gets those of each member in turn.
    pub(super) fn new(inner: R, records: &Records) -> Self {
        let (waiting, global, current) = (Vec::new(), Vec::new(), records.clone());
        Self {
            inner,
            next: Next::Header,
            ready: Vec::new(),
            at: 0,
            waiting,
            global,
            current,
            plain_names: false,
        }
    }

    /// Refuses names with line breaks in extended headers: for who takes names from the crate and not from the
    /// records.
    pub(super) fn with_plain_names(mut self) -> Self {
        self.plain_names = true;
        self
    }

    /// Reads up to so many bytes to what is ready; fewer only at the end of the stream.
    fn fetch(&mut self, count: u64) -> io::Result<usize> {
        (&mut self.inner).take(count).read_to_end(&mut self.ready)
    }

    fn header(&mut self) -> io::Result<()> {
        if self.fetch(BLOCK as u64)? < BLOCK || self.ready.iter().all(|byte| *byte == 0) {
            self.next = Next::Rest;
            return Ok(());
        }
        let Some(header) = self.ready.first_chunk_mut::<BLOCK>() else { return Ok(()) };
        // The crate names what is wrong with a header that stays as it is.
        let _ = numbers::rewrite(header);
        let header = tar::Header::from_byte_slice(&self.ready);
        let (kind, size) = (header.entry_type(), header.entry_size());
        let is_extended = kind.is_gnu_sparse() && header.as_gnu().is_some_and(tar::GnuHeader::is_extended);
        // The crate names what is wrong with the header.
        let Ok(size) = size else {
            self.next = Next::Rest;
            return Ok(());
        };
        if let Some((what, most)) = bound(kind) {
            let known = header.as_gnu().is_some() || header.as_ustar().is_some();
            // The crate takes it for an ordinary member: what it says would be believed of another one here.
            if !known {
                return Err(refused(format!("{what} has a header of the old form")));
            }
            if size > most {
                return Err(refused(format!("{what} has {size} bytes, more than {most}")));
            }
        }
        if kind.is_pax_local_extensions() {
            self.next = Next::Header;
            return self.extended_header(size);
        }
        if kind.is_pax_global_extensions() {
            // The crate would take it for the header's member.
            if !self.waiting.is_empty() {
                return Err(refused(
                    "a global extended header stands between a member and its own".to_owned(),
                ));
            }
            self.next = Next::Header;
            return self.global_header(size);
        }
        if kind.is_gnu_longname() || kind.is_gnu_longlink() {
            self.next = Next::Data(padded(size));
            return Ok(());
        }
        let local = std::mem::take(&mut self.waiting);
        let size = stored_size(&local)?.unwrap_or(size);
        // What stands later counts.
        let records = self.global.iter().cloned().chain(local).collect();
        self.next = match is_extended {
            true => Next::SparseMap(padded(size), 0),
            false => Next::Data(padded(size)),
        };
        self.current.0.replace(records);
        Ok(())
    }

    /// Reads an extended header and takes its records.
    fn extended_header(&mut self, size: u64) -> io::Result<()> {
        self.waiting = self.records(size)?;
        Ok(())
    }

    /// Reads the extended header of all members that follow, and keeps what it may set.
    fn global_header(&mut self, size: u64) -> io::Result<()> {
        let records = self.records(size)?;
        if stored_size(&records)?.is_some() {
            return Err(refused("a global extended header gives all members one size".to_owned()));
        }
        for record in records.into_iter().filter(|record| OF_ALL.contains(&record.key.as_str())) {
            self.global.retain(|old| old.key != record.key);
            self.global.push(record);
        }
        Ok(())
    }

    /// Reads the body of an extended header; none when it ends too early, which the crate reports.
    fn records(&mut self, size: u64) -> io::Result<Vec<Record>> {
        let found = self.fetch(padded(size))? as u64;
        if found < size {
            return Ok(Vec::new());
        }
        let size = usize::try_from(size).unwrap_or(usize::MAX);
        let Some(body) = self.ready.get_mut(BLOCK..BLOCK + size) else { return Ok(Vec::new()) };
        // The crate would read it in its own way, and the two would disagree about where the next member begins.
        let Some(ranges) = ranges(body) else {
            return Err(refused("an extended header is damaged".to_owned()));
        };
        let records: Vec<Record> =
            ranges.iter().filter_map(|(key, value)| record(body, key, value)).collect();
        if self.plain_names && records.iter().any(Record::is_broken_name) {
            return Err(refused("an extended header has a name with a line break".to_owned()));
        }
        for (_, value) in ranges {
            body[value].iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = STAND_IN);
        }
        Ok(records)
    }

    fn sparse_map(&mut self, data: u64, blocks: u64) -> io::Result<()> {
        /// Where a block of the map says that another one follows.
        const MORE: usize = 504;
        if blocks >= MAP_BLOCKS {
            let most = MAP_BLOCKS;
            return Err(refused(format!("the map of a sparse file has more than {most} blocks")));
        }
        let whole = self.fetch(BLOCK as u64)? == BLOCK;
        let more = self.ready.get(MORE).is_some_and(|byte| *byte != 0);
        self.next = match (whole, more) {
            (false, _) => Next::Rest,
            (true, true) => Next::SparseMap(data, blocks + 1),
            (true, false) => Next::Data(data),
        };
        Ok(())
    }
}

impl<R: Read> Read for Stream<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.at < self.ready.len() {
                let count = (&self.ready[self.at..]).read(buffer)?;
                self.at += count;
                return Ok(count);
            }
            self.ready.clear();
            self.at = 0;
            match self.next {
                Next::Rest => return self.inner.read(buffer),
                Next::Data(0) => self.next = Next::Header,
                Next::Data(left) => {
                    let wanted = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
                    let count = self.inner.read(&mut buffer[..wanted])?;
                    self.next = Next::Data(left - count as u64);
                    return Ok(count);
                }
                Next::Header => self.header()?,
                Next::SparseMap(data, blocks) => self.sparse_map(data, blocks)?,
            }
            if self.ready.is_empty() && matches!(self.next, Next::Rest) {
                return Ok(0);
            }
        }
    }
}

/// What an extension member is, and how many bytes it may have; `None` for others. The crate reads them whole.
fn bound(kind: tar::EntryType) -> Option<(&'static str, u64)> {
    match kind {
        _ if kind.is_gnu_longname() => Some(("the long name of a member", LONGEST_NAME)),
        _ if kind.is_gnu_longlink() => Some(("the long link target of a member", LONGEST_NAME)),
        _ if kind.is_pax_local_extensions() => Some(("an extended header", LARGEST)),
        _ if kind.is_pax_global_extensions() => Some(("a global extended header", LARGEST)),
        _ => None,
    }
}

fn refused(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn padded(size: u64) -> u64 {
    size.checked_next_multiple_of(BLOCK as u64).unwrap_or(u64::MAX)
}

/// The size that an extended header gives its member. The crate has to read the same one: where it went by another, what is
/// data here would be headers there.
fn stored_size(records: &[Record]) -> io::Result<Option<u64>> {
    let mut sizes = records.iter().filter(|record| record.key == "size");
    let Some(first) = sizes.next() else { return Ok(None) };
    if sizes.any(|other| other.value != first.value) {
        return Err(refused("an extended header has two sizes".to_owned()));
    }
    let size = std::str::from_utf8(&first.value).ok().and_then(|text| text.parse().ok());
    size.map(Some).ok_or_else(|| refused("an extended header has a size that is not a number".to_owned()))
}

/// Where keys and values are in an extended header; `None` when it is damaged, or has a key with a line break.
fn ranges(body: &[u8]) -> Option<Vec<(Range<usize>, Range<usize>)>> {
    let (mut found, mut start) = (Vec::new(), 0);
    while start < body.len() {
        let blank = start + body[start..].iter().position(|byte| *byte == b' ')?;
        let length: usize = std::str::from_utf8(&body[start..blank]).ok()?.parse().ok()?;
        let end = start.checked_add(length).filter(|end| *end <= body.len() && *end > blank + 1)?;
        if body[end - 1] != b'\n' {
            return None;
        }
        let equals = blank + 1 + body[blank + 1..end - 1].iter().position(|byte| *byte == b'=')?;
        // The crate would end the record there, and with it its reading of the header.
        if body[blank + 1..equals].contains(&b'\n') {
            return None;
        }
        found.push((blank + 1..equals, equals + 1..end - 1));
        start = end;
    }
    Some(found)
}

/// A record whose key is text; others mean nothing to us.
fn record(body: &[u8], key: &Range<usize>, value: &Range<usize>) -> Option<Record> {
    let key = std::str::from_utf8(&body[key.clone()]).ok()?.to_owned();
    Some(Record { key, value: body[value.clone()].to_vec() })
}

#[cfg(test)]
mod tests;
