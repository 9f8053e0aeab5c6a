//! The store: an OCI image layout with names, for one node.
//!
//! `blobs/ALGORITHM/HEX` are whole and verified; `partial/ALGORITHM-HEX` are on their way here; `index.json` has one
//! entry for each name. Everything is closed to other users. Source: the OCI image specification, image-layout.md.
//!
//! Who brings blobs holds the file `lock` shared, until a name holds them; [`Store::prune`] holds it alone. Who changes
//! the index holds `index.lock`. Who writes a partial blob holds that file.

mod export;
mod locks;
mod names;
mod partial;
mod prune;

use std::fs::{self, DirBuilder, File};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::OFlags;

pub use names::{Details, Stored};
pub(crate) use partial::{Begun, Partial};
pub use prune::Pruned;

use crate::documents::{DOCUMENT_LIMIT, Descriptor, Document, ImageFacts, Manifest};
use crate::{Algorithm, Digest, ImageError, ImageResult};

/// How long somebody else may hold the store, before it is an error.
const PATIENCE: Duration = Duration::from_secs(60);
const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// The images of a node.
#[derive(Debug, Clone)]
pub struct Store {
    root: PathBuf,
    patience: Duration,
}

impl Store {
    /// Names a store. Nothing is made before something is brought.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), patience: PATIENCE }
    }

    /// Sets how long others may hold the store, before it is an error.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// Returns where it is.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the directories that are missing.
    ///
    /// # Errors
    /// When they cannot be made, or the store belongs to somebody else.
    pub(crate) fn make(&self) -> ImageResult<()> {
        self.make_parent()?;
        let directories = ["", "blobs", "blobs/sha256", "blobs/sha512", "partial"];
        for path in directories.iter().map(|name| self.root.join(name)) {
            match DirBuilder::new().mode(0o700).create(&path) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(ImageError::io("create", &path, error));
                }
                _ => {}
            }
        }
        self.check_owner()?;
        let layout = self.root.join("oci-layout");
        if !layout.exists() {
            self.replace(&layout, LAYOUT)?;
        }
        Ok(())
    }

    /// Users of unprivileged containers pass through the node's root.
    fn make_parent(&self) -> ImageResult<()> {
        let Some(parent) = self.root.parent().filter(|parent| !parent.exists()) else { return Ok(()) };
        fs::create_dir_all(parent)
            .and_then(|()| fs::set_permissions(parent, fs::Permissions::from_mode(0o755)))
            .map_err(|error| ImageError::io("create", parent, error))
    }

    /// Returns whether there is a store; one that others could change is none of ours.
    ///
    /// # Errors
    /// When it belongs to somebody else.
    fn exists(&self) -> ImageResult<bool> {
        match self.root.symlink_metadata() {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(ImageError::io("read", &self.root, error)),
            Ok(_) => self.check_owner().map(|()| true),
        }
    }

    fn check_owner(&self) -> ImageResult<()> {
        let meta = self.root.symlink_metadata().map_err(|error| ImageError::io("read", &self.root, error))?;
        let ours = [0, rustix::process::geteuid().as_raw()].contains(&meta.uid());
        if !meta.is_dir() || !ours || meta.permissions().mode() & 0o022 != 0 {
            let text = format!("'{}' is not a directory that only its owner can change", self.root.display());
            return Err(ImageError::Settings(text));
        }
        Ok(())
    }

    /// Returns where a blob is, or will be.
    pub(crate) fn path(&self, digest: &Digest) -> PathBuf {
        self.root.join("blobs").join(digest.algorithm().as_str()).join(digest.hex())
    }

    /// Returns whether a blob is here, whole.
    pub(crate) fn has(&self, blob: &Descriptor) -> bool {
        let meta = self.path(&blob.digest).symlink_metadata();
        meta.is_ok_and(|meta| meta.is_file() && meta.len() == blob.size)
    }

    /// Opens a blob.
    ///
    /// # Errors
    /// When it is missing, or has another size.
    pub(crate) fn open(&self, blob: &Descriptor) -> ImageResult<File> {
        let path = self.path(&blob.digest);
        let file = File::options()
            .read(true)
            .custom_flags(OFlags::NOFOLLOW.bits() as i32)
            .open(&path)
            .map_err(|error| match error.kind() {
                ErrorKind::NotFound => {
                    ImageError::Damaged(format!("the blob {} is missing; pull the image again", blob.digest))
                }
                _ => ImageError::io("read", &path, error),
            })?;
        let size = file.metadata().map_err(|error| ImageError::io("read", &path, error))?.len();
        if size != blob.size {
            let text = format!("the blob {} has {size} bytes, not {}", blob.digest, blob.size);
            return Err(ImageError::Damaged(text));
        }
        Ok(file)
    }

    /// Reads a document and verifies it.
    ///
    /// # Errors
    /// When it is missing, too large, or not what its name says.
    pub(crate) fn document(&self, blob: &Descriptor) -> ImageResult<Vec<u8>> {
        let mut bytes = Vec::new();
        self.open(blob)?
            .take(DOCUMENT_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(|error| ImageError::io("read", &self.path(&blob.digest), error))?;
        if bytes.len() as u64 > DOCUMENT_LIMIT || Digest::of(blob.digest.algorithm(), &bytes) != blob.digest {
            let text = format!("the blob {} is not what its name says; pull the image again", blob.digest);
            return Err(ImageError::Damaged(text));
        }
        Ok(bytes)
    }

    /// Reads the manifest of an image that is here.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub(crate) fn manifest(&self, image: &Descriptor) -> ImageResult<Manifest> {
        match Document::parse(&self.document(image)?, Some(&image.media_type))? {
            Document::Manifest(_, manifest) => Ok(manifest),
            Document::Index(_) => Err(ImageError::Damaged(format!(
                "the store's index names {}, which is no image",
                image.digest
            ))),
        }
    }

    /// Reads what an image says about itself.
    ///
    /// # Errors
    /// When it is missing or damaged.
    pub(crate) fn facts(&self, manifest: &Manifest) -> ImageResult<ImageFacts> {
        ImageFacts::parse(&self.document(&manifest.config)?)
    }

    /// Writes a document that the caller has verified.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn add_document(&self, digest: &Digest, bytes: &[u8]) -> ImageResult<()> {
        let path = self.path(digest);
        let same =
            path.symlink_metadata().is_ok_and(|meta| meta.is_file() && meta.len() == bytes.len() as u64);
        if same { Ok(()) } else { self.replace(&path, bytes) }
    }

    /// Replaces a file: a temporary one, fsync, rename, fsync of the directory.
    pub(crate) fn replace(&self, path: &Path, bytes: &[u8]) -> ImageResult<()> {
        let write = || {
            let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(self.root.join("partial"))?;
            file.write_all(bytes)?;
            file.as_file().sync_all()?;
            file.persist(path).map_err(|error| error.error)?;
            sync_directory(path)
        };
        write().map_err(|error| ImageError::io("write", path, error))
    }

    /// Refuses what does not fit on the disk.
    ///
    /// # Errors
    /// `Io` of the kind `StorageFull`.
    pub(crate) fn check_room(&self, bytes: u64) -> ImageResult<()> {
        let room = rustix::fs::statvfs(&self.root)
            .map_err(|errno| ImageError::io("measure", &self.root, errno.into()))?;
        let free = room.f_bavail.saturating_mul(room.f_frsize);
        if bytes > free {
            let text = format!("{bytes} bytes are to come, and {free} are free");
            return Err(ImageError::io(
                "write",
                &self.root,
                std::io::Error::new(ErrorKind::StorageFull, text),
            ));
        }
        Ok(())
    }
}

/// Has the disk know which names are in a file's directory.
fn sync_directory(path: &Path) -> std::io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}

/// Reads the names of a directory; one that is missing has none.
fn names_in(path: &Path) -> ImageResult<Vec<fs::DirEntry>> {
    let failed = |error| ImageError::io("read", path, error);
    match fs::read_dir(path) {
        Ok(list) => list.collect::<Result<_, _>>().map_err(failed),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(failed(error)),
    }
}

/// The directories of blobs.
const ALGORITHMS: [Algorithm; 2] = [Algorithm::Sha256, Algorithm::Sha512];

#[cfg(test)]
mod tests;
