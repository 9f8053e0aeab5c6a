//! A container named by number or by host name.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use pvect_core::error::Finding;
use pvect_core::{Error, Listing, Result, Vmid};

/// Finds the container that a word names: a number is taken as it is, anything else is a host name.
///
/// # Errors
/// [`Error::NotFound`] when no container or more than one has the name; the candidates are in the text.
pub fn resolve(word: &str, list: &[Listing]) -> Result<Vmid> {
    if let Ok(vmid) = word.parse() {
        return Ok(vmid);
    }
    let named: Vec<&Listing> = list.iter().filter(|entry| entry.name == word).collect();
    match named.as_slice() {
        [one] => Ok(one.vmid),
        [] => Err(Error::Found { finding: unknown(word, list), vmid: None, run: None }),
        many => {
            let ids: Vec<String> =
                many.iter().map(|entry| format!("{} ({})", entry.vmid, entry.status)).collect();
            let what = format!("the name '{word}' means more than one container: {}", ids.join(", "));
            Err(Error::NotFound { what, vmid: None })
        }
    }
}

fn unknown(word: &str, list: &[Listing]) -> Finding {
    Finding::NoSuchName {
        name: word.to_owned(),
        near: crate::nearest(word, list.iter().map(|entry| entry.name.as_str())).map(str::to_owned),
        candidates: candidates(list),
    }
}

/// `101 web1 running, 102 db stopped`; long lists are cut.
fn candidates(list: &[Listing]) -> Vec<String> {
    const SHOWN: usize = 12;
    let mut shown: Vec<String> = list
        .iter()
        .take(SHOWN)
        .map(|entry| format!("{} {} {}", entry.vmid, entry.name, entry.status))
        .collect();
    if list.len() > SHOWN {
        shown.push(format!("and {} more", list.len() - SHOWN));
    }
    shown
}

/// Returns whether the id is that of a virtual machine: `nodes/<any>/qemu-server/<vmid>.conf` below `pve`
/// (`/etc/pve` on a node).
pub fn is_virtual_machine(pve: &Path, vmid: Vmid) -> bool {
    let Ok(nodes) = fs::read_dir(pve.join("nodes")) else { return false };
    nodes.flatten().any(|node| node.path().join(format!("qemu-server/{vmid}.conf")).exists())
}

/// The error for a virtual machine's id.
pub fn virtual_machine(vmid: Vmid) -> Error {
    let what = format!("{vmid} is a virtual machine; pct manages containers only (use qm)");
    Error::Unsupported { what, vmid: Some(vmid) }
}

/// Which container may have been meant instead of a missing one, from the files below `pve`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Near {
    /// The node that the container is on, when it is another one.
    pub elsewhere: Option<String>,
    /// Containers with the most similar numbers, with their host names.
    pub like: Vec<(Vmid, String)>,
}

/// Looks for a container of another node and for numbers that differ in one digit, or in two swapped ones.
pub fn near(pve: &Path, vmid: Vmid) -> Near {
    const SHOWN: usize = 3;
    let mut found = Near::default();
    for node in fs::read_dir(pve.join("nodes")).into_iter().flatten().flatten() {
        for entry in fs::read_dir(node.path().join("lxc")).into_iter().flatten().flatten() {
            let id =
                entry.file_name().to_str().and_then(|name| name.strip_suffix(".conf")?.parse::<Vmid>().ok());
            match id {
                Some(id) if id == vmid => {
                    found.elsewhere = Some(node.file_name().to_string_lossy().into_owned());
                }
                Some(id) if strsim::osa_distance(&id.to_string(), &vmid.to_string()) == 1 => {
                    let text = fs::read_to_string(entry.path()).unwrap_or_default();
                    let main = text.lines().take_while(|line| !line.starts_with('['));
                    let name = main.filter_map(|line| line.strip_prefix("hostname: ")).last();
                    found.like.push((id, name.unwrap_or_default().trim().to_owned()));
                }
                _ => {}
            }
        }
    }
    found.like.sort();
    found.like.truncate(SHOWN);
    found
}

/// Returns every id that the cluster's files below `pve` show as taken, by containers and virtual machines.
pub fn taken(pve: &Path) -> BTreeSet<Vmid> {
    let mut found = BTreeSet::new();
    for node in fs::read_dir(pve.join("nodes")).into_iter().flatten().flatten() {
        for kind in ["lxc", "qemu-server"] {
            for entry in fs::read_dir(node.path().join(kind)).into_iter().flatten().flatten() {
                let name = entry.file_name();
                let id = name.to_str().and_then(|name| name.strip_suffix(".conf"));
                found.extend(id.and_then(|id| id.parse::<Vmid>().ok()));
            }
        }
    }
    found
}

/// Returns the bounds that `next-id` of `datacenter.cfg` sets for new ids: the lowest, and one beyond the highest.
///
/// The defaults are 100 and 1000000. Source: `next-id` of pve-cluster's datacenter.cfg.
pub fn id_range(pve: &Path) -> (u32, u32) {
    range_in(&fs::read_to_string(pve.join("datacenter.cfg")).unwrap_or_default())
}

fn range_in(text: &str) -> (u32, u32) {
    let value = text.lines().find_map(|line| line.strip_prefix("next-id:")).unwrap_or_default();
    let bound = |key: &str| {
        value
            .split(',')
            .find_map(|part| part.trim().strip_prefix(key)?.strip_prefix('=')?.parse::<u32>().ok())
    };
    let lower = bound("lower").unwrap_or(100).max(100);
    (lower, bound("upper").unwrap_or(1_000_000).max(lower))
}

/// What a cluster's files say about ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ids {
    /// Every id that is taken.
    pub taken: BTreeSet<Vmid>,
    /// Those of virtual machines.
    pub machines: BTreeSet<Vmid>,
    /// The bounds for new ones, as of [`id_range`].
    pub range: (u32, u32),
}

impl Ids {
    /// Reads the names of files, `nodes/NODE/lxc/VMID.conf` and `nodes/NODE/qemu-server/VMID.conf`, and the line
    /// `next-id` of datacenter.cfg, one per line.
    pub fn parse(text: &str) -> Self {
        let mut ids = Self { taken: BTreeSet::new(), machines: BTreeSet::new(), range: range_in(text) };
        for line in text.lines() {
            let fields: Vec<&str> = line.split('/').collect();
            let ["nodes", _, kind, file] = fields.as_slice() else { continue };
            let Some(vmid) = file.strip_suffix(".conf").and_then(|id| id.parse().ok()) else { continue };
            ids.taken.insert(vmid);
            if *kind == "qemu-server" {
                ids.machines.insert(vmid);
            }
        }
        ids
    }
}

/// Returns the lowest id of the range that is not taken.
pub fn next_free(taken: &BTreeSet<Vmid>, (lower, upper): (u32, u32)) -> Option<Vmid> {
    (lower..upper).filter_map(|id| Vmid::try_from(id).ok()).find(|id| !taken.contains(id))
}

#[cfg(test)]
mod tests {
    use pvect_core::RunState;

    use super::*;

    fn list(names: &[(u32, &str, RunState)]) -> Vec<Listing> {
        names
            .iter()
            .map(|(id, name, status)| Listing {
                vmid: Vmid::try_from(*id).unwrap(),
                status: status.clone(),
                lock: None,
                name: (*name).to_owned(),
                node: None,
            })
            .collect()
    }

    #[test]
    fn names_are_found_or_explained() {
        let all = list(&[
            (101, "web1", RunState::Running),
            (102, "db", RunState::Stopped),
            (103, "db", RunState::Running),
        ]);
        assert_eq!(resolve("web1", &all).unwrap().get(), 101);
        assert_eq!(resolve("777", &[]).unwrap().get(), 777);
        let text = |word| resolve(word, &all).unwrap_err().to_string();
        assert_eq!(text("db"), "the name 'db' means more than one container: 102 (stopped), 103 (running)");
        assert_eq!(
            text("web2"),
            "there is no container named 'web2'; did you mean 'web1'? There are: 101 web1 running, 102 db stopped, \
             103 db running"
        );
        assert_eq!(
            text("zzz"),
            "there is no container named 'zzz'. There are: 101 web1 running, 102 db stopped, 103 db running"
        );
        let none = resolve("web", &[]).unwrap_err();
        assert_eq!(none.to_string(), "there is no container named 'web'");
    }

    #[test]
    fn a_list_of_files_says_which_ids_are_taken() {
        let text = "nodes/a/lxc/100.conf\nnodes/a/qemu-server/101.conf\nnodes/b/lxc/*.conf\nx\n\
                    next-id: lower=300,upper=400\n";
        let ids = Ids::parse(text);
        let numbers = |set: &BTreeSet<Vmid>| set.iter().map(|vmid| vmid.get()).collect::<Vec<_>>();
        assert_eq!((numbers(&ids.taken), numbers(&ids.machines)), (vec![100, 101], vec![101]));
        assert_eq!(ids.range, (300, 400));
        assert_eq!(Ids::parse("").range, (100, 1_000_000));
    }

    #[test]
    fn numbers_like_it_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("a/lxc/101.conf", "#hostname: x\nhostname: web1\n\n[s]\nhostname: old\n"),
            ("a/lxc/110.conf", "memory: 16\n"),
            ("a/lxc/200.conf", "hostname: far\n"),
            ("b/lxc/105.conf", "hostname: db\n"),
        ] {
            let path = dir.path().join("nodes").join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let id = |text: &str| text.parse().unwrap();
        let like = vec![(id("101"), "web1".to_owned()), (id("105"), "db".to_owned())];
        assert_eq!(near(dir.path(), id("107")), Near { elsewhere: None, like });
        let found = near(dir.path(), id("105"));
        assert_eq!(found.elsewhere.as_deref(), Some("b"));
        assert_eq!(near(dir.path(), id("777")), Near::default());
        assert_eq!(near(Path::new("/none"), id("101")), Near::default());
    }

    #[test]
    fn free_ids_respect_machines_and_bounds() {
        let dir = tempfile::tempdir().unwrap();
        for path in ["nodes/a/lxc", "nodes/a/qemu-server", "nodes/b/lxc"] {
            fs::create_dir_all(dir.path().join(path)).unwrap();
        }
        for path in ["nodes/a/lxc/100.conf", "nodes/a/qemu-server/101.conf", "nodes/b/lxc/102.conf"] {
            fs::write(dir.path().join(path), "").unwrap();
        }
        assert_eq!(next_free(&taken(dir.path()), id_range(dir.path())).unwrap().get(), 103);
        assert!(is_virtual_machine(dir.path(), "101".parse().unwrap()));
        assert!(!is_virtual_machine(dir.path(), "100".parse().unwrap()));
        fs::write(dir.path().join("datacenter.cfg"), "keyboard: de\nnext-id: lower=500,upper=501\n").unwrap();
        assert_eq!(id_range(dir.path()), (500, 501));
        assert_eq!(next_free(&taken(dir.path()), (500, 501)).unwrap().get(), 500);
        assert_eq!(next_free(&BTreeSet::from(["500".parse().unwrap()]), (500, 501)), None);
    }
}
