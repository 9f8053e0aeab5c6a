//! The links that a Proxmox VE node has in `/etc/pve` to what is its own, for scripts that use them: `local` and `lxc`.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Node;

/// Makes the links, or points them to this node again. A file that is not a symlink is left alone. The links are a
/// convenience: if they cannot be made, as on a read-only file system, everything else still works.
pub(crate) fn make(node: &Node) {
    let own = PathBuf::from("nodes").join(node.name.as_str());
    for (name, target) in [("lxc", own.join("lxc")), ("local", own)] {
        let link = node.layout.pve().join(name);
        if let Err(error) = point(&link, &target) {
            tracing::debug!(link = %link.display(), "making a link: {error}");
        }
    }
}

fn point(link: &Path, target: &Path) -> std::io::Result<()> {
    match fs::read_link(link) {
        Ok(found) if found == target => return Ok(()),
        Err(_) if fs::symlink_metadata(link).is_ok() => return Ok(()),
        _ => {}
    }
    // A reader finds either the old link or the new one.
    let temporary = link.with_extension(format!("pvect-{}", std::process::id()));
    std::os::unix::fs::symlink(target, &temporary)?;
    fs::rename(&temporary, link).inspect_err(|_| {
        let _ = fs::remove_file(&temporary);
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Layout;

    fn node(root: &Path, name: &str) -> Node {
        let name: pvect_core::NodeName = name.parse().unwrap();
        Node { layout: Layout::new(root, name.clone()), name, helper: "/bin/false".into() }
    }

    #[test]
    fn links_lead_to_this_node() {
        let dir = tempfile::tempdir().unwrap();
        let pve = dir.path().join("etc/pve");
        fs::create_dir_all(pve.join("nodes/vm/lxc")).unwrap();
        fs::write(pve.join("nodes/vm/lxc/101.conf"), "x").unwrap();
        for name in ["old", "vm", "vm"] {
            make(&node(dir.path(), name));
            let own = Path::new("nodes").join(name);
            assert_eq!(fs::read_link(pve.join("local")).unwrap(), own);
            assert_eq!(fs::read_link(pve.join("lxc")).unwrap(), own.join("lxc"));
        }
        assert_eq!(fs::read_to_string(pve.join("lxc/101.conf")).unwrap(), "x");
        assert_eq!(fs::read_dir(&pve).unwrap().count(), 3, "nothing else is left");
    }

    #[test]
    fn what_is_no_link_stays() {
        let dir = tempfile::tempdir().unwrap();
        let lxc = dir.path().join("etc/pve/lxc");
        fs::create_dir_all(&lxc).unwrap();
        make(&node(dir.path(), "vm"));
        assert!(fs::symlink_metadata(&lxc).unwrap().is_dir());
        assert!(fs::symlink_metadata(dir.path().join("etc/pve/local")).unwrap().is_symlink());
    }
}
