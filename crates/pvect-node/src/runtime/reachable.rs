//! Makes sure that a container's root can reach its root file system.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::idmap::IdMap;
use crate::{Failure, NodeResult};

/// Checks that the container's root, with its host ids from `map`, may search each directory above `rootfs`.
///
/// lxc-start enters the root file system with those ids. If it cannot, all it reports is the name of the directory, at
/// the end of a long log.
///
/// # Errors
/// The first directory that may not be searched, with its mode and what repairs it.
pub(super) fn check(rootfs: &Path, map: &IdMap) -> NodeResult<()> {
    let (user, group) = map.root();
    if user == 0 {
        return Ok(());
    }
    let mut above: Vec<&Path> = rootfs.ancestors().skip(1).collect();
    above.reverse();
    for directory in above {
        let Ok(meta) = fs::metadata(directory) else {
            continue;
        };
        // An access control list may allow what the mode does not: the mode's group bits are then its mask.
        if !may_search(&meta, user, group) && !has_access_list(directory) {
            return Err(Failure::new(format!(
                "the container's root (user id {user}) may not enter '{0}' (mode {1:04o}): chmod a+x {0}",
                directory.display(),
                meta.mode() & 0o7777,
            )));
        }
    }
    Ok(())
}

fn may_search(meta: &fs::Metadata, user: u32, group: u32) -> bool {
    let bit = match meta {
        meta if meta.uid() == user => 0o100,
        meta if meta.gid() == group => 0o010,
        _ => 0o001,
    };
    meta.mode() & bit != 0
}

fn has_access_list(directory: &Path) -> bool {
    rustix::fs::getxattr(directory, "system.posix_acl_access", &mut [0_u8; 0]).is_ok()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_first_closed_directory_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let closed = directory.path().join("closed");
        let rootfs = closed.join("lib/rootfs");
        fs::create_dir_all(&rootfs).unwrap();
        let open = |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        open(directory.path(), 0o755);
        assert_eq!(check(&rootfs, &IdMap::unprivileged()), Ok(()));
        open(&closed, 0o750);
        let failure = check(&rootfs, &IdMap::unprivileged()).unwrap_err();
        assert_eq!(
            failure.to_string(),
            format!(
                "the container's root (user id 100000) may not enter '{0}' (mode 0750): chmod a+x {0}",
                closed.display()
            )
        );
        assert_eq!(check(&rootfs, &IdMap::identity()), Ok(()));
    }
}
