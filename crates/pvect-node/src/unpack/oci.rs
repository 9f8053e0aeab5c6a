//! OCI images as templates: a tar archive of an image layout, as `skopeo copy ... oci-archive:` makes it.
//!
//! Of the index the first manifest is taken, as the real pct does. Every blob is read by its digest, which is
//! checked. Source: the OCI image specification (image-layout.md, manifest.md, config.md, layer.md).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::writer::Writer;
use super::{Options, UnpackError, pax, reader};

/// The largest JSON document that is read, in bytes.
const DOCUMENT_LIMIT: u64 = 4 << 20;
/// The most members that an archive may have, and the most levels of indexes.
const MEMBER_LIMIT: usize = 100_000;
const INDEX_DEPTH: usize = 4;

/// What an image says about the process that it is made for. All of it comes from the image: it is to be checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub struct ImageConfig {
    /// The program and its first arguments.
    pub entrypoint: Option<Vec<String>>,
    /// Further arguments, or the program.
    pub cmd: Option<Vec<String>>,
    /// Variables, `NAME=value`.
    pub env: Option<Vec<String>>,
    /// `USER[:GROUP]`, names or numbers.
    pub user: Option<String>,
    /// The directory in which the program starts.
    pub working_dir: Option<String>,
    /// The signal that ends the program.
    pub stop_signal: Option<String>,
    /// Directories for data.
    pub volumes: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Image {
    #[serde(default)]
    config: Option<ImageConfig>,
}

/// Returns whether an archive is an image: its name ends with `.tar`, and it has `oci-layout`, `index.json` and
/// `blobs/`.
pub fn is_image(archive: &Path) -> bool {
    if archive.extension().is_none_or(|end| end != "tar") {
        return false;
    }
    let Ok(layout) = Layout::open(archive) else { return false };
    let has = |name: &str| layout.members.contains_key(Path::new(name));
    has("oci-layout") && has("index.json") && layout.has_blobs
}

/// Unpacks the layers of an image into an existing directory, from the lowest on, and returns its configuration.
///
/// # Errors
/// When the archive is damaged, a blob is missing or not what its digest says, or a member cannot be unpacked.
pub fn extract(archive: &Path, root: &Path, options: &Options<'_>) -> Result<ImageConfig, UnpackError> {
    let mut layout = Layout::open(archive)?;
    let manifest = layout.manifest()?;
    let image: Image = layout.document(&manifest.config.digest)?;
    let read_failed = |source| UnpackError::Read { path: archive.to_owned(), source };
    for layer in &manifest.layers {
        check_layer(&layout, layer)?;
        let records = pax::Records::default();
        let writer = Writer::of_layers(root, options.idmap).map_err(read_failed)?;
        let mut writer = writer.with_records(&records);
        // What a layer takes away it takes from those below, wherever in it the whiteout stands.
        layout.members_of(layer, options, &records, &mut |entry| {
            writer.whiteout(&entry.path_bytes()).map(|_| ())
        })?;
        layout.members_of(layer, options, &records, &mut |entry| {
            if is_whiteout(&entry.path_bytes()) {
                return Ok(());
            }
            match writer.write(entry, options.interrupted) {
                Err(UnpackError::Member { full: false, .. }) if options.ignore_errors => Ok(()),
                other => other,
            }
        })?;
        writer.finish()?;
    }
    Ok(image.config.unwrap_or_default())
}

fn is_whiteout(name: &[u8]) -> bool {
    name.rsplit(|byte| *byte == b'/').next().is_some_and(|file| file.starts_with(b".wh."))
}

fn check_layer(layout: &Layout<'_>, layer: &Descriptor) -> Result<(), UnpackError> {
    let kind = layer.media_type.as_str();
    let known = ["application/vnd.oci.image.layer.v1.tar", "application/vnd.docker.image.rootfs.diff.tar"];
    let rest = known.iter().find_map(|known| kind.strip_prefix(known));
    match rest {
        Some("" | "+gzip" | "+zstd" | ".gzip") => Ok(()),
        _ => Err(layout.bad(format!("it has a layer of the type '{kind}'"))),
    }
}

/// An archive and where its members lie.
struct Layout<'a> {
    path: &'a Path,
    file: File,
    members: BTreeMap<PathBuf, (u64, u64)>,
    has_blobs: bool,
}

impl<'a> Layout<'a> {
    fn open(path: &'a Path) -> Result<Self, UnpackError> {
        let read_failed = |source| UnpackError::Read { path: path.to_owned(), source };
        let file = File::open(path).map_err(read_failed)?;
        let mut layout = Self { path, file, members: BTreeMap::new(), has_blobs: false };
        let again = layout.file.try_clone().map_err(read_failed)?;
        let mut tar = tar::Archive::new(again);
        let entries = tar.entries_with_seek().map_err(|error| reader::explain(path, error))?;
        for entry in entries.take(MEMBER_LIMIT) {
            let entry = entry.map_err(|error| reader::explain(path, error))?;
            let name = entry.path_bytes();
            let name = name.strip_prefix(b"./").unwrap_or(&name);
            layout.has_blobs |= name.starts_with(b"blobs/");
            if entry.header().entry_type().is_file()
                && let Ok(name) = std::str::from_utf8(name)
            {
                layout.members.insert(name.into(), (entry.raw_file_position(), entry.size()));
            }
        }
        Ok(layout)
    }

    fn bad(&self, what: impl Into<String>) -> UnpackError {
        UnpackError::NotAnArchive { path: self.path.to_owned(), what: what.into() }
    }

    /// The bytes of a member.
    fn member(&self, name: &Path) -> Result<(io::Take<File>, u64), UnpackError> {
        let missing = || self.bad(format!("it has no '{}'", name.display()));
        let (position, size) = *self.members.get(name).ok_or_else(missing)?;
        let read_failed = |source| UnpackError::Read { path: self.path.to_owned(), source };
        // The position is that of the file, and one blob is read at a time.
        let mut file = self.file.try_clone().map_err(read_failed)?;
        file.seek(SeekFrom::Start(position)).map_err(read_failed)?;
        Ok((file.take(size), size))
    }

    /// The bytes of a blob and the digest that they must have.
    fn blob(&self, digest: &str) -> Result<(io::Take<File>, u64), UnpackError> {
        let hex = digest.strip_prefix("sha256:").filter(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        });
        let hex = hex.ok_or_else(|| self.bad(format!("the digest '{digest}' is not supported")))?;
        self.member(&Path::new("blobs/sha256").join(hex))
    }

    fn text(&self, bytes: io::Take<File>, size: u64) -> Result<Vec<u8>, UnpackError> {
        if size > DOCUMENT_LIMIT {
            return Err(self.bad(format!("it has a document of {size} bytes")));
        }
        let mut text = Vec::new();
        let mut bytes = bytes;
        bytes.read_to_end(&mut text).map_err(|error| reader::explain(self.path, error))?;
        Ok(text)
    }

    fn parse<T: serde::de::DeserializeOwned>(&self, name: &str, text: &[u8]) -> Result<T, UnpackError> {
        serde_json::from_slice(text)
            .map_err(|error| self.bad(format!("{name} cannot be understood: {error}")))
    }

    /// A JSON document, its digest checked.
    fn document<T: serde::de::DeserializeOwned>(&self, digest: &str) -> Result<T, UnpackError> {
        let (bytes, size) = self.blob(digest)?;
        let text = self.text(bytes, size)?;
        self.check(digest, &Sha256::digest(&text))?;
        self.parse(digest, &text)
    }

    fn check(&self, digest: &str, found: &[u8]) -> Result<(), UnpackError> {
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        if digest.strip_prefix("sha256:") == Some(found.as_str()) {
            return Ok(());
        }
        Err(self.bad(format!("the blob '{digest}' has the digest 'sha256:{found}'")))
    }

    /// The first manifest; an index of an index is followed.
    fn manifest(&mut self) -> Result<Manifest, UnpackError> {
        let (bytes, size) = self.member(Path::new("index.json"))?;
        let text = self.text(bytes, size)?;
        let mut index: Index = self.parse("index.json", &text)?;
        for _ in 0..INDEX_DEPTH {
            let first = index.manifests.first().ok_or_else(|| self.bad("its index names no manifest"))?;
            if !first.media_type.contains("index") && !first.media_type.contains("manifest.list") {
                return self.document(&first.digest);
            }
            index = self.document(&first.digest)?;
        }
        Err(self.bad("its indexes are nested too deep"))
    }

    /// Passes the members of a layer on, its digest checked at the end.
    fn members_of(
        &self,
        layer: &Descriptor,
        options: &Options<'_>,
        records: &pax::Records,
        each: &mut dyn FnMut(&mut LayerEntry<'_, '_>) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        let (bytes, _) = self.blob(&layer.digest)?;
        let explain = |error| reader::explain(self.path, error);
        let mut hashed = Hashed { bytes, hash: Sha256::new() };
        {
            let stream = reader::open_layer(&mut hashed).map_err(explain)?;
            let mut tar = tar::Archive::new(pax::Stream::new(stream, records));
            for entry in tar.entries().map_err(explain)? {
                if (options.interrupted)() {
                    return Err(UnpackError::Interrupted);
                }
                each(&mut entry.map_err(explain)?)?;
            }
        }
        // What follows the end of the archive is part of the blob.
        io::copy(&mut hashed, &mut io::sink()).map_err(explain)?;
        self.check(&layer.digest, &hashed.hash.finalize())
    }
}

/// A member of a layer.
type LayerEntry<'a, 'b> = tar::Entry<'a, pax::Stream<Box<dyn Read + 'b>>>;

/// Hashes what is read.
struct Hashed {
    bytes: io::Take<File>,
    hash: Sha256,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests;
