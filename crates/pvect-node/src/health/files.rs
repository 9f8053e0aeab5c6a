//! Files that a killed process left: temporary ones, and its entries in the list of tasks.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::{Action, Finding, Host, Kind, names};
use crate::{Node, NodeResult, storage, task};

/// Whether a name is that of a temporary file.
type IsTemporary = fn(&str) -> bool;

/// Tasks in the list of active ones whose process is gone.
pub(super) fn tasks(node: &Node, host: &Host) -> Vec<Finding> {
    let path = node.layout.tasks().join("active");
    let finding = |upid: pvect_core::upid::Upid| {
        let what = format!("the process of task {upid} is gone");
        let finding = Finding::new(Kind::StaleTask, upid.id.parse().ok(), path.display(), what);
        finding.by("move it to the index", Action::EndTasks)
    };
    task::lists::stale_at(node, &host.proc).into_iter().map(finding).collect()
}

/// Temporary files that no process of this node has open. Whether another node writes one on a shared storage, only people
/// can tell.
pub(super) fn temporary(node: &Node, host: &Host) -> NodeResult<Vec<Finding>> {
    let layout = &node.layout;
    let mut directories: Vec<(PathBuf, IsTemporary)> = vec![
        (layout.configs(), is_ours),
        (layout.root().join("etc/pve"), is_ours),
        (layout.tasks(), is_ours),
        (layout.run_dir(), is_ours),
    ];
    directories.extend(names(&layout.lxc()).into_iter().map(|name| {
        let path = layout.lxc().join(name);
        (path, (|name: &str| name.ends_with(".tmp")) as IsTemporary)
    }));
    let mut shared = Vec::new();
    for storage in storage::Storages::load(layout)?.enabled() {
        let Some(places) = storage::there(storage) else { continue };
        if storage.is_shared() {
            shared.extend([places.of("vztmpl"), places.of("backup")]);
        }
        directories.push((places.of("vztmpl"), is_ours));
        directories.push((places.of("backup"), |name| {
            is_ours(name) || (name.starts_with("vzdump-") && name.ends_with(".dat"))
        }));
    }
    let mut candidates = BTreeSet::new();
    for (directory, is_temporary) in directories {
        let files = names(&directory).into_iter().filter(|name| is_temporary(name));
        candidates.extend(files.map(|name| directory.join(name)).filter(|path| path.is_file()));
    }
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let open = open_files(&host.proc);
    let stale = candidates.into_iter().filter(|path| {
        let real = path.canonicalize().unwrap_or_else(|_| path.clone());
        !open.contains(&real) && !is_being_built(&host.proc, path)
    });
    let finding = |path: PathBuf| {
        if path.parent().is_some_and(|parent| shared.iter().any(|directory| directory == parent)) {
            let what = "a temporary file that this node is not writing, on a shared storage";
            let fix = format!("if no other node is writing it: rm '{}'", path.display());
            return Finding::new(Kind::TemporaryFile, None, path.display(), what).by_hand(fix);
        }
        let what = "a temporary file that nobody is writing";
        let finding = Finding::new(Kind::TemporaryFile, None, path.display(), what);
        finding.by("remove it", Action::RemoveFile(path))
    };
    Ok(stale.map(finding).collect())
}

/// The names of [`crate::store`]'s and [`crate::template`]'s temporary files.
fn is_ours(name: &str) -> bool {
    name.starts_with(".tmp-") || name.starts_with(".building-")
}

/// Whether the process that builds a template, whose id is in the file's name, still runs.
fn is_being_built(proc: &Path, path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let pid = name.strip_prefix(".building-").and_then(|rest| rest.split_once('-')).map(|(pid, _)| pid);
    pid.is_some_and(|pid| pid.bytes().all(|byte| byte.is_ascii_digit()) && proc.join(pid).is_dir())
}

/// The files that any process has open.
fn open_files(proc: &Path) -> BTreeSet<PathBuf> {
    let processes = names(proc).into_iter().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()));
    let descriptors = processes.flat_map(|pid| {
        let directory = proc.join(pid).join("fd");
        names(&directory).into_iter().map(move |fd| directory.join(fd))
    });
    descriptors.filter_map(|path| std::fs::read_link(path).ok()).collect()
}
