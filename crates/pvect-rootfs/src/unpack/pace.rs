//! Reads no faster than was asked for.

use std::cell::RefCell;
use std::io::{self, Read};
use std::time::{Duration, Instant};

/// How much time that was not used is made up for: a slow disk must not slow the reading down twice.
const SAVED: Duration = Duration::from_secs(1);

/// When how many bytes may be read.
#[derive(Debug)]
struct Bucket {
    bytes_per_second: u64,
    /// When what was read so far is paid for, after the beginning.
    paid: Duration,
}

impl Bucket {
    /// Takes bytes that were read at a time, and returns how long to wait before the next.
    fn take(&mut self, bytes: usize, now: Duration) -> Duration {
        let nanoseconds = bytes as u128 * 1_000_000_000 / u128::from(self.bytes_per_second.max(1));
        let price = Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX));
        self.paid = self.paid.max(now.saturating_sub(SAVED)).saturating_add(price);
        self.paid.saturating_sub(now)
    }

    /// The most bytes to read at once: those of a quarter of a second, so that a wait is short.
    fn step(&self) -> usize {
        usize::try_from(self.bytes_per_second / 4).unwrap_or(usize::MAX).max(1)
    }
}

/// How fast an archive, all layers of an image together, is read.
pub(super) struct Pace<'a> {
    bucket: Option<RefCell<Bucket>>,
    began: Instant,
    interrupted: &'a dyn Fn() -> bool,
}

impl<'a> Pace<'a> {
    /// Without a limit it is as fast as it can be. `interrupted` is asked after each wait.
    pub(super) fn new(bytes_per_second: Option<u64>, interrupted: &'a dyn Fn() -> bool) -> Self {
        let bucket = |bytes_per_second| RefCell::new(Bucket { bytes_per_second, paid: Duration::ZERO });
        Self { bucket: bytes_per_second.map(bucket), began: Instant::now(), interrupted }
    }

    /// A stream that waits for its turn, and ends with an error after a signal.
    pub(super) fn of<R: Read>(&self, stream: R) -> Paced<'_, 'a, R> {
        Paced { stream, pace: self }
    }
}

/// See [`Pace::of`].
pub(super) struct Paced<'p, 'a, R> {
    stream: R,
    pace: &'p Pace<'a>,
}

impl<R: Read> Read for Paced<'_, '_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(bucket) = &self.pace.bucket else { return self.stream.read(buffer) };
        let most = bucket.borrow().step().min(buffer.len());
        let count = self.stream.read(&mut buffer[..most])?;
        std::thread::sleep(bucket.borrow_mut().take(count, self.pace.began.elapsed()));
        if (self.pace.interrupted)() {
            return Err(io::Error::other("interrupted by signal"));
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn bytes_have_their_time() {
        let mut bucket = Bucket { bytes_per_second: 1000, paid: Duration::ZERO };
        let mut clock = Duration::ZERO;
        let mut sum = 0;
        // A reader that takes no time of its own.
        for _ in 0..40 {
            let count = bucket.step();
            sum += count;
            clock += bucket.take(count, clock);
        }
        assert_eq!((sum, clock), (10_000, 10 * SECOND));
        // One that needs half of the time itself is as fast.
        for _ in 0..40 {
            clock += SECOND / 8;
            clock += bucket.take(250, clock);
        }
        assert_eq!(clock, 20 * SECOND);
        // Time that was long unused is not made up for.
        clock += 100 * SECOND;
        assert_eq!(bucket.take(1000, clock), Duration::ZERO);
        assert_eq!(bucket.take(1000, clock), SECOND);
    }

    #[test]
    fn any_limit_has_a_step() {
        for (limit, step) in [(0, 1), (1, 1), (1024, 256), (1 << 30, 1 << 28)] {
            assert_eq!(Bucket { bytes_per_second: limit, paid: Duration::ZERO }.step(), step, "{limit}");
        }
    }

    #[test]
    fn a_paced_stream_is_read_in_steps_and_ends_after_a_signal() {
        let came = std::cell::Cell::new(false);
        let interrupted = || came.get();
        let pace = Pace::new(Some(1 << 20), &interrupted);
        let mut stream = pace.of(&[7_u8; 4][..]);
        let mut buffer = [0; 3];
        assert_eq!(stream.read(&mut buffer).unwrap(), 3);
        came.set(true);
        assert_eq!(stream.read(&mut buffer).unwrap_err().to_string(), "interrupted by signal");
        let free = Pace::new(None, &interrupted);
        assert_eq!(free.of(&[7_u8; 4][..]).read(&mut buffer).unwrap(), 3);
    }
}
