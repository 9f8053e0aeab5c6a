//! Removes what nobody needs.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::{ALGORITHMS, Store, names_in};
use crate::{ImageError, ImageResult};

/// How long partial blobs wait for somebody to go on with them.
const PARTIAL_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What [`Store::prune`] removed, or would remove.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Pruned {
    /// Whole blobs that no name holds.
    pub blobs: u64,
    /// Downloads that nobody went on with.
    pub partial: u64,
    /// The size of both, in bytes.
    pub bytes: u64,
}

impl Store {
    /// Removes the blobs that no name holds, and partial ones that are older than a day. With `dry_run` they are only
    /// counted.
    ///
    /// # Errors
    /// `Held` while somebody brings images; when the manifest of a name is damaged, because what it holds is then not
    /// known: nothing is removed.
    pub fn prune(&self, now: SystemTime, dry_run: bool) -> ImageResult<Pruned> {
        let mut pruned = Pruned::default();
        if !self.exists()? {
            return Ok(pruned);
        }
        let _alone = self.alone()?;
        let mut held: BTreeSet<PathBuf> = BTreeSet::new();
        for image in self.named()? {
            held.insert(self.path(&image.digest));
            held.extend(self.manifest(&image)?.blobs().map(|blob| self.path(&blob.digest)));
        }
        let mut remove = |path: PathBuf, size: u64| {
            pruned.bytes += size;
            if dry_run {
                Ok(())
            } else {
                fs::remove_file(&path).map_err(|error| ImageError::io("remove", &path, error))
            }
        };
        let (mut blobs, mut partial) = (0, 0);
        for algorithm in ALGORITHMS {
            for entry in names_in(&self.root.join("blobs").join(algorithm.as_str()))? {
                let path = entry.path();
                if !held.contains(&path) {
                    remove(path, entry.metadata().map_or(0, |meta| meta.len()))?;
                    blobs += 1;
                }
            }
        }
        for entry in names_in(&self.root.join("partial"))? {
            let meta = entry.metadata().map_err(|error| ImageError::io("read", &entry.path(), error))?;
            // A time in the future is not old.
            let age = meta.modified().ok().and_then(|then| now.duration_since(then).ok()).unwrap_or_default();
            if age > PARTIAL_AGE {
                remove(entry.path(), meta.len())?;
                partial += 1;
            }
        }
        Ok(Pruned { blobs, partial, ..pruned })
    }
}
