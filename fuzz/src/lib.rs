//! What the fuzz targets share: a place to unpack in, and archives that are right where a reader would stop early.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

const BLOCK: usize = 512;
/// How long one input may take; packed archives can be any size when they are unpacked.
const LIMIT: Duration = Duration::from_secs(2);
/// The text of a file beside the root.
const BESIDE: &str = "not yours";

/// A directory with a root and a file beside it, in memory; it ends with this value.
pub struct Arena(PathBuf);

impl Arena {
    /// Makes one.
    pub fn new() -> Self {
        let path = Path::new("/dev/shm").join(format!("pvect-fuzz-{}", std::process::id()));
        let _ = fs::remove_dir_all(&path);
        fs::create_dir_all(path.join("root")).expect("a directory in memory");
        fs::write(path.join("beside"), BESIDE).expect("a file in memory");
        Self(path)
    }

    /// Where to unpack.
    pub fn root(&self) -> PathBuf {
        self.0.join("root")
    }

    /// Writes an archive.
    pub fn archive(&self, bytes: &[u8]) -> PathBuf {
        let path = self.0.join("archive.tar");
        fs::write(&path, bytes).expect("a file in memory");
        path
    }

    /// Says when an input has taken too long.
    pub fn deadline(&self) -> impl Fn() -> bool + use<> {
        let started = Instant::now();
        move || started.elapsed() > LIMIT
    }

    /// Sees to it that there is nothing but what [`Arena::new`] and [`Arena::archive`] made, and that it is as it was.
    ///
    /// # Panics
    /// When there is.
    pub fn check(&self) {
        let mut names: Vec<_> = fs::read_dir(&self.0).expect("the directory").flatten().collect();
        names.sort_by_key(fs::DirEntry::file_name);
        let names: Vec<_> = names.iter().map(|entry| entry.file_name()).collect();
        assert_eq!(names, ["archive.tar", "beside", "root"]);
        assert_eq!(fs::read_to_string(self.0.join("beside")).expect("the file"), BESIDE);
        let links = std::os::unix::fs::MetadataExt::nlink(&fs::metadata(self.0.join("beside")).expect("it"));
        assert_eq!(links, 1, "the file has a further name");
    }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An archive whose headers have right checksums.
pub fn checked(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let mut at = 0;
    while let Some(block) = bytes.get_mut(at..at + BLOCK) {
        if block.iter().any(|byte| *byte != 0) {
            let mut header = tar::Header::from_byte_slice(block).clone();
            header.set_cksum();
            block.copy_from_slice(header.as_bytes());
            let size = header.entry_size().unwrap_or(0).min(bytes.len() as u64);
            at += usize::try_from(size).unwrap_or(0).next_multiple_of(BLOCK);
        }
        at += BLOCK;
    }
    bytes
}

/// An image layout with a configuration and layers.
pub fn image(config: &[u8], layers: &[Vec<u8>]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut member = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes).expect("memory");
    };
    let mut blob = |kind: &str, bytes: &[u8]| {
        let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        member(&format!("blobs/sha256/{hex}"), bytes);
        let size = bytes.len();
        format!(r#"{{"mediaType":"application/vnd.oci.image.{kind}","digest":"sha256:{hex}","size":{size}}}"#)
    };
    let config = blob("config.v1+json", config);
    let layers: Vec<String> = layers.iter().map(|layer| blob("layer.v1.tar", layer)).collect();
    let manifest = format!(r#"{{"config":{config},"layers":[{}]}}"#, layers.join(","));
    let manifest = blob("manifest.v1+json", manifest.as_bytes());
    member("index.json", format!(r#"{{"manifests":[{manifest}]}}"#).as_bytes());
    member("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#);
    tar.into_inner().expect("memory")
}
