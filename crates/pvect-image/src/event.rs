//! What happens while an image comes.

use crate::Digest;

/// One step, for whoever shows progress. Texts in it may come from a registry.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Event<'a> {
    /// Something that the user should know, and that does not end the work.
    Warning(&'a str),
    /// The image was found: how many blobs, and their size in bytes.
    Image {
        /// Its full name.
        name: &'a str,
        /// With the config.
        blobs: usize,
        /// The sum.
        size: u64,
    },
    /// A blob that is here already.
    Present {
        /// Its name.
        digest: &'a Digest,
        /// In bytes.
        size: u64,
    },
    /// A blob comes, or comes again.
    Begun {
        /// Its name.
        digest: &'a Digest,
        /// In bytes.
        size: u64,
        /// How much of it is here already.
        there: u64,
    },
    /// Bytes of a blob came.
    Received {
        /// Its name.
        digest: &'a Digest,
        /// How many.
        bytes: u64,
    },
    /// What was here of a blob was damaged; it is brought as a whole.
    Restarted {
        /// Its name.
        digest: &'a Digest,
    },
}

/// Who is told.
pub type Events<'a> = &'a (dyn Fn(Event<'_>) + Sync);
