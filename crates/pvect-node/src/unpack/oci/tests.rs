//! Images of several layers, made by hand and unpacked as root into temporary directories.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use super::super::tests::{Place, archive, directory, file, symlink};
use super::*;
use crate::idmap::IdMap;

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The members of an image: its blobs by their digests, and the index.
struct Parts(Vec<(String, Vec<u8>)>);

impl Parts {
    fn new(config: &str, layers: &[(&str, Vec<u8>)]) -> Self {
        let mut parts = Self(vec![("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec())]);
        let config = parts.blob(config.as_bytes());
        let layers: Vec<String> = layers
            .iter()
            .map(|(kind, bytes)| {
                let digest = parts.blob(bytes);
                format!(
                    r#"{{"mediaType":"application/vnd.oci.image.layer.v1.{kind}","digest":"{digest}","size":{}}}"#,
                    bytes.len()
                )
            })
            .collect();
        let manifest = format!(
            r#"{{"schemaVersion":2,"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config}"}},"layers":[{}]}}"#,
            layers.join(",")
        );
        let manifest = parts.blob(manifest.as_bytes());
        let index = |digest: &str, kind: &str| {
            format!(
                r#"{{"manifests":[{{"mediaType":"application/vnd.oci.image.{kind}.v1+json","digest":"{digest}"}}]}}"#
            )
        };
        let nested = parts.blob(index(&manifest, "manifest").as_bytes());
        parts.0.push(("index.json".to_owned(), index(&nested, "index").into_bytes()));
        parts
    }

    fn blob(&mut self, bytes: &[u8]) -> String {
        let hex = digest(bytes);
        self.0.push((format!("blobs/sha256/{hex}"), bytes.to_vec()));
        format!("sha256:{hex}")
    }

    fn write(&self, place: &Place) -> PathBuf {
        let path = place.dir.path().join("image.tar");
        let members: Vec<_> = self.0.iter().map(|(name, bytes)| file(name, bytes)).collect();
        fs::write(&path, archive(&members)).unwrap();
        path
    }
}

fn unpack(place: &Place, path: &Path, idmap: &IdMap) -> Result<ImageConfig, String> {
    let options = Options { idmap, ignore_errors: false, interrupted: &|| false };
    extract(path, &place.root(), &options).map_err(|error| error.to_string())
}

#[test]
fn layers_are_laid_over_one_another() {
    let Some(place) = Place::new() else { return };
    let lower = archive(&[
        directory("etc"),
        file("etc/kept", b"lower"),
        file("etc/changed", b"lower"),
        file("etc/gone", b"lower"),
        directory("opaque"),
        file("opaque/old", b"lower"),
        directory("tree"),
        file("tree/leaf", b"lower"),
        file("node", b"a file that becomes a directory"),
        directory("dir"),
        file("dir/x", b"a directory that becomes a file"),
        directory("real"),
        symlink("link", "real"),
    ]);
    let upper = archive(&[
        file("etc/changed", b"upper"),
        file("etc/.wh.gone", b""),
        file("opaque/new", b"upper"),
        file("opaque/.wh..wh..opq", b""),
        file(".wh.tree", b""),
        directory("node"),
        file("node/in", b"upper"),
        file("dir", b"upper"),
        file("link/through", b"upper"),
        file("../outside/.wh.victim", b""),
    ]);
    // The last one leads out of the root.
    let hostile = Parts::new("{}", &[("tar", lower.clone()), ("tar", upper.clone())]).write(&place);
    let failure = unpack(&place, &hostile, &IdMap::identity()).unwrap_err();
    assert_eq!(failure, "can't unpack '../outside/.wh.victim' - its path contains '..'");
    assert!(place.dir.path().join("outside/victim").exists());

    let mut upper = upper;
    upper.truncate(upper.len() - 1024 - 512);
    upper.extend([0; 1024]);
    let packed = zstd::encode_all(&upper[..], 1).unwrap();
    let config = r#"{"config":{"Cmd":["/bin/sh"],"Env":["A=1"]},"rootfs":{}}"#;
    fs::remove_dir_all(place.root()).unwrap();
    fs::create_dir(place.root()).unwrap();
    let path = Parts::new(config, &[("tar+gzip", gzip(&lower)), ("tar+zstd", packed)]).write(&place);
    assert!(is_image(&path));
    let image = unpack(&place, &path, &IdMap::unprivileged()).unwrap();
    assert_eq!(image.cmd.as_deref(), Some(&["/bin/sh".to_owned()][..]));
    assert_eq!((image.env, image.entrypoint), (Some(vec!["A=1".to_owned()]), None));
    for (name, text) in [
        ("etc/kept", "lower"),
        ("etc/changed", "upper"),
        ("opaque/new", "upper"),
        ("node/in", "upper"),
        ("dir", "upper"),
        ("real/through", "upper"),
    ] {
        assert_eq!(place.text(name), text, "{name}");
    }
    for name in ["etc/gone", "etc/.wh.gone", "opaque/old", "opaque/.wh..wh..opq", "tree", ".wh.tree"] {
        assert!(!place.root().join(name).exists(), "{name}");
    }
    assert_eq!(fs::metadata(place.root().join("etc/changed")).unwrap().uid(), 100_000);
}

#[test]
fn a_damaged_image_is_refused() {
    let Some(place) = Place::new() else { return };
    let layer = archive(&[file("x", b"x")]);
    let told = |parts: &Parts| {
        let path = parts.write(&place);
        let text = unpack(&place, &path, &IdMap::identity()).unwrap_err();
        text.replace(&path.display().to_string(), "IMAGE")
    };
    let hex = digest(&layer);
    let mut changed = Parts::new("{}", &[("tar", layer.clone())]);
    let (_, bytes) = changed.0.iter_mut().find(|(name, _)| name.ends_with(&hex)).unwrap();
    bytes[600] ^= 1;
    let found = digest(bytes);
    assert_eq!(
        told(&changed),
        format!("'IMAGE' is not a template archive: the blob 'sha256:{hex}' has the digest 'sha256:{found}'")
    );
    let mut missing = Parts::new("{}", &[("tar", layer.clone())]);
    missing.0.retain(|(name, _)| !name.ends_with(&hex));
    assert_eq!(told(&missing), format!("'IMAGE' is not a template archive: it has no 'blobs/sha256/{hex}'"));
    let other = Parts::new("{}", &[("tar+lzma", layer.clone())]);
    assert_eq!(
        told(&other),
        "'IMAGE' is not a template archive: it has a layer of the type 'application/vnd.oci.image.layer.v1.tar+lzma'"
    );
    let mut bad = Parts::new("{}", &[("tar", layer)]);
    bad.0.retain(|(name, _)| name != "index.json");
    bad.0.push(("index.json".to_owned(), br#"{"manifests":[{"digest":"sha256:../../x"}]}"#.to_vec()));
    assert_eq!(told(&bad), "'IMAGE' is not a template archive: the digest 'sha256:../../x' is not supported");
    bad.0.pop();
    assert!(!is_image(&bad.write(&place)));
}
