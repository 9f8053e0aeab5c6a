//! libqb's ring buffers: two files in memory, which both sides have.
//!
//! They are read and written here by pread(2) and pwrite(2), not mapped: a file that shrinks is then an error and
//! not a signal. What libqb counts as semaphores are numbers here: the server does not wait for that of the requests, but
//! for a byte through the socket, and nobody counts at the same time as we do, as there is one request at a time. Source:
//! ringbuffer.c, ringbuffer_int.h and ipc_shm.c of libqb 2.0; `sem_t` of the GNU C library on 64-bit machines.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{Ordering, fence};

use rustix::fs::OFlags;

use super::Unusable;
use super::message::{Malformed, READ, RING_HEADER, RING_MARGIN, WAITING, WRITE, is_fresh_ring};
use crate::socket::holder::is_believed;

/// One ring, of which we are the only writer or the only reader.
#[derive(Debug)]
pub(super) struct Ring {
    header: File,
    data: File,
    /// The length of the data, bytes.
    length: u64,
    /// Where the next chunk begins, bytes.
    at: u64,
}

impl Ring {
    /// Opens a ring that was made for us and that nobody has used yet. Whatever else is there than libqb puts there is an
    /// error: another libqb may have another form, and what it holds is the memory of pmxcfs.
    pub(super) fn open(name: &Path, longest: u32) -> Result<Self, Unusable> {
        let with = |end: &str| {
            let mut name = name.as_os_str().to_owned();
            name.push(end);
            PathBuf::from(name)
        };
        let (header_path, data_path) = (with("-header"), with("-data"));
        let (header, header_length) = open(&header_path)?;
        let (data, length) = open(&data_path)?;
        let mut bytes = [0; RING_HEADER];
        header.read_exact_at(&mut bytes, 0)?;
        if header_length < 2 * RING_HEADER as u64
            && is_fresh_ring(&bytes, [&header_path, &data_path], length, longest)
        {
            Ok(Self { header, data, length, at: 0 })
        } else {
            Err(Malformed("a ring has another form").into())
        }
    }

    /// Writes a chunk. All that was written before must have been answered.
    pub(super) fn write(&mut self, chunk: &[u8]) -> Result<(), Unusable> {
        if chunk.len() as u64 + RING_MARGIN > self.length {
            return Err(Malformed("the ring has no room for the request").into());
        }
        let first = usize::try_from(self.length - self.at).unwrap_or(usize::MAX).min(chunk.len());
        let (before, after) = chunk.split_at(first);
        self.data.write_all_at(before, self.at)?;
        self.data.write_all_at(after, 0)?;
        self.at = (self.at + chunk.len() as u64) % self.length;
        fence(Ordering::Release);
        self.set(WRITE, (self.at / 4) as u32)?;
        self.set(WAITING, 1)
    }

    /// Returns how many chunks wait to be read.
    pub(super) fn waiting(&self) -> Result<u32, Unusable> {
        let count = self.get(WAITING)?;
        fence(Ordering::Acquire);
        Ok(count)
    }

    /// Reads all that waits; what was in `bytes` goes.
    pub(super) fn read(&mut self, bytes: &mut Vec<u8>) -> Result<(), Unusable> {
        let end = u64::from(self.get(WRITE)?) * 4;
        if end >= self.length {
            return Err(Malformed("a ring ends behind its end").into());
        }
        bytes.clear();
        let mut part = |from: u64, to: u64| -> io::Result<()> {
            let start = bytes.len();
            bytes.resize(start + usize::try_from(to - from).unwrap_or_default(), 0);
            self.data.read_exact_at(&mut bytes[start..], from)
        };
        if end < self.at {
            part(self.at, self.length)?;
            part(0, end)?;
        } else {
            part(self.at, end)?;
        }
        self.at = end;
        self.set(READ, (end / 4) as u32)?;
        self.set(WAITING, 0)
    }

    fn get(&self, at: usize) -> Result<u32, Unusable> {
        let mut bytes = [0; 4];
        self.header.read_exact_at(&mut bytes, at as u64)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    fn set(&self, at: usize, value: u32) -> Result<(), Unusable> {
        Ok(self.header.write_all_at(&value.to_ne_bytes(), at as u64)?)
    }
}

/// Opens one of a ring's files; returns its length, too.
fn open(path: &Path) -> Result<(File, u64), Unusable> {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits() as i32;
    let file = OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() || !is_believed(meta.uid()) || meta.mode() & 0o022 != 0 {
        return Err(Malformed("a ring is not a file of root alone").into());
    }
    Ok((file, meta.len()))
}
