//! Which distribution a root file system has.
//!
//! Source: what pve-container's `PVE::LXC::Setup` looks at, in its order, and what it refuses.

use super::release_files::{OsRelease, is_ubuntu, shown, text};
use super::{Note, versions};
use crate::rooted::Rooted;
use crate::{Failure, NodeResult};

/// The value of `ostype` for a system that is left alone.
pub(super) const UNMANAGED: &str = "unmanaged";

/// A distribution and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The value of `ostype`.
    pub ostype: String,
    /// Its version, major and minor; 0.0 when it does not have one, or when it is unknown.
    pub version: (u32, u32),
}

impl Detected {
    /// A root file system that is left alone.
    pub fn unmanaged() -> Self {
        Self { ostype: UNMANAGED.to_owned(), version: (0, 0) }
    }

    /// Returns whether nothing is written into it.
    pub fn is_unmanaged(&self) -> bool {
        self.ostype == UNMANAGED
    }

    /// Returns whether the version is this or a later one; an unknown one counts as late.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        self.version == (0, 0) || self.version >= (major, minor)
    }
}

/// `ID` of os-release and the `ostype` for it.
const IDS: &[(&str, &str)] = &[
    ("almalinux", "centos"),
    ("alpine", "alpine"),
    ("arch", "archlinux"),
    ("archlinux", "archlinux"),
    ("centos", "centos"),
    ("debian", "debian"),
    ("devuan", "devuan"),
    ("fedora", "fedora"),
    ("gentoo", "gentoo"),
    ("nixos", "nixos"),
    ("openEuler", "openeuler"),
    ("openeuler", "openeuler"),
    ("opensuse", "opensuse"),
    ("opensuse-leap", "opensuse"),
    ("opensuse-slowroll", "opensuse"),
    ("opensuse-tumbleweed", "opensuse"),
    ("rocky", "centos"),
    ("sles", "opensuse"),
    ("ubuntu", "ubuntu"),
    (UNMANAGED, UNMANAGED),
];

/// Files and directories (with a slash at the end) that identify a distribution if os-release does not, in the order in
/// which they are looked for.
const MARKS: &[(&str, &str)] = &[
    ("/etc/debian_version", "debian"),
    ("/etc/devuan_version", "devuan"),
    ("/etc/SuSE-brand", "opensuse"),
    ("/etc/SuSE-release", "opensuse"),
    ("/etc/fedora-release", "fedora"),
    ("/etc/centos-release", "centos"),
    ("/etc/redhat-release", "centos"),
    ("/etc/arch-release", "archlinux"),
    ("/etc/alpine-release", "alpine"),
    ("/etc/gentoo-release", "gentoo"),
    ("/nix/store/", "nixos"),
    ("/etc/openEuler-release", "openeuler"),
];

/// Detects the distribution of a root file system. Lines for the log go to `notes`, even when it fails.
///
/// `expected` is the container's `ostype`, if it has one already: with `unmanaged` nothing is detected, and any other
/// value that differs from what is found is noted.
///
/// # Errors
/// When the os-release is that of an unknown distribution (`unable to detect OS distribution`), when the version is not
/// supported or cannot be read, or a file cannot be read.
pub fn detect(files: &Rooted, expected: Option<&str>, notes: &mut Vec<Note>) -> NodeResult<Detected> {
    if expected == Some(UNMANAGED) {
        return Ok(Detected::unmanaged());
    }
    let release = OsRelease::read(files)?;
    let ostype = distribution(files, &release, notes)?;
    if let Some(expected) = expected.filter(|expected| *expected != ostype) {
        if files.lstat("/etc").is_ok_and(|found| found.is_none()) {
            notes.push(Note::Line("WARNING: /etc not present in CT, is the rootfs mounted?".to_owned()));
        }
        notes.push(Note::Line(format!("got unexpected ostype ({ostype} != {expected})")));
    }
    let version = versions::of(files, ostype, &release, notes)?;
    Ok(Detected { ostype: ostype.to_owned(), version })
}

fn distribution(files: &Rooted, release: &OsRelease, notes: &mut Vec<Note>) -> NodeResult<&'static str> {
    if let Some(id) = release.get("ID").filter(|id| !id.is_empty()) {
        if let Some((_, ostype)) = IDS.iter().find(|(known, _)| *known == id) {
            return Ok(ostype);
        }
        let id = shown(id);
        notes.push(Note::Line(format!(
            "unknown ID '{id}' in /etc/os-release file, trying fallback detection"
        )));
    }
    let lsb = text(files, "/etc/lsb-release")?.unwrap_or_default();
    let is_there = |path: &str| if path.ends_with('/') { files.is_dir(path) } else { files.is_file(path) };
    if is_ubuntu(&lsb) {
        Ok("ubuntu")
    } else if let Some((_, ostype)) = MARKS.iter().find(|(path, _)| is_there(path)) {
        Ok(ostype)
    } else if files.is_file("/etc/os-release") {
        Err(Failure::new("unable to detect OS distribution"))
    } else {
        let doubt = "/etc/os-release file not found and autodetection failed, falling back to 'unmanaged'";
        notes.push(Note::Line(doubt.to_owned()));
        Ok(UNMANAGED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn os_release_is_read_as_pct_reads_it() {
        let release = OsRelease::parse(
            "# ID=comment\nID=first\n  ID=opensuse-leap\nNAME='a \"b\"'x\nPRETTY=\"c \\\"d\\\" \\z\"\nVERSION_ID=12.5\n\
             OPEN=\"no end\n1X=y\nEMPTY=\n",
        );
        for (name, value) in [
            ("ID", Some("opensuse")),
            ("NAME", Some("a \"b\"")),
            ("PRETTY", Some("c \"d\" \\z")),
            ("VERSION_ID", Some("12")),
            ("OPEN", Some("")),
            ("EMPTY", Some("")),
            ("1X", None),
        ] {
            assert_eq!(release.get(name), value, "{name}");
        }
    }

    #[test]
    fn words_of_guests_are_short_and_harmless() {
        assert_eq!(shown("a\u{1b}[2Jb"), "a\\u{1b}[2Jb");
        assert_eq!(shown(&"x".repeat(1000)).len(), 100);
    }
}
