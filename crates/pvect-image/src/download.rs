//! One blob from a registry into the store: verified while it comes, and gone on with where it broke off.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use crate::documents::Descriptor;
use crate::event::{Event, Events};
use crate::registry::Repository;
use crate::store::{Begun, Partial, Store};
use crate::{ImageError, ImageResult};

/// How often a connection may break off with next to nothing in between.
const TRIES: usize = 4;
const PAUSE: Duration = Duration::from_millis(500);
/// How often one that somebody else brings is looked at.
const ELSEWHERE: Duration = Duration::from_millis(200);
/// How many pieces wait for the disk.
const WAITING: usize = 16;
/// At least so many bytes have to come in the time that a registry may be silent, and before a connection breaks off.
const SLOWEST: u64 = 16 << 10;

/// Brings a blob; returns whether anything had to be brought.
///
/// # Errors
/// When the registry does not have it, sends something else, or breaks off again and again.
pub(crate) async fn blob(
    repository: &Repository,
    store: &Store,
    blob: &Descriptor,
    events: Events<'_>,
) -> ImageResult<bool> {
    let mut tries = 0;
    let mut restarted = false;
    loop {
        let Some(partial) = begin(store, blob).await? else {
            events(Event::Present { digest: &blob.digest, size: blob.size });
            return Ok(false);
        };
        let before = partial.length();
        events(Event::Begun { digest: &blob.digest, size: blob.size, there: before });
        match rest(repository, blob, partial, events).await {
            Ok(()) => return Ok(true),
            // What an earlier command left may be what is damaged.
            Err(ImageError::Damaged(_)) if before > 0 && !restarted => {
                restarted = true;
                events(Event::Restarted { digest: &blob.digest });
            }
            Err(error @ (ImageError::Broken(_) | ImageError::Unreachable(_))) => {
                let after = begin(store, blob).await?.map_or(blob.size, |partial| partial.length());
                tries = if after >= before.saturating_add(SLOWEST) { 1 } else { tries + 1 };
                if tries >= TRIES {
                    return Err(error);
                }
                tokio::time::sleep(PAUSE).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Begins, as soon as nobody else brings it; `None` when it is here.
async fn begin(store: &Store, blob: &Descriptor) -> ImageResult<Option<Box<Partial>>> {
    loop {
        let (store, blob) = (store.clone(), blob.clone());
        match off_the_runtime(move || store.begin(&blob)).await? {
            Begun::Whole => return Ok(None),
            Begun::Partial(partial) => return Ok(Some(partial)),
            Begun::Elsewhere => tokio::time::sleep(ELSEWHERE).await,
        }
    }
}

/// Brings what is missing. Hashing and writing have a thread of their own.
async fn rest(
    repository: &Repository,
    blob: &Descriptor,
    mut partial: Box<Partial>,
    events: Events<'_>,
) -> ImageResult<()> {
    if partial.missing() == 0 {
        return off_the_runtime(move || partial.finish()).await;
    }
    let rest = repository.blob(blob, partial.length()).await?;
    if !rest.continues && partial.length() > 0 {
        partial.restart()?;
        events(Event::Begun { digest: &blob.digest, size: blob.size, there: 0 });
    }
    let (sender, mut receiver) = mpsc::channel(WAITING);
    let writer = tokio::task::spawn_blocking(move || {
        while let Some(bytes) = receiver.blocking_recv() {
            let bytes: BodyBytes = bytes;
            partial.write(&bytes)?;
        }
        Ok(partial)
    });
    let mut response = rest.response;
    let mut pace = Pace::new(repository.patience());
    let received = loop {
        match response.chunk().await {
            Ok(Some(chunk)) => {
                let count = chunk.len() as u64;
                // The writer has found something wrong, and says what.
                if sender.send(chunk.into()).await.is_err() {
                    break Ok(());
                }
                events(Event::Received { digest: &blob.digest, bytes: count });
                if !pace.keeps(count) {
                    break Err(ImageError::TimedOut(format!("the blob {} comes too slowly", blob.digest)));
                }
            }
            Ok(None) => break Ok(()),
            Err(error) => break Err(repository.broken(&error)),
        }
    };
    drop(sender);
    let partial = writer.await.map_err(|_| stopped())??;
    received?;
    off_the_runtime(move || partial.finish()).await
}

type BodyBytes = Vec<u8>;

async fn off_the_runtime<T: Send + 'static>(
    work: impl FnOnce() -> ImageResult<T> + Send + 'static,
) -> ImageResult<T> {
    tokio::task::spawn_blocking(work).await.map_err(|_| stopped())?
}

fn stopped() -> ImageError {
    let source = std::io::Error::other("the thread that writes has ended");
    ImageError::Io { what: "cannot write a blob".to_owned(), source }
}

/// Whether enough comes. A server that sends one byte now and then is silent, too.
struct Pace {
    window: Duration,
    since: Instant,
    bytes: u64,
}

impl Pace {
    fn new(window: Duration) -> Self {
        Self { window, since: Instant::now(), bytes: 0 }
    }

    fn keeps(&mut self, count: u64) -> bool {
        self.bytes += count;
        if self.bytes >= SLOWEST {
            *self = Self::new(self.window);
        }
        self.since.elapsed() <= self.window
    }
}
