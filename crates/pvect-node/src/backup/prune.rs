//! Which old backups are kept (`--prune-backups`), and how archives are named.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use jiff::civil::DateTime;
use pvect_core::Vmid;

use crate::{Failure, NodeResult};

/// What follows an archive's name in the name of its notes, and of the mark that it is protected.
pub const NOTES: &str = ".notes";
/// See [`NOTES`].
pub const PROTECTED: &str = ".protected";
/// Source: pve-storage, `archive_info`.
const EXTENSIONS: [&str; 7] = [".tar", ".tar.gz", ".tar.zst", ".tar.lzo", ".tar.bz2", ".tar.xz", ".tgz"];
const TIME: &str = "%Y_%m_%d-%H_%M_%S";

/// How many backups are kept, by period.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Keep {
    all: bool,
    /// Name, form of the period (`None` for `keep-last`), count; in the order in which they are applied.
    counts: Vec<(&'static str, Option<&'static str>, usize)>,
}

/// Source: pve-storage, `prune_mark_backup_group`.
const PERIODS: [(&str, Option<&str>); 6] = [
    ("keep-last", None),
    ("keep-hourly", Some("%Y/%m/%d/%H")),
    ("keep-daily", Some("%Y/%m/%d")),
    ("keep-weekly", Some("%G/%V")),
    ("keep-monthly", Some("%Y/%m")),
    ("keep-yearly", Some("%Y")),
];

impl Keep {
    /// Parses `keep-last=3,keep-daily=7`.
    ///
    /// # Errors
    /// What is wrong, in a few words.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut given = Vec::new();
        let mut all = false;
        for part in text.split(',').filter(|part| !part.trim().is_empty()) {
            let (key, value) = part.trim().split_once('=').ok_or("invalid format - format error")?;
            if key == "keep-all" {
                all = pvect_core::property::boolean(value).ok_or("keep-all: is not a boolean")?;
                continue;
            }
            let period = PERIODS.iter().find(|(name, _)| *name == key);
            let (name, _) = period.ok_or_else(|| {
                format!("{key}: property is not defined in schema and the schema does not allow additional properties")
            })?;
            let count: usize = value.parse().map_err(|_| format!("{key}: is not a number"))?;
            given.push((*name, count));
        }
        if all && given.iter().any(|(_, count)| *count > 0) {
            return Err("keep-all cannot be set together with other options.".to_owned());
        }
        let counts = PERIODS.iter().filter_map(|(name, form)| {
            let count = given.iter().rev().find(|(known, _)| known == name)?.1;
            Some((*name, *form, count))
        });
        Ok(Self { all, counts: counts.collect() })
    }

    /// Whether every backup is kept.
    pub fn keeps_all(&self) -> bool {
        self.all || self.counts.iter().all(|(_, _, count)| *count == 0)
    }

    /// The form of the log: `keep-daily=7, keep-last=3`.
    pub fn text(&self) -> String {
        let mut parts: Vec<String> =
            self.counts.iter().map(|(name, _, count)| format!("{name}={count}")).collect();
        parts.sort();
        parts.join(", ")
    }

    /// Returns which of the backups are to be removed, oldest first; protected ones never are.
    pub fn superfluous<'a>(&self, backups: &'a [Archive]) -> Vec<&'a Archive> {
        if self.keeps_all() {
            return Vec::new();
        }
        let mut newest: Vec<&Archive> = backups.iter().filter(|backup| !backup.protected).collect();
        newest.sort_by(|a, b| b.time.cmp(&a.time).then_with(|| b.path.cmp(&a.path)));
        let mut kept: BTreeSet<&Path> = BTreeSet::new();
        for (_, form, count) in &self.counts {
            let period = |archive: &Archive| match form {
                Some(form) => archive.time.strftime(form).to_string(),
                None => archive.path.display().to_string(),
            };
            let before: BTreeSet<String> = newest
                .iter()
                .filter(|one| kept.contains(one.path.as_path()))
                .map(|one| period(one))
                .collect();
            let mut taken = BTreeSet::new();
            for archive in &newest {
                let id = period(archive);
                if kept.contains(archive.path.as_path()) || before.contains(&id) || taken.contains(&id) {
                    continue;
                }
                if taken.len() >= *count {
                    break;
                }
                taken.insert(id);
                kept.insert(&archive.path);
            }
        }
        let mut rest: Vec<&Archive> =
            newest.into_iter().filter(|archive| !kept.contains(archive.path.as_path())).collect();
        rest.reverse();
        rest
    }
}

/// A backup of a container, by its file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// The file.
    pub path: PathBuf,
    /// The container that it is a backup of.
    pub vmid: Vmid,
    /// When it was begun, by the node's clock.
    pub time: DateTime,
    /// Whether it must not be removed.
    pub protected: bool,
}

impl Archive {
    /// Reads the name of a file; `None` when it is not a backup of a container.
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let rest = name.strip_prefix("vzdump-lxc-")?;
        let stem = EXTENSIONS.iter().find_map(|end| rest.strip_suffix(end))?;
        let (vmid, time) = stem.split_once('-')?;
        let time = DateTime::strptime(TIME, time).ok()?;
        let mut mark = path.as_os_str().to_owned();
        mark.push(PROTECTED);
        let protected = Path::new(&mark).exists();
        Some(Self { path: path.to_owned(), vmid: vmid.parse().ok()?, time, protected })
    }

    /// Removes the archive, its log and its notes.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn remove(&self) -> NodeResult<()> {
        let failed = |error: std::io::Error| Failure::io("can't remove", &self.path, &error);
        std::fs::remove_file(&self.path).map_err(failed)?;
        let mut notes = self.path.clone().into_os_string();
        notes.push(NOTES);
        let log = format!("{}.log", base_name(self.vmid, &self.time));
        let _ = std::fs::remove_file(notes);
        let _ = std::fs::remove_file(self.path.with_file_name(log));
        Ok(())
    }
}

/// `vzdump-lxc-101-2026_01_31-04_05_06`: what the names of an archive and of its log begin with.
pub fn base_name(vmid: Vmid, time: &DateTime) -> String {
    format!("vzdump-lxc-{vmid}-{}", time.strftime(TIME))
}

/// Returns the backups in a directory, oldest first; none when there is no directory.
///
/// # Errors
/// When the directory cannot be read.
pub fn archives(directory: &Path) -> NodeResult<Vec<Archive>> {
    let entries = match std::fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::io("can't read", directory, &error)),
    };
    let mut found: Vec<Archive> = entries
        .flatten()
        .filter_map(|entry| Archive::of(&entry.path()))
        .filter(|one| one.path.is_file())
        .collect();
    found.sort_by(|a, b| (a.time, &a.path).cmp(&(b.time, &b.path)));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(time: &str) -> Archive {
        Archive::of(Path::new(&format!("/d/vzdump-lxc-101-{time}.tar.zst"))).unwrap()
    }

    #[test]
    fn names_are_read() {
        let one = archive("2026_01_31-04_05_06");
        assert_eq!(one.vmid.get(), 101);
        assert_eq!(base_name(one.vmid, &one.time), "vzdump-lxc-101-2026_01_31-04_05_06");
        for name in [
            "vzdump-qemu-101-2026_01_31-04_05_06.vma",
            "vzdump-lxc-101-2026_01_31-04_05_06.log",
            "vzdump-lxc-101-2026_13_31-04_05_06.tar",
            "vzdump-lxc-x-2026_01_31-04_05_06.tar",
            "vzdump-lxc-101.tar",
        ] {
            assert_eq!(Archive::of(Path::new(name)), None, "{name}");
        }
    }

    #[test]
    fn what_is_not_kept_is_superfluous() {
        let backups: Vec<Archive> = [
            "2026_01_01-10_00_00",
            "2026_01_01-11_00_00",
            "2026_01_02-10_00_00",
            "2026_01_03-10_00_00",
            "2026_01_03-11_00_00",
        ]
        .map(archive)
        .into();
        let removed = |keep: &str| {
            let keep = Keep::parse(keep).unwrap();
            let times = keep.superfluous(&backups);
            times.iter().map(|one| one.time.strftime("%d-%H").to_string()).collect::<Vec<_>>()
        };
        assert_eq!(removed("keep-last=2"), ["01-10", "01-11", "02-10"]);
        assert_eq!(removed("keep-daily=2"), ["01-10", "01-11", "03-10"]);
        assert_eq!(removed("keep-last=1,keep-daily=2"), ["01-10", "03-10"]);
        assert_eq!(removed("keep-all=1"), Vec::<String>::new());
        assert_eq!(removed("keep-last=0"), Vec::<String>::new());
        let mut guarded = backups.clone();
        guarded[0].protected = true;
        let keep = Keep::parse("keep-last=4").unwrap();
        assert!(keep.superfluous(&guarded).is_empty());
        assert_eq!(keep.text(), "keep-last=4");
        for bad in ["keep-last", "keep-last=x", "keep-nothing=1", "keep-all=1,keep-last=2"] {
            assert!(Keep::parse(bad).is_err(), "{bad}");
        }
    }
}
