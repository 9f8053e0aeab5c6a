//! Writes an image as an archive of an image layout, as `skopeo copy ... oci-archive:` does.

use std::io::{Read, Write};
use std::path::Path;

use super::names::NAME;
use super::{LAYOUT, Store};
use crate::digest::Hasher;
use crate::documents::{Descriptor, OCI_INDEX};
use crate::{ImageError, ImageResult, Reference};

impl Store {
    /// As [`Store::export`], into a file, which is replaced when the archive is whole. It is closed to other users.
    ///
    /// # Errors
    /// As [`Store::export`]; nothing is left then.
    pub fn export_file(&self, reference: &Reference, path: &Path) -> ImageResult<()> {
        let failed = |error| ImageError::io("write", path, error);
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let mut file = tempfile::Builder::new().prefix(".tmp-").tempfile_in(parent).map_err(failed)?;
        let mut writer = std::io::BufWriter::with_capacity(256 << 10, file.as_file_mut());
        self.export(reference, &mut writer)?;
        drop(writer);
        file.as_file().sync_all().map_err(failed)?;
        file.persist(path).map_err(|error| failed(error.error))?;
        super::sync_directory(&parent.join("x")).map_err(failed)
    }

    /// Writes an image; `create` takes the archive. Each blob is verified as it goes.
    ///
    /// # Errors
    /// `NotFound`; when a blob is missing or damaged, or the archive cannot be written: what was written of it is of
    /// no use then.
    pub fn export(&self, reference: &Reference, to: &mut dyn Write) -> ImageResult<()> {
        let image = self.find(reference)?;
        let _using = self.share()?;
        let manifest = self.manifest(&image.descriptor)?;
        let mut entry = Descriptor { annotations: std::collections::BTreeMap::new(), ..image.descriptor };
        entry.annotations.insert(NAME.to_owned(), image.name);
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [&entry] })
            .to_string();
        let mut archive = tar::Builder::new(to);
        let mut add = |name: &str, size: u64, bytes: &mut dyn Read| {
            let mut header = tar::Header::new_ustar();
            header.set_size(size);
            header.set_mode(0o644);
            header.set_entry_type(tar::EntryType::Regular);
            archive
                .append_data(&mut header, name, bytes)
                .map_err(|source| ImageError::Io { what: "cannot write the archive".to_owned(), source })
        };
        add("oci-layout", LAYOUT.len() as u64, &mut &*LAYOUT)?;
        add("index.json", index.len() as u64, &mut index.as_bytes())?;
        let mut written = std::collections::BTreeSet::new();
        for blob in std::iter::once(&entry).chain(manifest.blobs()) {
            if !written.insert(blob.digest.clone()) {
                continue;
            }
            let name = format!("blobs/{}/{}", blob.digest.algorithm().as_str(), blob.digest.hex());
            let mut hashed = Hashed { bytes: self.open(blob)?, hasher: Hasher::new(blob.digest.algorithm()) };
            add(&name, blob.size, &mut hashed)?;
            if hashed.hasher.finish() != blob.digest {
                let text =
                    format!("the blob {} is not what its name says; pull the image again", blob.digest);
                return Err(ImageError::Damaged(text));
            }
        }
        archive
            .into_inner()
            .and_then(|to| to.flush())
            .map_err(|source| ImageError::Io { what: "cannot write the archive".to_owned(), source })
    }
}

struct Hashed {
    bytes: std::fs::File,
    hasher: Hasher,
}

impl Read for Hashed {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.bytes.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
