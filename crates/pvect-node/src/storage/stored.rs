//! The templates on a storage, for clients.

use pvect_core::{NodeName, VolumeId};
use serde::Serialize;

use super::templates::templates_on;
use super::{Storages, remove_template};
use crate::{Failure, Layout, Node, NodeResult};

/// The helper verb that lists templates: `templates ROOT NODE STORAGE`. It answers in JSON.
pub(crate) const LIST: &str = "templates";
/// The helper verb that removes a template: `remove-template ROOT NODE VOLUME`. It answers in JSON.
pub(crate) const REMOVE: &str = "remove-template";

/// A template on a storage.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Listed {
    /// Its volume id.
    volid: String,
    /// Its size in bytes.
    size: u64,
}

/// Lists the templates on a storage.
pub(crate) fn list(root: &str, node: &str, storage: &str) -> NodeResult<Vec<Listed>> {
    let node = node_below(root, node)?;
    let storages = Storages::load(&node.layout)?;
    let storage = storages.find(storage)?;
    // If the storage is not mounted, its templates are unknown, which is not the same as having none.
    storage.present()?;
    let all = templates_on(storage)?;
    Ok(all.into_iter().map(|one| Listed { volid: one.volume.to_string(), size: one.size }).collect())
}

/// Removes a template.
pub(crate) fn remove(root: &str, node: &str, volume: &str) -> NodeResult<()> {
    let volume: VolumeId = volume.parse().map_err(|_| Failure::new("bad volume id"))?;
    remove_template(&node_below(root, node)?, &volume)
}

fn node_below(root: &str, name: &str) -> NodeResult<Node> {
    let name: NodeName = name.parse().map_err(|_| Failure::new("bad node name"))?;
    Ok(Node { layout: Layout::new(root, name.clone()), name, helper: "/proc/self/exe".into() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::FailureKind;

    #[test]
    fn templates_are_listed_and_removed_by_storage() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().to_str().unwrap();
        let cache = dir.path().join("vz/template/cache");
        std::fs::create_dir_all(&cache).unwrap();
        std::fs::write(cache.join("a.tar.zst"), "abc").unwrap();
        let volid = "local:vztmpl/a.tar.zst";
        assert_eq!(list(root, "vm", "local").unwrap(), [Listed { volid: volid.to_owned(), size: 3 }]);
        let missing = list(root, "vm", "other").unwrap_err();
        assert_eq!(missing.kind, FailureKind::NoStorage { storage: "other".to_owned() });
        remove(root, "vm", volid).unwrap();
        assert_eq!(list(root, "vm", "local").unwrap(), []);
        let gone = remove(root, "vm", volid).unwrap_err();
        assert_eq!(gone.kind, FailureKind::NoVolume { volume: volid.parse().unwrap() });
        assert!(remove(root, "vm", "no volume").is_err());
        let place = dir.path().join("usb");
        let cfg = format!("dir: usb\n\tpath {}\n\tcontent vztmpl\n\tis_mountpoint 1\n", place.display());
        std::fs::create_dir_all(dir.path().join("etc/pve")).unwrap();
        std::fs::write(dir.path().join("etc/pve/storage.cfg"), cfg).unwrap();
        let absent = list(root, "vm", "usb").unwrap_err().text;
        assert!(absent.contains("is expected to be a mount point but is not mounted"), "{absent}");
    }
}
