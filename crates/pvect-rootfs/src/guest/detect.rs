//! Which distribution a root file system has.
//!
//! Source: what pve-container's `PVE::LXC::Setup` looks at, in its order, and what it refuses.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Note, versions};
use crate::rooted::Rooted;
use crate::{Failure, NodeResult};

/// The value of `ostype` for what is left alone.
pub(super) const UNMANAGED: &str = "unmanaged";

/// A distribution and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The value of `ostype`.
    pub ostype: String,
    /// Its version, major and minor; 0.0 when it has none or it is unknown.
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

/// Files and directories (with a slash at their end) that tell a distribution where os-release does not, in the order
/// in which they are looked for.
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

/// Detects the distribution of a root file system. What is to be said about it goes to `notes`, also when it fails.
///
/// `expected` is the container's `ostype`, if it has one already: `unmanaged` is not looked at, another one that differs
/// from what is found is noted.
///
/// # Errors
/// When there is an os-release of a distribution that is not known (`unable to detect OS distribution`), when the
/// version is not supported or cannot be read, or a file cannot be read.
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

/// Returns whether this is the lsb-release of an Ubuntu.
pub(super) fn is_ubuntu(lsb: &str) -> bool {
    lsb.split('\n').any(|line| line.eq_ignore_ascii_case("DISTRIB_ID=Ubuntu"))
}

pub(super) fn text(files: &Rooted, path: &str) -> NodeResult<Option<String>> {
    files.read_text(path).map_err(|error| Failure::io("can't read", Path::new(path), &error))
}

/// A word of the guest's for a message: short, and without control characters.
pub(super) fn shown(text: &str) -> String {
    const LONGEST: usize = 100;
    let safe = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().take(LONGEST).map(safe).collect()
}

/// The assignments of os-release(5).
#[derive(Debug, Default)]
pub(super) struct OsRelease(BTreeMap<String, String>);

impl OsRelease {
    fn read(files: &Rooted) -> NodeResult<Self> {
        let path = ["/etc/os-release", "/usr/lib/os-release"].into_iter().find(|path| files.is_file(path));
        let text = path.map(|path| text(files, path)).transpose()?.flatten();
        Ok(text.map(|text| Self::parse(&text)).unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        Self(text.split('\n').filter_map(assignment).collect())
    }

    /// The value of a variable; the last one that the file gives it.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }
}

/// A line `NAME=value`. What is not quoted ends where letters and digits end, as pct reads it.
fn assignment(line: &str) -> Option<(String, String)> {
    let (name, value) = line.trim_start().split_once('=')?;
    let is_name = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    let plain = || value.chars().take_while(char::is_ascii_alphanumeric).collect();
    let quoted = match value.chars().next() {
        Some('\'') => value[1..].split_once('\'').map(|(text, _)| text.to_owned()),
        Some('"') => double_quoted(&value[1..]),
        _ => None,
    };
    is_name.then(|| (name.to_owned(), quoted.unwrap_or_else(plain)))
}

/// What stands before the closing quote; `None` without one.
fn double_quoted(text: &str) -> Option<String> {
    let mut value = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some(value),
            '\\' => match chars.next()? {
                'n' => value.push('\n'),
                't' => value.push('\t'),
                escaped @ ('"' | '\'' | '`' | '$' | '\\') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            other => value.push(other),
        }
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
