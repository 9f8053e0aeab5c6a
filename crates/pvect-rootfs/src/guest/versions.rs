//! Which version of its distribution a root file system has, and whether it is supported.
//!
//! Bounds and texts are those of pve-container's `PVE::LXC::Setup::*`.

use super::Note;
use super::release_files::{OsRelease, is_ubuntu, shown, text};
use crate::rooted::Rooted;
use crate::{Failure, NodeResult};

type Version = (u32, u32);

/// The newest Debian that pct was tested with.
const NEWEST_DEBIAN: u32 = 14;

/// The texts that `/etc/debian_version` has in versions that are not a release, and the release that they resemble.
const DEBIANS: &[(&str, &str)] = &[
    ("stretch/sid", "9.1"),
    ("buster/sid", "10"),
    ("bullseye/sid", "11"),
    ("bookworm/sid", "12"),
    ("trixie/sid", "13"),
    ("forky/sid", "14"),
    ("duke/sid", "15"),
    ("kali-rolling", "12"),
];

/// Devuan's releases, each with the Debian that it is made from.
const DEVUANS: &[(&str, u32)] = &[
    ("jessie", 8),
    ("ascii", 9),
    ("ascii/ceres", 9),
    ("beowulf", 10),
    ("beowulf/ceres", 10),
    ("chimaera", 11),
    ("chimaera/ceres", 11),
    ("daedalus", 12),
    ("daedalus/ceres", 12),
    ("excalibur", 13),
    ("excalibur/ceres", 13),
];

/// The releases of Ubuntu that pct knows.
const UBUNTUS: &[&str] = &[
    "26.10", "26.04", "25.10", "25.04", "24.10", "24.04", "23.10", "23.04", "22.10", "22.04", "21.10",
    "21.04", "20.10", "20.04", "19.10", "19.04", "18.10", "18.04", "17.10", "17.04", "16.10", "16.04",
    "15.10", "15.04", "14.04", "12.04",
];

/// Finds the version of a distribution; 0.0 if none is needed.
///
/// # Errors
/// When it cannot be read, or is not supported.
pub(super) fn of(
    files: &Rooted,
    ostype: &str,
    release: &OsRelease,
    notes: &mut Vec<Note>,
) -> NodeResult<Version> {
    match ostype {
        "alpine" => {
            let version = first_line(files, "/etc/alpine-release")?;
            Ok(version.and_then(|line| leading(&line)).unwrap_or((0, 0)))
        }
        "centos" => centos(&required(files, "/etc/redhat-release")?),
        "debian" => debian(&required(files, "/etc/debian_version")?, notes),
        "devuan" => devuan(&required(files, "/etc/devuan_version")?),
        "fedora" => with_lowest("Fedora", 22, release),
        "gentoo" => gentoo(&required(files, "/etc/gentoo-release")?),
        "openeuler" => with_lowest("openEuler", 24, release),
        "opensuse" => suse(release),
        "ubuntu" => ubuntu(text(files, "/etc/lsb-release")?.as_deref(), notes),
        _ => Ok((0, 0)),
    }
}

fn first_line(files: &Rooted, path: &str) -> NodeResult<Option<String>> {
    let text = text(files, path)?.filter(|text| !text.is_empty());
    Ok(text.map(|text| text.split('\n').next().unwrap_or_default().to_owned()))
}

fn required(files: &Rooted, path: &str) -> NodeResult<String> {
    first_line(files, path)?.ok_or_else(unreadable)
}

fn unreadable() -> Failure {
    Failure::new("unable to read version info")
}

/// The number that a text begins with, `12` or `12.5`.
fn leading(text: &str) -> Option<Version> {
    let end = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (major, rest) = text.split_at(end(text));
    let minor = rest.strip_prefix('.').map(|rest| &rest[..end(rest)]).unwrap_or_default();
    Some((major.parse().ok()?, minor.parse().unwrap_or(0)))
}

/// A text that is `12.5` and nothing more.
fn pair(text: &str) -> Option<Version> {
    let (major, minor) = text.split_once('.')?;
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_number(major) && is_number(minor)).then(|| Some((major.parse().ok()?, minor.parse().ok()?)))?
}

fn debian(line: &str, notes: &mut Vec<Note>) -> NodeResult<Version> {
    let line = DEBIANS.iter().find(|(name, _)| *name == line).map_or(line, |(_, like)| *like);
    let Some(version) = leading(line) else {
        return Err(Failure::new(format!("unable to parse version info '{}'", shown(line))));
    };
    let major = version.0;
    if major < 4 {
        return Err(Failure::new(format!("Container Debian version '{major}' is too old")));
    }
    if major > NEWEST_DEBIAN {
        notes.push(Note::Warning(format!(
            "The container's Debian version '{major}' is newer than the tested version '{NEWEST_DEBIAN}'. While \
             everything may work fine, full compatibility cannot be guaranteed. Please check for PVE system updates."
        )));
    }
    Ok(version)
}

fn devuan(line: &str) -> NodeResult<Version> {
    let name = line.to_lowercase();
    match DEVUANS.iter().find(|(known, _)| *known == name) {
        Some((_, major)) => Ok((*major, 0)),
        None => Err(Failure::new(format!("unsupported Devuan version '{}'", shown(&name)))),
    }
}

/// `CentOS Linux release 7.9.2009 (Core)`
fn centos(line: &str) -> NodeResult<Version> {
    let mut numbers = line.match_indices("release").filter_map(|(at, word)| {
        let rest = &line[at + word.len()..];
        let number = rest.trim_start();
        if number.len() == rest.len() { None } else { Some((number, leading(number)?)) }
    });
    let Some((text, version)) = numbers.next() else {
        return Err(Failure::new(format!("unable to parse centos version '{}'", shown(line))));
    };
    if (5..11).contains(&version.0) {
        return Ok(version);
    }
    let digits = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let major = digits(text);
    let minor = text[major..].strip_prefix('.').map_or(0, digits);
    let end = if minor > 0 { major + 1 + minor } else { major };
    Err(Failure::new(format!("unsupported centos version '{}'", shown(&text[..end]))))
}

/// Distributions whose version is in os-release, and which are supported from a lowest version on.
fn with_lowest(name: &str, lowest: u32, release: &OsRelease) -> NodeResult<Version> {
    let text = release.get("VERSION_ID").unwrap_or_default();
    match leading(text).filter(|(major, _)| *major >= lowest) {
        Some(version) => Ok(version),
        None => Err(Failure::new(format!("unsupported {name} release '{}'", shown(text)))),
    }
}

fn gentoo(line: &str) -> NodeResult<Version> {
    const BEFORE: &str = "gentoo base system release ";
    match line.get(..BEFORE.len()) {
        Some(before) if before.eq_ignore_ascii_case(BEFORE) => Ok((0, 0)),
        _ => Err(Failure::new(format!("unrecognized gentoo version: {}", shown(line)))),
    }
}

/// Releases such as 15.6, and Tumbleweed's dates.
fn suse(release: &OsRelease) -> NodeResult<Version> {
    let text = release.get("VERSION_ID").unwrap_or_default();
    if let Some((major, minor)) = pair(text) {
        let is_sles = release.get("ID") == Some("sles");
        return match (major, minor) {
            (15 | 16 | 42.., _) | (13, 0..=2) => Ok((major, minor)),
            (12, _) if is_sles => Ok((major, minor)),
            _ => Err(Failure::new(format!("unsupported suse release '{text}'"))),
        };
    }
    if text.len() != 8 || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(Failure::new("unrecognized suse release"));
    }
    let day: u32 = text.parse().map_err(|_| Failure::new("unrecognized suse release"))?;
    if day / 10_000 >= 2017 && day / 100 % 100 <= 12 && day % 100 <= 31 {
        Ok((day, 0))
    } else {
        Err(Failure::new(format!("unsupported suse tumbleweed release '{text}'")))
    }
}

fn ubuntu(lsb: Option<&str>, notes: &mut Vec<Note>) -> NodeResult<Version> {
    let missing = || Failure::new("can't open '/etc/lsb-release' - No such file or directory");
    let lsb = lsb.ok_or_else(missing)?;
    if !is_ubuntu(lsb) {
        return Err(Failure::new("got unknown DISTRIB_ID"));
    }
    let value = |line: &str| {
        let (name, value) = line.split_once('=')?;
        let version = pair(value).filter(|_| name.eq_ignore_ascii_case("DISTRIB_RELEASE"))?;
        Some((value.to_owned(), version))
    };
    let (text, version) = lsb.split('\n').find_map(value).ok_or_else(unreadable)?;
    let text = shown(&text);
    if !UBUNTUS.contains(&text.as_str()) {
        if version.0 < 17 {
            return Err(Failure::new(format!("unsupported ancient Ubuntu version '{text}'")));
        }
        notes.push(Note::Warning(format!(
            "The container's Ubuntu version '{text}' is not in the known version list. As it's newer than the minimum \
             supported version it's likely to work OK, but full compatibility cannot be guaranteed. Please check for \
             PVE system updates."
        )));
    }
    Ok(version)
}
