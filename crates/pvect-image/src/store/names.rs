//! The names in the store: `index.json`.

use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};

use serde::{Deserialize, Serialize};

use super::Store;
use crate::documents::{Descriptor, ImageFacts, OCI_INDEX, Platform};
use crate::{Digest, ImageError, ImageResult, Reference};

/// The OCI's annotation for names.
pub(super) const NAME: &str = "org.opencontainers.image.ref.name";
/// What the name stood for in the registry: the digest of the index or image.
const SOURCE: &str = "io.github.pvect.source";
/// When it was brought, in seconds since 1970.
const PULLED: &str = "io.github.pvect.pulled";
/// More names than anybody has.
const INDEX_LIMIT: u64 = 64 << 20;

/// `index.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Names {
    schema_version: u64,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    manifests: Vec<Descriptor>,
}

/// An image in the store, under one name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// `REGISTRY/REPOSITORY:TAG`, or with a digest.
    pub name: String,
    /// The digest of the image's manifest.
    pub digest: Digest,
    /// What the name stood for in the registry: the digest of an index, or the same. Images that were imported have
    /// none.
    pub source: Option<Digest>,
    /// What it runs on.
    pub platform: Platform,
    /// The sum of its blobs, in bytes, as they are stored: compressed.
    pub size: u64,
    /// When it was brought, in seconds since 1970; 0 when that is not known.
    pub pulled: u64,
    pub(crate) descriptor: Descriptor,
}

/// More about an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Details {
    /// The image.
    pub image: Stored,
    /// The digests of its layers, the lowest first, with their sizes in bytes.
    pub layers: Vec<(Digest, u64)>,
    /// What it says about itself.
    pub facts: ImageFacts,
}

impl Store {
    /// Lists the images, by name. Those whose manifests are damaged are listed with the size 0.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn list(&self) -> ImageResult<Vec<Stored>> {
        let mut list: Vec<Stored> =
            self.names()?.manifests.into_iter().filter_map(|entry| self.stored(entry)).collect();
        list.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(list)
    }

    /// Finds an image by its full name.
    ///
    /// # Errors
    /// `NotFound`; when the index cannot be read.
    pub fn find(&self, reference: &Reference) -> ImageResult<Stored> {
        let name = reference.to_string();
        let found = self.names()?.manifests.into_iter().filter_map(|entry| self.stored(entry));
        let mut named: Vec<Stored> = found.filter(|stored| stored.name == name).collect();
        named.pop().ok_or_else(|| missing(&name))
    }

    /// Reads all that an image says.
    ///
    /// # Errors
    /// `NotFound`; when it is damaged.
    pub fn inspect(&self, reference: &Reference) -> ImageResult<Details> {
        let image = self.find(reference)?;
        let manifest = self.manifest(&image.descriptor)?;
        let facts = self.facts(&manifest)?;
        let layers = manifest.layers.into_iter().map(|layer| (layer.digest, layer.size)).collect();
        Ok(Details { image, layers, facts })
    }

    /// Removes a name. The blobs stay until [`Store::prune`].
    ///
    /// # Errors
    /// `NotFound`; when the index cannot be changed.
    pub fn remove(&self, reference: &Reference) -> ImageResult<()> {
        let name = reference.to_string();
        if !self.exists()? {
            return Err(missing(&name));
        }
        let _index = self.index_alone()?;
        let mut names = self.names()?;
        let before = names.manifests.len();
        names.manifests.retain(|entry| name_of(entry) != Some(&name));
        if names.manifests.len() == before {
            return Err(missing(&name));
        }
        self.write_names(&names)
    }

    /// Gives an image one more name; what had that name loses it.
    ///
    /// # Errors
    /// `NotFound`; when the new name has a digest, or the index cannot be changed.
    pub fn tag(&self, reference: &Reference, new: &Reference) -> ImageResult<()> {
        if new.digest().is_some() {
            let text = "a new name has a tag, not a digest".to_owned();
            return Err(ImageError::Reference { text: new.to_string(), why: text });
        }
        if !self.exists()? {
            return Err(missing(&reference.to_string()));
        }
        let _using = self.share()?;
        let stored = self.find(reference)?;
        let mut entry = stored.descriptor;
        // The new name stands for nothing in its registry.
        entry.annotations.remove(SOURCE);
        self.put_name(new, entry)
    }

    /// Gives an image that was just brought its name. The caller shares the store.
    ///
    /// # Errors
    /// When the index cannot be changed.
    pub(crate) fn name(
        &self,
        reference: &Reference,
        image: &Descriptor,
        source: Option<&Digest>,
        now: u64,
    ) -> ImageResult<()> {
        let mut entry = Descriptor { annotations: BTreeMap::new(), ..image.clone() };
        entry.annotations.insert(PULLED.to_owned(), now.to_string());
        if let Some(source) = source {
            entry.annotations.insert(SOURCE.to_owned(), source.to_string());
        }
        self.put_name(reference, entry)
    }

    fn put_name(&self, reference: &Reference, mut entry: Descriptor) -> ImageResult<()> {
        let name = reference.to_string();
        entry.annotations.insert(NAME.to_owned(), name.clone());
        let _index = self.index_alone()?;
        let mut names = self.names()?;
        names.manifests.retain(|entry| name_of(entry) != Some(&name));
        names.manifests.push(entry);
        self.write_names(&names)
    }

    /// What the index names, for [`Store::prune`].
    pub(super) fn named(&self) -> ImageResult<Vec<Descriptor>> {
        Ok(self.names()?.manifests)
    }

    fn stored(&self, entry: Descriptor) -> Option<Stored> {
        let name = name_of(&entry)?.to_owned();
        let size = self.manifest(&entry).map_or(0, |manifest| {
            manifest.blobs().fold(entry.size, |sum, blob| sum.saturating_add(blob.size))
        });
        Some(Stored {
            name,
            digest: entry.digest.clone(),
            source: entry.annotations.get(SOURCE).and_then(|text| text.parse().ok()),
            platform: entry.platform.clone().unwrap_or_default(),
            size,
            pulled: entry.annotations.get(PULLED).and_then(|text| text.parse().ok()).unwrap_or_default(),
            descriptor: entry,
        })
    }

    fn names(&self) -> ImageResult<Names> {
        let empty = Names { schema_version: 2, media_type: OCI_INDEX.to_owned(), manifests: Vec::new() };
        if !self.exists()? {
            return Ok(empty);
        }
        let path = self.root.join("index.json");
        let failed = |error| ImageError::io("read", &path, error);
        let file = match fs::File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(empty),
            Err(error) => return Err(failed(error)),
        };
        let mut bytes = Vec::new();
        file.take(INDEX_LIMIT).read_to_end(&mut bytes).map_err(failed)?;
        serde_json::from_slice(&bytes).map_err(|error| {
            ImageError::Damaged(format!("'{}' cannot be understood: {error}", path.display()))
        })
    }

    fn write_names(&self, names: &Names) -> ImageResult<()> {
        let path = self.root.join("index.json");
        let text = serde_json::to_vec_pretty(names)
            .map_err(|error| ImageError::io("write", &path, std::io::Error::other(error)))?;
        self.replace(&path, &text)
    }
}

fn name_of(entry: &Descriptor) -> Option<&String> {
    entry.annotations.get(NAME)
}

fn missing(name: &str) -> ImageError {
    ImageError::NotFound(format!("there is no image '{name}' here"))
}
