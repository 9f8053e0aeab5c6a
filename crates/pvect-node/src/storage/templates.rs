//! The templates on storages.

use std::path::{Path, PathBuf};

use pvect_core::VolumeId;

use super::{Storage, Storages, dir, file_names, there, volume_path};
use crate::{Failure, Node, NodeResult};

/// A template on a storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// Its volume id, such as `local:vztmpl/debian-12.tar.zst`.
    pub volume: VolumeId,
    /// Its path.
    pub path: PathBuf,
    /// Its size in bytes.
    pub size: u64,
}

/// Returns the templates of all usable storages, by volume id.
///
/// # Errors
/// When a storage cannot be read.
pub fn templates(node: &Node) -> NodeResult<Vec<Template>> {
    let mut found = Vec::new();
    for storage in Storages::load(&node.layout)?.enabled() {
        found.extend(templates_on(storage)?);
    }
    found.sort_by(|a, b| a.volume.cmp(&b.volume));
    Ok(found)
}

/// Lists the templates on one storage; empty if it is unavailable, or not for templates.
pub(super) fn templates_on(storage: &Storage) -> NodeResult<Vec<Template>> {
    let mut found = Vec::new();
    let Some(directories) = there(storage).filter(|_| storage.holds("vztmpl")) else { return Ok(found) };
    let cache = directories.of("vztmpl");
    for name in file_names(&cache)?.into_iter().filter(|name| dir::is_template(name)) {
        let path = cache.join(&name);
        let (Ok(meta), Ok(volume)) =
            (std::fs::metadata(&path), format!("{}:vztmpl/{name}", storage.name).parse())
        else {
            continue;
        };
        if meta.is_file() {
            found.push(Template { volume, path, size: meta.len() });
        }
    }
    found.sort_by(|a, b| a.volume.cmp(&b.volume));
    Ok(found)
}

/// Removes a template.
///
/// # Errors
/// `volume '<id>' does not exist`; when the volume is not a template or cannot be removed.
pub fn remove_template(node: &Node, volume: &VolumeId) -> NodeResult<()> {
    let path = volume_path(node, volume)?;
    if !volume.volume().starts_with("vztmpl/") {
        return Err(Failure::new(format!("volume '{volume}' is not a template")));
    }
    std::fs::remove_file(&path).map_err(|error| Failure::io("can't remove", &path, &error))
}

/// Returns the path of a template that is named by volume id or by a path, which may be relative.
///
/// # Errors
/// `can't find file '<path>'`, and those of [`volume_path`].
pub fn template_path(node: &Node, name: &str) -> NodeResult<PathBuf> {
    match name.parse::<VolumeId>() {
        Ok(volume) if !name.starts_with('/') => volume_path(node, &volume),
        _ => match Path::new(name).canonicalize() {
            Ok(path) if path.is_file() => Ok(path),
            _ => Err(Failure::new(format!("can't find file '{name}'"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> (tempfile::TempDir, Node) {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        (dir, node)
    }

    fn id(text: &str) -> VolumeId {
        text.parse().unwrap()
    }

    #[test]
    fn templates_are_listed_and_removed() {
        let (_dir, node) = node();
        assert_eq!(templates(&node).unwrap(), []);
        let cache = node.layout.local_storage().join("template/cache");
        std::fs::create_dir_all(&cache).unwrap();
        for name in ["b.tar.gz", "a.tar.zst", "readme.txt", ".tmp.tar.gz"] {
            std::fs::write(cache.join(name), "123").unwrap();
        }
        let found: Vec<_> =
            templates(&node).unwrap().into_iter().map(|one| (one.volume.to_string(), one.size)).collect();
        assert_eq!(
            found,
            [("local:vztmpl/a.tar.zst".to_owned(), 3), ("local:vztmpl/b.tar.gz".to_owned(), 3)]
        );
        remove_template(&node, &id("local:vztmpl/a.tar.zst")).unwrap();
        assert_eq!(
            remove_template(&node, &id("local:vztmpl/a.tar.zst")).unwrap_err().text,
            "volume 'local:vztmpl/a.tar.zst' does not exist"
        );
    }
}
