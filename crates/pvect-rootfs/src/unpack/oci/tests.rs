//! Images of several layers, made by hand and unpacked as root into temporary directories.

use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::super::tests::{Place, archive, directory, file, hardlink, symlink};
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
        let config = parts.blob("config", config.as_bytes());
        let layers: Vec<Value> =
            layers.iter().map(|(kind, bytes)| parts.blob(&format!("layer.v1.{kind}"), bytes)).collect();
        let manifest = json!({"schemaVersion": 2, "config": config, "layers": layers});
        let manifest = parts.blob("manifest.v1+json", manifest.to_string().as_bytes());
        let attestation = json!({
            "mediaType": manifest["mediaType"], "digest": format!("sha256:{}", "0".repeat(64)), "size": 1,
            "platform": {"os": "unknown", "architecture": "unknown"},
        });
        let index = json!({"manifests": [attestation, manifest]});
        let nested = parts.blob("index.v1+json", index.to_string().as_bytes());
        parts.index(&json!({"manifests": [nested]}));
        parts
    }

    /// Replaces the index; returns itself.
    fn index(&mut self, index: &Value) -> &mut Self {
        self.0.retain(|(name, _)| name != "index.json");
        self.0.push(("index.json".to_owned(), index.to_string().into_bytes()));
        self
    }

    /// Adds a blob; returns its descriptor.
    fn blob(&mut self, kind: &str, bytes: &[u8]) -> Value {
        let hex = digest(bytes);
        self.0.push((format!("blobs/sha256/{hex}"), bytes.to_vec()));
        let kind = format!("application/vnd.oci.image.{kind}");
        json!({"mediaType": kind, "digest": format!("sha256:{hex}"), "size": bytes.len()})
    }

    fn write(&self, place: &Place) -> PathBuf {
        let path = place.dir.path().join("image.tar");
        let members: Vec<_> = self.0.iter().map(|(name, bytes)| file(name, bytes)).collect();
        fs::write(&path, archive(&members)).unwrap();
        path
    }
}

fn unpack(place: &Place, path: &Path, idmap: &IdMap) -> Result<ImageConfig, String> {
    let options = Options {
        idmap,
        ignore_errors: false,
        report: &|_| (),
        most: None,
        room: &|| Ok(()),
        interrupted: &|| false,
    };
    extract(path, &place.root(), "amd64", &options).map_err(|error| error.to_string())
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
        hardlink("etc/kept", "etc/kept"),
        directory("brief"),
        file("brief", b"upper"),
        file("../outside/.wh.victim", b""),
    ]);
    // The last one points outside the root.
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
        ("brief", "upper"),
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
fn a_damaged_image_is_refused_before_anything_is_changed() {
    let Some(place) = Place::new() else { return };
    let layer = archive(&[file("x", b"x"), file(".wh.kept", b"")]);
    fs::write(place.root().join("kept"), "").unwrap();
    let told = |parts: &Parts| {
        let path = parts.write(&place);
        let text = unpack(&place, &path, &IdMap::identity()).unwrap_err();
        assert_eq!(fs::read_dir(place.root()).unwrap().count(), 1, "something was changed: {text}");
        text.replace(&format!("'{}' is not a template archive: ", path.display()), "")
    };
    let whole = || Parts::new("{}", &[("tar", layer.clone())]);
    let hex = digest(&layer);
    let mut changed = whole();
    let (_, bytes) = changed.0.iter_mut().find(|(name, _)| name.ends_with(&hex)).unwrap();
    // After the end of the archive, only the digest shows the change.
    *bytes.last_mut().unwrap() = 1;
    let found = digest(bytes);
    assert_eq!(told(&changed), format!("the blob 'sha256:{hex}' has the digest 'sha256:{found}'"));
    let mut longer = whole();
    longer.0.iter_mut().find(|(name, _)| name.ends_with(&hex)).unwrap().1.push(0);
    let (is, wanted) = (layer.len() + 1, layer.len());
    assert_eq!(told(&longer), format!("the blob 'sha256:{hex}' has {is} bytes, not {wanted}"));
    let mut missing = whole();
    missing.0.retain(|(name, _)| !name.ends_with(&hex));
    assert_eq!(told(&missing), format!("it has no 'blobs/sha256/{hex}'"));
    assert_eq!(
        told(&Parts::new("{}", &[("tar+lzma", layer.clone())])),
        "it has a layer of the type 'application/vnd.oci.image.layer.v1.tar+lzma'"
    );
    let many = vec![("tar", layer.clone()); LAYER_LIMIT + 1];
    assert_eq!(told(&Parts::new("{}", &many)), "it has more than 1000 layers");
    let manifest = MANIFESTS[0];
    for (index, text) in [
        (json!({}), "its index names no image"),
        (
            json!({"manifests": [{"mediaType": manifest, "digest": "sha256:../../x", "size": 1}]}),
            "the digest 'sha256:../../x' is not supported",
        ),
        (
            json!({"manifests": [{"mediaType": "text/plain", "digest": "sha256:0", "size": 1}]}),
            "its index names something of the type 'text/plain'",
        ),
    ] {
        assert_eq!(told(whole().index(&index)), text);
    }
    let mut without = whole();
    without.0.retain(|(name, _)| name != "index.json");
    assert!(!is_image(&without.write(&place)));
}

#[test]
fn the_image_of_the_architecture_is_taken() {
    let Some(place) = Place::new() else { return };
    let mut parts = Parts::new("{}", &[]);
    let mut manifests = Vec::new();
    for arch in ["arm64", "amd64", "386"] {
        let config = json!({"config": {"Cmd": [arch]}}).to_string();
        let config = parts.blob("config.v1+json", config.as_bytes());
        let manifest = json!({"config": config, "layers": []}).to_string();
        let mut manifest = parts.blob("manifest.v1+json", manifest.as_bytes());
        manifest["platform"] = json!({"architecture": arch, "os": "linux"});
        manifests.push(manifest);
    }
    let path = parts.index(&json!({"manifests": manifests})).write(&place);
    let options = Options {
        idmap: &IdMap::identity(),
        ignore_errors: false,
        report: &|_| (),
        most: None,
        room: &|| Ok(()),
        interrupted: &|| false,
    };
    let command = |arch: &str| match extract(&path, &place.root(), arch, &options) {
        Ok(image) => image.cmd.unwrap_or_default().join(" "),
        Err(error) => error.to_string().split(": ").last().unwrap_or_default().to_owned(),
    };
    for (arch, text) in [
        ("amd64", "amd64"),
        ("arm64", "arm64"),
        ("i386", "386"),
        ("riscv64", "it has no image for riscv64, but for arm64, amd64, i386"),
    ] {
        assert_eq!(command(arch), text);
    }
}

/// The layers of an image are counted together: each of many may be small.
#[test]
fn an_image_is_bounded_as_a_whole() {
    let Some(place) = Place::new() else { return };
    let layer = |name: &str| archive(&[file(name, &[0; 4096])]);
    let (one, two) = (layer("one"), layer("two"));
    let size = (one.len() + two.len()) as u64;
    let path = Parts::new("{}", &[("tar", one), ("tar", two)]).write(&place);
    let at_most = |most: u64| {
        let idmap = IdMap::identity();
        let options = Options {
            idmap: &idmap,
            ignore_errors: false,
            report: &|_| (),
            most: Some(most),
            room: &|| Ok(()),
            interrupted: &|| false,
        };
        extract(&path, &place.root(), "amd64", &options).map_err(|error| error.to_string())
    };
    at_most(size).unwrap();
    let refused = at_most(size / 2 + 2048).unwrap_err();
    assert!(refused.contains("it unpacks to more than"), "{refused}");
}
