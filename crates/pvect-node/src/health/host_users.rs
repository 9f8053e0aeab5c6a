//! What the host's other users could get at: ids of containers that they have too, directories that are open to them.
//!
//! A root that an older version made has such, and any host where an ordinary user was added later.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use pvect_core::Vmid;

use super::{Action, Finding, Host, Kind, names};
use crate::ids::{HostFiles, Ids, Range, is_ours};
use crate::{Node, NodeResult, storage, store, vmids};

/// The permission bits for other users.
const OTHERS: u32 = 0o007;

/// Returns all findings of this kind.
pub(super) fn inspect(node: &Node, host: &Host) -> NodeResult<Vec<Finding>> {
    let mut found = open_places(node)?;
    found.extend(ids(node, host)?);
    Ok(found)
}

/// Ranges that somebody else has, or could still be given.
fn ids(node: &Node, host: &Host) -> NodeResult<Vec<Finding>> {
    let ids = Ids::load(&node.layout)?;
    // An unused root has no range yet.
    if ids.shared || !node.layout.storage_cfg().exists() {
        return Ok(Vec::new());
    }
    let place = node.layout.ids_cfg();
    let files = HostFiles::of(&node.layout);
    let taken = files.taken()?;
    let mut found = Vec::new();
    for base in ids.bases() {
        let Some(other) = taken.iter().find(|other| other.range.overlaps(Range::at(base))) else { continue };
        let what = format!("{}, and is root in the unprivileged containers there", other.words(base));
        let finding = Finding::new(Kind::SharedIds, None, place.display(), what);
        let running = running(node, host)?;
        found.push(if running.is_empty() {
            finding.by("move their files to ids that nobody else has", Action::MoveIds)
        } else {
            let running = running.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
            finding.by_hand(format!("pvect shutdown {running}; pvect node move-ids --all"))
        });
    }
    if found.is_empty() && files.reserves() && !files.is_reserved(ids.base)? {
        let what = format!(
            "the ids of containers are not reserved: the next new user may get those at {}",
            ids.base
        );
        let finding = Finding::new(Kind::UnreservedIds, None, place.display(), what);
        found.push(finding.by("reserve them for root in /etc/subuid and /etc/subgid", Action::ReserveIds));
    }
    Ok(found)
}

/// The running containers that could be moved.
fn running(node: &Node, host: &Host) -> NodeResult<Vec<Vmid>> {
    let reader = host.reader(node);
    let mut all = vmids::all(node)?;
    all.retain(|vmid| {
        reader.is_running(*vmid) && store::load(node, *vmid).is_ok_and(|stored| is_ours(&stored.config))
    });
    Ok(all)
}

/// Directories and files that this version closes to other users.
fn open_places(node: &Node) -> NodeResult<Vec<Finding>> {
    let layout = &node.layout;
    let mut places: Vec<PathBuf> = vec![layout.tasks(), layout.run_dir(), layout.root().join("run/lock")];
    for storage in storage::Storages::load(layout)?.enabled() {
        let Some(directories) = storage::there(storage) else { continue };
        for (content, directory) in [("rootdir", "images"), ("backup", "backup")] {
            if storage.holds(content) {
                places.push(directories.of(directory));
            }
        }
    }
    for name in names(&layout.lxc()) {
        let directory = layout.lxc().join(name);
        // Generated: its `env` is secret, and what is mounted beside it is the guest's.
        let config = directory.join("config");
        if config.is_file() {
            places.extend([directory, config]);
        }
    }
    let is_config = |name: &String| Path::new(name).extension().is_some_and(|end| end == "conf");
    places.extend(
        names(&layout.configs()).into_iter().filter(is_config).map(|name| layout.configs().join(name)),
    );
    let finding = |path: PathBuf| {
        let what = "it is open to the host's other users";
        let finding = Finding::new(Kind::OpenPlace, None, path.display(), what);
        finding.by("close it to them", Action::Close(path))
    };
    Ok(places.into_iter().filter(|path| is_open(path)).map(finding).collect())
}

fn is_open(path: &Path) -> bool {
    std::fs::symlink_metadata(path)
        .is_ok_and(|meta| !meta.file_type().is_symlink() && meta.permissions().mode() & OTHERS != 0)
}
