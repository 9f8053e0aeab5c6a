//! Unpacks an archive in a thread of its own, some blocks ahead of whoever writes the files, as a pipe from zstd does it
//! for tar.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;

use rustix::thread::UnshareFlags;

/// How much goes from one thread to the other at a time, bytes.
const BLOCK: usize = 256 * 1024;
/// So many blocks may wait.
const WAITING: usize = 4;

/// A stream that is read ahead.
pub(super) struct Ahead {
    /// `None` only while this is dropped. An empty block is the end.
    full: Option<Receiver<io::Result<Vec<u8>>>>,
    /// Blocks that were read, to be filled again.
    spare: Sender<Vec<u8>>,
    block: Vec<u8>,
    /// How much of the block was read.
    at: usize,
    ended: bool,
    thread: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Begins to read. The stream must not wait for anybody, as a pipe does: whoever drops this waits for a read to end.
    ///
    /// # Errors
    /// When no thread can be made.
    pub(super) fn of(stream: impl Read + Send + 'static) -> io::Result<Self> {
        let (full, blocks) = sync_channel(WAITING);
        let (spare, used) = channel();
        let thread = std::thread::Builder::new().name("unpack".to_owned()).spawn(move || {
            // The caller may change its mount namespace when this is dropped, which the kernel refuses as long as a
            // thread shares its root and working directory; and one that was joined may still be ending.
            #[expect(deprecated, reason = "its successor is unsafe for the sake of file descriptors only")]
            let apart = rustix::thread::unshare(UnshareFlags::FS);
            let read = apart.map_err(io::Error::from).and_then(|()| read_ahead(stream, &full, &used));
            if let Err(error) = read {
                // Nobody listens any more, or somebody is told.
                let _ = full.send(Err(error));
            }
        })?;
        Ok(Self { full: Some(blocks), spare, block: Vec::new(), at: 0, ended: false, thread: Some(thread) })
    }

    /// Takes the next block; an empty one at the end.
    fn next(&mut self) -> io::Result<()> {
        let early = || io::Error::other("the thread that unpacks it ended early");
        let block = match &self.full {
            Some(full) => full.recv().map_err(|_| early())??,
            None => return Err(early()),
        };
        self.ended = block.is_empty();
        self.at = 0;
        // What cannot be sent back is freed.
        let _ = self.spare.send(std::mem::replace(&mut self.block, block));
        Ok(())
    }
}

impl Read for Ahead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at == self.block.len() && !self.ended {
            self.next()?;
        }
        let count = (&self.block[self.at..]).read(buffer)?;
        self.at += count;
        Ok(count)
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        // The thread ends at the next block that nobody takes.
        self.full = None;
        if let Some(thread) = self.thread.take() {
            // A panic was an error of the stream.
            let _ = thread.join();
        }
    }
}

/// Reads to the end, or until nobody takes any more.
fn read_ahead(
    mut stream: impl Read,
    full: &SyncSender<io::Result<Vec<u8>>>,
    used: &Receiver<Vec<u8>>,
) -> io::Result<()> {
    loop {
        let mut block = used.try_recv().unwrap_or_default();
        block.resize(BLOCK, 0);
        let (count, read) = fill(&mut stream, &mut block);
        block.truncate(count);
        let is_last = count == 0 && read.is_ok();
        // What came before an error is read before it.
        if (count > 0 || is_last) && full.send(Ok(block)).is_err() {
            return Ok(());
        }
        read?;
        if is_last {
            return Ok(());
        }
    }
}

/// Fills a block as far as the stream goes; returns how far that is, and why it does not go on.
fn fill(stream: &mut impl Read, block: &mut [u8]) -> (usize, io::Result<()>) {
    let mut count = 0;
    while count < block.len() {
        match stream.read(&mut block[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (count, Err(error)),
        }
    }
    (count, Ok(()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn bytes(count: usize) -> Vec<u8> {
        (0..count).map(|number| (number % 251) as u8).collect()
    }

    #[test]
    fn everything_comes_in_its_order() {
        for count in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, (WAITING + 3) * BLOCK + 7] {
            let expected = bytes(count);
            let mut ahead = Ahead::of(io::Cursor::new(expected.clone())).unwrap();
            let mut found = Vec::new();
            ahead.read_to_end(&mut found).unwrap();
            assert!(found == expected, "{count}");
            // The end is the end, also when asked again.
            assert_eq!(ahead.read(&mut [0; 8]).unwrap(), 0);
        }
    }

    /// Gives some bytes, then fails in one way or another.
    struct Failing(usize, fn() -> io::Result<usize>);

    impl Read for Failing {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = buffer.len().min(self.0).min(1000);
            self.0 -= count;
            buffer[..count].fill(7);
            if count == 0 { (self.1)() } else { Ok(count) }
        }
    }

    #[test]
    fn an_error_comes_after_what_was_before_it_and_is_never_an_end() {
        let broken = || Err(io::Error::from(io::ErrorKind::UnexpectedEof));
        for count in [0, 1, BLOCK, 2 * BLOCK + 5] {
            let mut ahead = Ahead::of(Failing(count, broken)).unwrap();
            let mut found = Vec::new();
            assert_eq!(ahead.read_to_end(&mut found).unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
            assert_eq!(found.len(), count);
            assert!(ahead.read(&mut [0; 8]).is_err());
        }
    }

    #[test]
    fn a_thread_that_panics_is_an_error() {
        let mut ahead = Ahead::of(Failing(BLOCK, || panic!("on purpose"))).unwrap();
        let mut found = Vec::new();
        let error = ahead.read_to_end(&mut found).unwrap_err();
        assert_eq!(error.to_string(), "the thread that unpacks it ended early");
    }

    /// Never ends, and counts what was read.
    struct Endless(Arc<AtomicUsize>);

    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.0.fetch_add(buffer.len(), Ordering::SeqCst);
            Ok(buffer.len())
        }
    }

    #[test]
    fn only_some_blocks_are_read_ahead_and_none_for_nobody() {
        let count = Arc::new(AtomicUsize::new(0));
        let mut ahead = Ahead::of(Endless(Arc::clone(&count))).unwrap();
        ahead.read_exact(&mut [0; 8]).unwrap();
        drop(ahead);
        // One is read, some wait, one is being filled or cannot be handed over.
        assert!(count.load(Ordering::SeqCst) <= (WAITING + 3) * BLOCK);
    }
}
