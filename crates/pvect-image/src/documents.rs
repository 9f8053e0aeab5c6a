//! The JSON documents of images: indexes, manifests, configurations.
//!
//! Source: the OCI image specification (descriptor.md, image-index.md, manifest.md, config.md), and docker's "Image
//! Manifest Version 2, Schema 2".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::shortened;
use crate::{Digest, ImageError, ImageResult};

/// The largest JSON document that is read, in bytes.
pub const DOCUMENT_LIMIT: u64 = 4 << 20;
/// The most layers of an image; container engines make no more than 127.
const LAYER_LIMIT: usize = 1000;
/// The largest blob, in bytes.
const BLOB_LIMIT: u64 = 1 << 40;

pub(crate) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(crate) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const DOCKER_INDEX: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// What is asked for where an image is expected.
pub(crate) const ACCEPTED: [&str; 4] = [OCI_INDEX, OCI_MANIFEST, DOCKER_INDEX, DOCKER_MANIFEST];

/// Names a blob, with its size and what is in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What is in it.
    #[serde(default)]
    pub media_type: String,
    /// Its name.
    pub digest: Digest,
    /// In bytes.
    pub size: u64,
    /// What the image runs on, where an index names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<Platform>,
    /// Further facts.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "nullable")]
    pub annotations: BTreeMap<String, String>,
}

fn nullable<'de, D: serde::Deserializer<'de>>(from: D) -> Result<BTreeMap<String, String>, D::Error> {
    Ok(Option::deserialize(from)?.unwrap_or_default())
}

/// What an image runs on, in Go's words.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`, `arm`, `386`, ...
    #[serde(default)]
    pub architecture: String,
    /// `linux`, ...
    #[serde(default)]
    pub os: String,
    /// Which of the architecture: `v7`, `v8`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl std::fmt::Display for Platform {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.architecture)?;
        if !self.variant.is_empty() {
            write!(f, "/{}", self.variant)?;
        }
        Ok(())
    }
}

/// Images for several platforms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) manifests: Vec<Descriptor>,
}

/// One image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Manifest {
    pub(crate) config: Descriptor,
    pub(crate) layers: Vec<Descriptor>,
}

/// What stands behind a tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Document {
    Index(Index),
    /// With its media type.
    Manifest(String, Manifest),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Raw {
    #[serde(default)]
    schema_version: u64,
    media_type: Option<String>,
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

impl Document {
    /// Reads an index or a manifest. `said` is what whoever brought it says that it is; what it says itself must agree.
    ///
    /// # Errors
    /// When it is neither, could be read as both, or names something of an unknown type.
    pub(crate) fn parse(bytes: &[u8], said: Option<&str>) -> ImageResult<Self> {
        let damaged = |why: String| ImageError::Damaged(format!("a manifest cannot be understood: {why}"));
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| damaged(error.to_string()))?;
        if raw.schema_version == 1 {
            let text = "the image has a manifest of docker's schema 1, which nobody should use any more";
            return Err(ImageError::Unsupported(text.to_owned()));
        }
        // Registries behind caches answer with generic types.
        let said = said.filter(|said| said.starts_with("application/vnd."));
        let media_type = match (&raw.media_type, said) {
            (Some(own), Some(said)) if own != said => {
                return Err(damaged(format!(
                    "it is '{}' by itself, and '{}' by its place",
                    shortened(own),
                    shortened(said)
                )));
            }
            (Some(own), _) => own.clone(),
            (None, Some(said)) => said.to_owned(),
            (None, None) if raw.manifests.is_some() => OCI_INDEX.to_owned(),
            (None, None) => OCI_MANIFEST.to_owned(),
        };
        match media_type.as_str() {
            OCI_INDEX | DOCKER_INDEX => {
                if raw.config.is_some() || raw.layers.is_some() {
                    return Err(damaged("it is an index and an image at once".to_owned()));
                }
                Ok(Self::Index(Index { manifests: raw.manifests.unwrap_or_default() }))
            }
            OCI_MANIFEST | DOCKER_MANIFEST => {
                if raw.manifests.is_some() {
                    return Err(damaged("it is an index and an image at once".to_owned()));
                }
                let config = raw.config.ok_or_else(|| damaged("it has no config".to_owned()))?;
                let layers = raw.layers.ok_or_else(|| damaged("it has no layers".to_owned()))?;
                let manifest = Manifest { config, layers };
                manifest.check()?;
                Ok(Self::Manifest(media_type, manifest))
            }
            other => Err(unknown("what is behind the name", other)),
        }
    }
}

fn unknown(what: &str, media_type: &str) -> ImageError {
    ImageError::Unsupported(format!(
        "{what} is of the type '{}', which pvect does not know",
        shortened(media_type)
    ))
}

impl Manifest {
    fn check(&self) -> ImageResult<()> {
        let too_large =
            |what: &str| ImageError::Damaged(format!("the image's {what} are larger than pvect takes"));
        if ![OCI_CONFIG, DOCKER_CONFIG].contains(&self.config.media_type.as_str()) {
            return Err(unknown("the image's config", &self.config.media_type));
        }
        if self.config.size > DOCUMENT_LIMIT {
            return Err(too_large("documents"));
        }
        if self.layers.len() > LAYER_LIMIT {
            return Err(ImageError::Damaged(format!("the image has more than {LAYER_LIMIT} layers")));
        }
        for layer in &self.layers {
            let rest =
                [OCI_LAYER, DOCKER_LAYER].iter().find_map(|known| layer.media_type.strip_prefix(known));
            if !matches!(rest, Some("" | "+gzip" | ".gzip" | "+zstd")) {
                return Err(unknown("a layer", &layer.media_type));
            }
            if layer.size > BLOB_LIMIT {
                return Err(too_large("layers"));
            }
        }
        Ok(())
    }

    /// Everything that it names.
    pub(crate) fn blobs(&self) -> impl Iterator<Item = &Descriptor> {
        std::iter::once(&self.config).chain(&self.layers)
    }
}

/// What an image says about itself. All of it comes from the image: it is to be checked before it is used.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageFacts {
    /// What it runs on.
    #[serde(flatten)]
    pub platform: Platform,
    /// When it was made, as its builder wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// How it is run: `Entrypoint`, `Cmd`, `Env`, `User`, ...
    #[serde(default)]
    pub config: serde_json::Value,
}

impl ImageFacts {
    /// Reads an image's configuration.
    ///
    /// # Errors
    /// When it is not one.
    pub(crate) fn parse(bytes: &[u8]) -> ImageResult<Self> {
        serde_json::from_slice(bytes)
            .map_err(|error| ImageError::Damaged(format!("the image's config cannot be understood: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn descriptor(kind: &str) -> String {
        format!(r#"{{"mediaType":"{kind}","digest":"sha256:{}","size":7}}"#, "a".repeat(64))
    }

    fn manifest(own: &str, layer: &str) -> String {
        format!(
            r#"{{"schemaVersion":2{own},"config":{},"layers":[{}]}}"#,
            descriptor(OCI_CONFIG),
            descriptor(layer)
        )
    }

    #[test]
    fn manifests_and_indexes_are_told_apart() {
        let plain = manifest("", &format!("{OCI_LAYER}+gzip"));
        let Document::Manifest(kind, found) = Document::parse(plain.as_bytes(), None).unwrap() else {
            panic!()
        };
        assert_eq!((kind.as_str(), found.layers.len()), (OCI_MANIFEST, 1));
        let docker = Document::parse(plain.as_bytes(), Some(DOCKER_MANIFEST)).unwrap();
        assert!(matches!(docker, Document::Manifest(kind, _) if kind == DOCKER_MANIFEST));
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{}]}}"#, descriptor(OCI_MANIFEST));
        assert!(matches!(
            Document::parse(index.as_bytes(), Some("application/json")).unwrap(),
            Document::Index(_)
        ));
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let own = format!(r#","mediaType":"{OCI_MANIFEST}""#);
        let layer = format!("{OCI_LAYER}+gzip");
        assert!(Document::parse(manifest(&own, &layer).as_bytes(), Some(OCI_INDEX)).is_err());
        let both = manifest(r#","manifests":[]"#, &layer);
        for said in [None, Some(OCI_INDEX), Some(OCI_MANIFEST)] {
            let error = Document::parse(both.as_bytes(), said).unwrap_err();
            assert!(matches!(error, ImageError::Damaged(_)), "{error}");
        }
    }

    #[test]
    fn unknown_types_are_refused_by_name() {
        let foreign = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
        let error = Document::parse(manifest("", foreign).as_bytes(), None).unwrap_err();
        assert!(matches!(&error, ImageError::Unsupported(text) if text.contains(foreign)), "{error}");
        let chart = r#"{"schemaVersion":2,"mediaType":"application/vnd.cncf.helm+json"}"#;
        let error = Document::parse(chart.as_bytes(), None).unwrap_err();
        assert!(matches!(&error, ImageError::Unsupported(text) if text.contains("helm")), "{error}");
        let negative = manifest("", OCI_LAYER).replace(":7", ":-7");
        assert!(Document::parse(negative.as_bytes(), None).is_err());
    }
}
