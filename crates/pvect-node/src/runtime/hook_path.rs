//! The environment of hook scripts: they find this node, and no other, under the names that they know.
//!
//! On a node of Proxmox VE a script's `pct` is the node's. So it is here: `run/pve/bin` comes first in its `PATH` and
//! has links to the program that runs, and `PVECT_ROOT` and `PVECT_NODE` say which node is meant.

use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

use super::PATH;
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, files};

/// The names by which the running program is called.
const NAMES: [&str; 2] = ["pct", "vzdump"];

/// Sets a script's environment so that `pct` is this node's.
///
/// # Errors
/// When the links cannot be made, or others could change them.
pub(super) fn on_node(tool: Tool, node: &Node) -> NodeResult<Tool> {
    let directory = links(&node.layout.programs(), &node.helper)?;
    let Some(text) = directory.to_str().filter(|text| !text.contains(':')) else {
        // Without the link, the script's pct would act on another node, on another container with this number.
        return Err(Failure::new(format!("the path '{}' cannot stand in PATH", directory.display())));
    };
    Ok(tool
        .env("PATH", format!("{text}:{PATH}"))
        .env("HOME", "/root")
        .env("PVECT_ROOT", node.layout.root())
        .env("PVECT_NODE", node.name.as_str()))
}

/// Makes the directory with the links to a program, where they are missing or lead elsewhere.
fn links(directory: &Path, program: &Path) -> NodeResult<PathBuf> {
    files::make_directories(directory, 0o700)?;
    let cannot = |error: std::io::Error| Failure::io("can't make a link in", directory, &error);
    let meta = std::fs::symlink_metadata(directory).map_err(cannot)?;
    let ours = [0, rustix::process::geteuid().as_raw()];
    // Anyone who can change the directories above can also change the configurations and the scripts.
    if !meta.is_dir() || !ours.contains(&meta.uid()) || meta.mode() & 0o022 != 0 {
        return Err(Failure::new(format!("others can change '{}': remove it", directory.display())));
    }
    for name in NAMES {
        let link = directory.join(name);
        if std::fs::read_link(&link).is_ok_and(|target| target == program) {
            continue;
        }
        // Scripts of other containers may be looking it up right now.
        let fresh = directory.join(format!(".{name}-{}", std::process::id()));
        let _ = std::fs::remove_file(&fresh);
        symlink(program, &fresh).and_then(|()| std::fs::rename(&fresh, &link)).map_err(cannot)?;
    }
    Ok(directory.to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_links_lead_to_the_running_program() {
        let dir = tempfile::tempdir().unwrap();
        let place = dir.path().join("run/bin");
        for program in ["/usr/bin/pvect", "/opt/pvect"] {
            links(&place, Path::new(program)).unwrap();
            let targets = NAMES.map(|name| std::fs::read_link(place.join(name)).unwrap());
            assert_eq!(targets, [PathBuf::from(program), PathBuf::from(program)]);
            assert_eq!(std::fs::read_dir(&place).unwrap().count(), NAMES.len());
        }
        assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o7777, 0o700);
    }

    #[test]
    fn a_directory_that_others_can_change_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let (open, real, link) = (dir.path().join("open"), dir.path().join("real"), dir.path().join("link"));
        std::fs::create_dir(&open).unwrap();
        std::fs::set_permissions(&open, PermissionsExt::from_mode(0o770)).unwrap();
        std::fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        for place in [open, link] {
            let failure = links(&place, Path::new("/usr/bin/pvect")).unwrap_err();
            assert_eq!(failure.text, format!("others can change '{}': remove it", place.display()));
            assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_root_that_no_path_can_name_has_no_scripts() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path().join("a:b"));
        let failure = on_node(Tool::new("true", "coreutils"), &node).unwrap_err();
        assert!(failure.text.ends_with("a:b/run/pve/bin' cannot stand in PATH"), "{failure}");
    }
}
