//! Pulls images: from a registry or its mirrors into the store.

use std::collections::BTreeSet;

use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::documents::{Descriptor, Document, ImageFacts, Manifest, OCI_MANIFEST, Platform};
use crate::event::{Event, Events};
use crate::platform::{choose, fits};
use crate::registries_conf::Registries;
use crate::registry::{Credentials, Repository, Rules};
use crate::store::Store;
use crate::{Algorithm, Digest, ImageError, ImageResult, Reference, download};

/// The most levels of indexes.
const INDEX_DEPTH: usize = 4;
/// How many blobs come at the same time.
const AT_ONCE: usize = 4;

/// Finds the credentials for a place: the registry and the repository.
pub type FindCredentials<'a> = &'a (dyn Fn(&Reference) -> ImageResult<Option<Credentials>> + Sync);

/// How images are pulled.
pub struct Pull<'a> {
    /// Where they go.
    pub store: &'a Store,
    /// What the machine's administrator says about registries.
    pub registries: &'a Registries,
    /// How registries are spoken to.
    pub rules: &'a Rules,
    /// For each place.
    pub credentials: FindCredentials<'a>,
    /// What the image has to run on.
    pub platform: &'a Platform,
    /// Who is told what happens.
    pub events: Events<'a>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The full name.
    pub name: String,
    /// The digest of the image's manifest.
    pub digest: Digest,
    /// What the name stands for in the registry.
    pub source: Digest,
    /// Whether the name stood for the same image before, and all of it was here.
    pub unchanged: bool,
}

/// An image of a registry, before its blobs come.
struct Found {
    source: Digest,
    image: Descriptor,
    bytes: Vec<u8>,
    manifest: Manifest,
}

impl Pull<'_> {
    /// Pulls an image. `now` is the time in seconds since 1970.
    ///
    /// # Errors
    /// When no place has it; the error is that of the last one, and the others are warnings.
    pub async fn run(&self, reference: &Reference, now: u64) -> ImageResult<Pulled> {
        self.store.make()?;
        let _using = self.store.share()?;
        let mut places = self.registries.places(reference)?;
        let last = places.pop().unwrap_or_else(|| reference.clone());
        for mirror in places {
            match self.from(reference, &mirror, now).await {
                Ok(pulled) => return Ok(pulled),
                // This side's trouble is the same with the next one.
                Err(error @ (ImageError::Io { .. } | ImageError::Held(_))) => return Err(error),
                Err(error) => (self.events)(Event::Warning(&format!("mirror {}: {error}", mirror.name()))),
            }
        }
        self.from(reference, &last, now).await
    }

    /// Asks what a name stands for in the registry now.
    ///
    /// # Errors
    /// When the registry does not say.
    pub async fn current(&self, reference: &Reference) -> ImageResult<Digest> {
        let place = self.registries.places(reference)?.pop().unwrap_or_else(|| reference.clone());
        let repository = self.connect(&place).await?;
        let fetched = repository.manifest(&reference.version()).await?;
        Ok(Digest::of(algorithm(reference), &fetched.bytes))
    }

    async fn connect(&self, place: &Reference) -> ImageResult<Repository> {
        Repository::connect(place, (self.credentials)(place)?, self.rules).await
    }

    async fn from(&self, reference: &Reference, place: &Reference, now: u64) -> ImageResult<Pulled> {
        let repository = self.connect(place).await?;
        let found = self.find(&repository, reference).await?;
        let name = reference.to_string();
        let blobs: Vec<&Descriptor> = distinct(&found.manifest);
        let size = blobs.iter().fold(0_u64, |sum, blob| sum.saturating_add(blob.size));
        (self.events)(Event::Image { name: &name, blobs: blobs.len(), size });
        let missing = blobs.iter().filter(|blob| !self.store.has(blob)).map(|blob| blob.size);
        self.store.check_room(missing.fold(0, u64::saturating_add))?;

        let before = self.store.find(reference).ok();
        let config = &found.manifest.config;
        let mut changed = download::blob(&repository, self.store, config, self.events).await?;
        let facts = ImageFacts::parse(&self.store.document(config)?)?;
        self.check_platform(&facts)?;
        let layers = blobs.iter().filter(|blob| blob.digest != config.digest);
        let results: Vec<bool> = stream::iter(layers)
            .map(|blob| download::blob(&repository, self.store, blob, self.events))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        changed |= results.contains(&true);

        self.store.add_document(&found.image.digest, &found.bytes)?;
        let image = Descriptor { platform: Some(facts.platform), ..found.image };
        self.store.name(reference, &image, Some(&found.source), now)?;
        let unchanged = !changed && before.is_some_and(|before| before.digest == image.digest);
        Ok(Pulled { name, digest: image.digest, source: found.source, unchanged })
    }

    /// Follows indexes down to the image for the platform.
    async fn find(&self, repository: &Repository, reference: &Reference) -> ImageResult<Found> {
        let fetched = repository.manifest(&reference.version()).await?;
        let source = Digest::of(algorithm(reference), &fetched.bytes);
        let mut digest = source.clone();
        let (mut bytes, mut said) = (fetched.bytes, fetched.media_type);
        let mut seen = BTreeSet::new();
        for _ in 0..=INDEX_DEPTH {
            match Document::parse(&bytes, said.as_deref())? {
                Document::Manifest(media_type, manifest) => {
                    let size = bytes.len() as u64;
                    let image = Descriptor {
                        media_type,
                        digest,
                        size,
                        platform: None,
                        annotations: std::collections::BTreeMap::new(),
                    };
                    return Ok(Found { source, image, bytes, manifest });
                }
                Document::Index(index) => {
                    let chosen = choose(&index, self.platform).map_err(|error| match error {
                        ImageError::NotFound(text) => ImageError::NotFound(format!("{reference}: {text}")),
                        other => other,
                    })?;
                    if !seen.insert(chosen.digest.clone()) {
                        break;
                    }
                    bytes = repository.manifest(&chosen.digest.to_string()).await?.bytes;
                    if bytes.len() as u64 != chosen.size {
                        let text = format!(
                            "the manifest {} has {} bytes, not {}",
                            chosen.digest,
                            bytes.len(),
                            chosen.size
                        );
                        return Err(ImageError::Damaged(text));
                    }
                    digest = chosen.digest.clone();
                    let media_type =
                        if chosen.media_type.is_empty() { OCI_MANIFEST } else { &chosen.media_type };
                    said = Some(media_type.to_owned());
                }
            }
        }
        Err(ImageError::Damaged(format!("the indexes of {reference} are nested too deeply")))
    }

    fn check_platform(&self, facts: &ImageFacts) -> ImageResult<()> {
        if fits(&facts.platform, self.platform) {
            return Ok(());
        }
        Err(ImageError::NotFound(format!(
            "the image is for {} ({}), not for {} (linux)",
            crate::digest::shortened(&facts.platform.to_string()),
            crate::digest::shortened(&facts.platform.os),
            self.platform
        )))
    }
}

fn algorithm(reference: &Reference) -> Algorithm {
    reference.digest().map_or(Algorithm::Sha256, Digest::algorithm)
}

/// The blobs of an image, each once.
fn distinct(manifest: &Manifest) -> Vec<&Descriptor> {
    let mut seen = BTreeSet::new();
    manifest.blobs().filter(|blob| seen.insert(&blob.digest)).collect()
}
