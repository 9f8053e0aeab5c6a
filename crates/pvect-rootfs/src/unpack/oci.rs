//! OCI images as templates: a tar archive of an image layout, as `skopeo copy ... oci-archive:` makes it.
//!
//! Of the index the first image of the container's architecture is taken; the real pct takes the first image. Each
//! blob must have the size and the digest that it is named by before anything of it is written. Source: the OCI image specification (image-layout.md, manifest.md, config.md, layer.md).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::writer::Writer;
use super::{MOST_MEMBERS, Options, UnpackError, pax, reader};

/// The largest JSON document that is read, in bytes.
const DOCUMENT_LIMIT: u64 = 4 << 20;
/// The most members that an archive may have, and the most levels of indexes.
const MEMBER_LIMIT: usize = 100_000;
const INDEX_DEPTH: usize = 4;
/// The most layers of an image; container engines make no more than 127.
const LAYER_LIMIT: usize = 1000;
/// The most removals that one layer may ask for.
const WHITEOUT_LIMIT: usize = 1 << 20;

const INDEXES: [&str; 2] =
    ["application/vnd.oci.image.index.v1+json", "application/vnd.docker.distribution.manifest.list.v2+json"];
const MANIFESTS: [&str; 2] =
    ["application/vnd.oci.image.manifest.v1+json", "application/vnd.docker.distribution.manifest.v2+json"];

/// What an image says about its process. All of it comes from the image and must be checked.
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
    /// The signal that stops the program.
    pub stop_signal: Option<String>,
    /// Directories for data (the image's volumes).
    pub volumes: Option<BTreeMap<String, serde_json::Value>>,
}

#[derive(Deserialize)]
struct Descriptor {
    #[serde(rename = "mediaType", default)]
    media_type: String,
    digest: String,
    size: u64,
    #[serde(default)]
    platform: Option<Platform>,
}

#[derive(Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
}

impl Descriptor {
    /// Attestations are listed in an index like images, for a system called `unknown`.
    fn is_image(&self) -> bool {
        self.platform.as_ref().is_none_or(|platform| platform.os != "unknown")
    }

    /// The architecture as the container's option `arch` names it; empty when none is named.
    fn architecture(&self) -> &str {
        match self.platform.as_ref().map_or("", |platform| &platform.architecture) {
            "386" => "i386",
            "arm" => "armhf",
            other => other,
        }
    }
}

#[derive(Deserialize)]
struct Index {
    #[serde(default)]
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

/// Unpacks the layers of an image into an existing directory, from the lowest on, and returns its configuration. If the
/// image is for several architectures, the one for `arch` (`amd64`, `arm64`, ...) is used.
///
/// # Errors
/// When the archive is damaged, a blob is missing or not what its descriptor says, there is no image for the
/// architecture, or a member cannot be unpacked.
pub fn extract(
    archive: &Path,
    root: &Path,
    arch: &str,
    options: &Options<'_>,
) -> Result<ImageConfig, UnpackError> {
    let layout = Layout::open(archive)?;
    let manifest = layout.manifest(arch)?;
    let image: Image = layout.document(&manifest.config)?;
    let read_failed = |source| UnpackError::Read { path: archive.to_owned(), source };
    if manifest.layers.len() > LAYER_LIMIT {
        return Err(layout.bad(format!("it has more than {LAYER_LIMIT} layers")));
    }
    // All layers are read twice.
    let (looked_at, written) = (reader::Allowance::new(options.most), reader::Allowance::new(options.most));
    for layer in &manifest.layers {
        check_layer(&layout, layer)?;
        let records = pax::Records::default();
        let whiteouts =
            whiteouts(&layout, layer, &Reading { options, records: &records, allowance: &looked_at })?;
        let writer = Writer::of_layers(root, options.idmap).map_err(read_failed)?;
        let mut writer = writer.with_records(&records).leniently(options.ignore_errors);
        whiteouts.iter().try_for_each(|name| writer.whiteout(name).map(|_| ()))?;
        let reading = Reading { options, records: &records, allowance: &written };
        layout.members_of(layer, &reading, &mut |entry| {
            if is_whiteout(&entry.path_bytes()) {
                return Ok(());
            }
            options.judge(writer.write(entry, options.interrupted)).map(drop)
        })?;
        writer.finish()?;
    }
    Ok(image.config.unwrap_or_default())
}

/// How the members of a layer are read.
struct Reading<'a> {
    options: &'a Options<'a>,
    records: &'a pax::Records,
    allowance: &'a reader::Allowance,
}

/// Returns the names that a layer removes from those below, wherever in it the whiteouts are. It reads the layer to its
/// end, so that its digest is known to be right before anything is changed.
fn whiteouts(
    layout: &Layout<'_>,
    layer: &Descriptor,
    reading: &Reading<'_>,
) -> Result<Vec<Vec<u8>>, UnpackError> {
    let mut names = Vec::new();
    layout.members_of(layer, reading, &mut |entry| {
        let name = entry.path_bytes();
        if is_whiteout(&name) {
            names.push(name.into_owned());
        }
        if names.len() > WHITEOUT_LIMIT { Err(layout.bad("a layer removes too many files")) } else { Ok(()) }
    })?;
    Ok(names)
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

/// An archive and the positions of its members.
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
        let records = pax::Records::default();
        // Read to its end, not by seeking: the stream refuses extension members that would take all memory.
        let stream = pax::Stream::new(io::BufReader::with_capacity(256 * 1024, again), &records);
        let mut tar = tar::Archive::new(stream);
        let entries = tar.entries().map_err(|error| reader::explain(path, error))?;
        for entry in entries.take(MEMBER_LIMIT) {
            let entry = entry.map_err(|error| reader::explain(path, error))?;
            let name = entry.path_bytes();
            let name = name.strip_prefix(b"./").unwrap_or(&name);
            layout.has_blobs |= name.starts_with(b"blobs/");
            if !entry.header().entry_type().is_file() {
                continue;
            }
            if let Ok(name) = std::str::from_utf8(name) {
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
        // The clones share one file position, which is fine because only one blob is read at a time.
        let mut file = self.file.try_clone().map_err(read_failed)?;
        file.seek(SeekFrom::Start(position)).map_err(read_failed)?;
        Ok((file.take(size), size))
    }

    /// The bytes of a blob of the right size; the caller checks the digest.
    fn blob(&self, blob: &Descriptor) -> Result<io::Take<File>, UnpackError> {
        let digest = &blob.digest;
        let hex = digest.strip_prefix("sha256:").filter(|hex| {
            hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        });
        let hex = hex.ok_or_else(|| self.bad(format!("the digest '{digest}' is not supported")))?;
        let (bytes, size) = self.member(&Path::new("blobs/sha256").join(hex))?;
        if size != blob.size {
            return Err(self.bad(format!("the blob '{digest}' has {size} bytes, not {}", blob.size)));
        }
        Ok(bytes)
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
    fn document<T: serde::de::DeserializeOwned>(&self, blob: &Descriptor) -> Result<T, UnpackError> {
        let text = self.text(self.blob(blob)?, blob.size)?;
        self.check(&blob.digest, &Sha256::digest(&text))?;
        self.parse(&blob.digest, &text)
    }

    fn check(&self, digest: &str, found: &[u8]) -> Result<(), UnpackError> {
        let found: String = found.iter().map(|byte| format!("{byte:02x}")).collect();
        if digest.strip_prefix("sha256:") == Some(found.as_str()) {
            return Ok(());
        }
        Err(self.bad(format!("the blob '{digest}' has the digest 'sha256:{found}'")))
    }

    /// The manifest for an architecture; an index of an index is followed.
    fn manifest(&self, arch: &str) -> Result<Manifest, UnpackError> {
        let (bytes, size) = self.member(Path::new("index.json"))?;
        let text = self.text(bytes, size)?;
        let mut index: Index = self.parse("index.json", &text)?;
        for _ in 0..INDEX_DEPTH {
            let found = self.choose(&index, arch)?;
            match found.media_type.as_str() {
                kind if MANIFESTS.contains(&kind) => return self.document(found),
                kind if INDEXES.contains(&kind) => index = self.document(found)?,
                kind => return Err(self.bad(format!("its index names something of the type '{kind}'"))),
            }
        }
        Err(self.bad("its indexes are nested too deeply"))
    }

    /// The first image of an index that is for an architecture, or that does not name one.
    fn choose<'b>(&self, index: &'b Index, arch: &str) -> Result<&'b Descriptor, UnpackError> {
        let mut others: Vec<&str> = Vec::new();
        for image in index.manifests.iter().filter(|found| found.is_image()) {
            match image.architecture() {
                "" => return Ok(image),
                found if found == arch => return Ok(image),
                found if others.contains(&found) => {}
                found => others.push(found),
            }
        }
        Err(self.bad(match others.as_slice() {
            [] => "its index names no image".to_owned(),
            _ => format!("it has no image for {arch}, but for {}", others.join(", ")),
        }))
    }

    /// Passes the members of a layer on, and checks its digest at the end.
    fn members_of(
        &self,
        layer: &Descriptor,
        reading: &Reading<'_>,
        each: &mut dyn FnMut(&mut LayerEntry<'_, '_>) -> Result<(), UnpackError>,
    ) -> Result<(), UnpackError> {
        let bytes = self.blob(layer)?;
        let explain = |error| reader::explain(self.path, error);
        let mut hashed = Hashed { bytes, hash: Sha256::new() };
        {
            let stream = reading.allowance.of(reader::open_layer(&mut hashed).map_err(explain)?);
            let mut tar = tar::Archive::new(pax::Stream::new(stream, reading.records));
            let mut members = 0_u64;
            for entry in tar.entries().map_err(explain)? {
                if (reading.options.interrupted)() {
                    return Err(UnpackError::Interrupted);
                }
                members += 1;
                if members > MOST_MEMBERS {
                    return Err(self.bad(format!("a layer has more than {MOST_MEMBERS} members")));
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
type LayerEntry<'a, 'b> = tar::Entry<'a, pax::Stream<reader::Allowed<'b, Box<dyn Read + 'b>>>>;

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
