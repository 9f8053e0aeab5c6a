//! Names of volumes, and where they are on a storage of the type `dir`.

use std::path::{Path, PathBuf};

use pvect_core::{Vmid, VolumeId};

use crate::{Failure, NodeResult};

/// The directories of a storage's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directories {
    root: PathBuf,
    others: Vec<(String, String)>,
}

impl Directories {
    /// Those of a storage with this path; `others` are contents with other directories than the usual ones, below the
    /// path.
    pub fn new(root: &Path, others: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { root: root.to_owned(), others: others.into_iter().collect() }
    }

    /// Returns the directory of a content (`images`, `vztmpl`, `backup`, ...).
    pub fn of(&self, content: &str) -> PathBuf {
        let other = self.others.iter().find(|(known, _)| known == content);
        let usual = match content {
            "vztmpl" => "template/cache",
            "iso" => "template/iso",
            "backup" => "dump",
            "rootdir" => "private",
            other => other,
        };
        let below = other.map_or(usual, |(_, path)| path.as_str());
        self.root.join(below.trim_start_matches('/'))
    }
}

/// What a volume name on a `dir` storage says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Volume {
    /// `<vmid>/<name>.raw`, `.qcow2`, `.vmdk`: an image file.
    Image {
        /// Whose it is.
        vmid: Vmid,
        /// The file's name.
        name: String,
    },
    /// `<vmid>/<name>.subvol`: a plain directory.
    Directory {
        /// Whose it is.
        vmid: Vmid,
        /// The directory's name.
        name: String,
    },
    /// `vztmpl/<file>`: a template; in the same way `iso/`, `snippets/` and `backup/`.
    File {
        /// What it is: `vztmpl`, `iso`, `snippets`, `backup`.
        content: &'static str,
        /// The file's name.
        name: String,
    },
}

impl Volume {
    /// Checks that the files in this volume, `id`, can be accessed: it must be a raw image or a directory. `what` is
    /// the verb in the message.
    ///
    /// # Errors
    /// `cannot <what> volume '<id>': it is not a raw image or a directory`.
    pub(super) fn check_mountable(&self, what: &str, id: &VolumeId) -> NodeResult<()> {
        match self {
            Self::Image { name, .. } if name.ends_with(".raw") => Ok(()),
            Self::Directory { .. } => Ok(()),
            Self::Image { .. } | Self::File { .. } => Err(Failure::new(format!(
                "cannot {what} volume '{id}': it is not a raw image or a directory"
            ))),
        }
    }

    /// Parses the part of a volume id after the storage's name.
    ///
    /// # Errors
    /// `unable to parse directory volume name '<name>'`.
    pub fn parse(text: &str) -> NodeResult<Self> {
        let bad = || Failure::new(format!("unable to parse directory volume name '{text}'"));
        let (first, name) = text.split_once('/').ok_or_else(bad)?;
        if !is_plain(name) {
            return Err(bad());
        }
        let name = name.to_owned();
        let content = match first {
            "vztmpl" if is_template(&name) => "vztmpl",
            "iso" => "iso",
            "snippets" => "snippets",
            "backup" => "backup",
            _ => {
                let vmid: Vmid = first.parse().map_err(|_| bad())?;
                return match name.rsplit_once('.') {
                    Some((stem, "raw" | "qcow2" | "vmdk")) if !stem.is_empty() => {
                        Ok(Self::Image { vmid, name })
                    }
                    Some((stem, "subvol")) if !stem.is_empty() => Ok(Self::Directory { vmid, name }),
                    _ => Err(bad()),
                };
            }
        };
        Ok(Self::File { content, name })
    }

    /// Returns its path on a storage with these directories.
    pub fn path(&self, storage: &Directories) -> PathBuf {
        match self {
            Self::Image { vmid, name } | Self::Directory { vmid, name } => images(storage, *vmid).join(name),
            Self::File { content, name } => storage.of(content).join(name),
        }
    }
}

/// Returns the directory of a container's images.
pub fn images(storage: &Directories, vmid: Vmid) -> PathBuf {
    storage.of("images").join(vmid.to_string())
}

/// Returns whether a file's name is a template's. Source: pve-storage's `vztmpl` names, zst and bz2 included.
pub fn is_template(name: &str) -> bool {
    is_plain(name)
        && [".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.zst", ".tar.bz2"]
            .iter()
            .any(|end| name.ends_with(end))
}

fn is_plain(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\0', '\n'])
}

/// Returns the lowest disk number that none of the names uses.
pub fn next_number<'a>(vmid: Vmid, names: impl Iterator<Item = &'a str>) -> u32 {
    let used: std::collections::BTreeSet<u32> = names.filter_map(|name| number(vmid, name)).collect();
    (0..).find(|number| !used.contains(number)).unwrap_or(0)
}

/// The number in `vm-101-disk-3.raw`, `base-101-disk-3.raw`, `subvol-101-disk-3.subvol`; that of a snapshot is its
/// volume's.
fn number(vmid: Vmid, name: &str) -> Option<u32> {
    let stem = name.split(['.', '@']).next()?;
    let (kind, rest) = stem.split_once('-')?;
    let rest = rest.strip_prefix(&format!("{vmid}-disk-"))?;
    if matches!(kind, "vm" | "base" | "subvol" | "basevol") { rest.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_to_paths() {
        let root = &Directories::new(Path::new("/vz"), []);
        for (name, path) in [
            ("101/vm-101-disk-0.raw", "/vz/images/101/vm-101-disk-0.raw"),
            ("101/base-101-disk-0.raw", "/vz/images/101/base-101-disk-0.raw"),
            ("101/subvol-101-disk-1.subvol", "/vz/images/101/subvol-101-disk-1.subvol"),
            ("vztmpl/a.tar.zst", "/vz/template/cache/a.tar.zst"),
        ] {
            assert_eq!(Volume::parse(name).unwrap().path(root), Path::new(path));
        }
    }

    #[test]
    fn other_names_are_refused() {
        for name in [
            "abc",
            "",
            "101/",
            "101/..",
            "101/.raw",
            "101/a/b.raw",
            "101/../b.raw",
            "99/a.raw",
            "vztmpl/x",
            "vztmpl/../x.tar",
        ] {
            assert_eq!(
                Volume::parse(name).unwrap_err().text,
                format!("unable to parse directory volume name '{name}'")
            );
        }
    }

    #[test]
    fn the_lowest_free_number_is_next() {
        let vmid = "101".parse().unwrap();
        assert_eq!(next_number(vmid, [].into_iter()), 0);
        let names = [
            "vm-101-disk-0.raw",
            "subvol-101-disk-1.subvol",
            "base-101-disk-3.raw",
            "vm-102-disk-2.raw",
            "x",
        ];
        assert_eq!(next_number(vmid, names.into_iter()), 2);
    }

    #[test]
    fn files_of_raw_images_and_directories_can_be_reached() {
        let check = |name: &str| {
            let id = format!("local:{name}").parse().unwrap();
            Volume::parse(name).unwrap().check_mountable("mount", &id).map_err(|failure| failure.text)
        };
        assert_eq!(check("101/vm-101-disk-0.raw"), Ok(()));
        assert_eq!(check("101/subvol-101-disk-0.subvol"), Ok(()));
        for name in ["101/vm-101-disk-0.qcow2", "vztmpl/a.tar.gz"] {
            let text = format!("cannot mount volume 'local:{name}': it is not a raw image or a directory");
            assert_eq!(check(name), Err(text));
        }
    }
}
