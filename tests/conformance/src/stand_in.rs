//! Templates that stand in for those of the recordings: same names, much the same guests.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

/// The file name of the Alpine stand-in.
pub(crate) const ALPINE: &str = "alpine-3.20-default_20240908_amd64.tar.gz";
/// The file name of the Debian stand-in.
pub(crate) const DEBIAN: &str = "debian-12-standard_12.0-1_amd64.tar.zst";

const INITTAB: &str = "::sysinit:/bin/mkdir -p /run /tmp\n\
    tty1::respawn:/sbin/getty 38400 tty1\ntty2::respawn:/sbin/getty 38400 tty2\n\
    ::ctrlaltdel:/sbin/reboot\n::shutdown:/bin/umount -a -r\n";

const FILES: &[(&str, u32, &str)] = &[
    ("etc/alpine-release", 0o644, "3.20.3\n"),
    ("etc/os-release", 0o644, "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.20.3\n"),
    ("etc/inittab", 0o644, INITTAB),
    ("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/sbin/nologin\n"),
    ("etc/group", 0o644, "root:x:0:root\ntty:x:5:\nnobody:x:65534:\n"),
    ("etc/shadow", 0o640, "root:*::0:::::\nnobody:!::0:::::\n"),
    ("etc/shells", 0o644, "/bin/sh\n"),
    ("etc/hostname", 0o644, "localhost\n"),
    (
        "etc/hosts",
        0o644,
        "127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n",
    ),
    ("etc/network/interfaces", 0o644, "auto lo\niface lo inet loopback\n"),
    ("etc/profile", 0o644, "export PATH=/usr/sbin:/usr/bin:/sbin:/bin\n"),
];

const DIRECTORIES: &[&str] = &[
    "bin",
    "dev",
    "etc",
    "etc/network",
    "home",
    "lib",
    "mnt",
    "opt",
    "proc",
    "root",
    "run",
    "sbin",
    "srv",
    "sys",
    "tmp",
    "usr",
    "usr/bin",
    "usr/sbin",
    "usr/lib",
    "var",
    "var/cache",
    "var/empty",
    "var/lib",
    "var/log",
    "var/spool",
    "var/tmp",
];

/// Makes the Alpine stand-in in a directory, from this machine's busybox, unless it is there.
///
/// # Errors
/// Why it cannot be made.
pub(crate) fn alpine(dir: &Path) -> Result<PathBuf, String> {
    let path = dir.join(ALPINE);
    if path.is_file() {
        return Ok(path);
    }
    let busybox = ["/bin/busybox", "/usr/bin/busybox"].map(Path::new).into_iter().find(|path| path.is_file());
    let busybox = busybox.ok_or("busybox is not installed")?;
    let listed = Command::new(busybox).arg("--list-full").output().map_err(|error| error.to_string())?;
    let applets = String::from_utf8_lossy(&listed.stdout).into_owned();
    let part = path.with_extension("part");
    pack(&part, busybox, &applets)
        .and_then(|()| fs::rename(&part, &path))
        .map_err(|error| format!("{}: {error}", part.display()))?;
    Ok(path)
}

fn pack(path: &Path, busybox: &Path, applets: &str) -> io::Result<()> {
    let mut archive = Builder::new(GzEncoder::new(File::create(path)?, Compression::default()));
    for name in DIRECTORIES {
        let mode = if name.ends_with("tmp") { 0o1777 } else { 0o755 };
        let mut header = header(EntryType::Directory, mode, 0);
        archive.append_data(&mut header, format!("./{name}/"), io::empty())?;
    }
    let program = fs::read(busybox)?;
    let size = program.len() as u64;
    archive.append_data(&mut header(EntryType::Regular, 0o755, size), "./bin/busybox", program.as_slice())?;
    for (name, mode, text) in FILES {
        let mut header = header(EntryType::Regular, *mode, text.len() as u64);
        archive.append_data(&mut header, format!("./{name}"), text.as_bytes())?;
    }
    for applet in applets.lines().filter(|name| !name.ends_with("/busybox") && *name != "linuxrc") {
        let mut header = header(EntryType::Symlink, 0o777, 0);
        archive.append_link(&mut header, format!("./{applet}"), "/bin/busybox")?;
    }
    archive.into_inner()?.finish()?.sync_all()
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(1_725_753_600);
    header
}

/// Makes the Debian stand-in in a directory with mmdebstrap, unless it is there.
///
/// # Errors
/// Why it cannot be made; a reason to skip what needs it.
pub(crate) fn debian(dir: &Path) -> Result<PathBuf, String> {
    let path = dir.join(DEBIAN);
    if path.is_file() {
        return Ok(path);
    }
    let part = dir.join(format!("part-{DEBIAN}"));
    let output = Command::new("mmdebstrap")
        .args(["--quiet", "--mode=root", "--variant=minbase"])
        .arg("--include=systemd-sysv,iproute2,ifupdown")
        .arg("bookworm")
        .arg(&part)
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("mmdebstrap cannot be run: {error}"))?;
    if !output.status.success() {
        let _ = fs::remove_file(&part);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let last = text.lines().rev().find(|line| !line.is_empty()).unwrap_or("no message").to_owned();
        return Err(format!("mmdebstrap failed: {last}"));
    }
    fs::rename(&part, &path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_alpine_stand_in_holds_an_init() {
        let dir = tempfile::tempdir().unwrap();
        let Ok(path) = alpine(dir.path()) else { return };
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(File::open(path).unwrap()));
        let names: Vec<(String, EntryType)> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                let name = entry.path().unwrap().to_string_lossy().trim_start_matches("./").to_owned();
                (name, entry.header().entry_type())
            })
            .collect();
        for wanted in [
            ("sbin/init", EntryType::Symlink),
            ("bin/busybox", EntryType::Regular),
            ("etc/alpine-release", EntryType::Regular),
        ] {
            assert!(names.contains(&(wanted.0.to_owned(), wanted.1)), "{wanted:?} is missing");
        }
    }
}
