//! What the programs of a root file system tell: its architecture, and which systemd it has.

use std::io::Read;
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::NodeResult;
use crate::error::os_text;
use crate::rooted::Rooted;

/// The init that LXC starts.
const INIT: &str = "/sbin/init";
/// How many symlinks of an init are followed.
const MOST_LINKS: usize = 10;

/// Detects the architecture of the system: that of `/bin/sh`, or on NixOS, which makes `/bin/sh` at its first boot,
/// that of the shell that runs its init.
///
/// # Errors
/// Why it cannot be told, in pct's words.
pub(super) fn architecture(files: &Rooted, ostype: &str) -> Result<&'static str, String> {
    if ostype != "nixos" {
        return elf_architecture(files, "/bin/sh");
    }
    let init = files.read_text(INIT).map_err(|error| cannot_open(INIT, &error))?.unwrap_or_default();
    let line = init.split('\n').next().unwrap_or_default();
    let shell = line.strip_prefix("#!").map(|rest| rest.strip_prefix(' ').unwrap_or(rest));
    let shell = shell.map(|rest| rest.split_ascii_whitespace().next().unwrap_or_default());
    shell.map_or_else(|| Err("could not find a shell".to_owned()), |shell| elf_architecture(files, shell))
}

fn cannot_open(path: &str, error: &std::io::Error) -> String {
    format!("open '{path}' failed: {}", os_text(error))
}

/// Detects the architecture of a program by its ELF header. Source: elf(5), `e_ident` and `e_machine`.
///
/// # Errors
/// Why it cannot be told, in pct's words.
pub fn elf_architecture(files: &Rooted, path: &str) -> Result<&'static str, String> {
    let path = &super::release_files::shown(path);
    let not_elf = || format!("'{path}' does not resolve to an ELF!");
    files.open_at(path, OFlags::PATH).map_err(|error| cannot_open(path, &error))?;
    // Merely opening a device may have an effect.
    if !files.is_file(path) {
        return Err(not_elf());
    }
    let fd = files.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
    let fd = fd.map_err(|error| cannot_open(path, &error))?;
    let mut head = [0_u8; 20];
    std::fs::File::from(fd).read_exact(&mut head).map_err(|_| not_elf())?;
    let [0x7f, b'E', b'L', b'F', class, data, ..] = head else { return Err(not_elf()) };
    let pair = [head[18], head[19]];
    let machine = if data == 2 { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
    match (machine, class) {
        (62, _) => Ok("amd64"),
        (3, _) => Ok("i386"),
        (183, _) => Ok("arm64"),
        (40, _) => Ok("armhf"),
        (243, 1) => Ok("riscv32"),
        (243, 2) => Ok("riscv64"),
        (243, class) => Err(format!("'{path}' has invalid class '{class}'!")),
        (machine, _) => Err(format!("'{path}' has unknown ELF machine '{machine}'!")),
    }
}

/// The systemd that is a root file system's init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Systemd {
    /// Its version; `None` for old ones, which do not say.
    pub(super) version: Option<u32>,
}

impl Systemd {
    /// Checks the program that `/sbin/init` leads to; `None` when it is not systemd.
    ///
    /// # Errors
    /// When it cannot be read.
    pub(super) fn of(files: &Rooted) -> NodeResult<Option<Self>> {
        let mut init = PathBuf::from(INIT);
        for _ in 0..MOST_LINKS {
            match files.read_link(&init) {
                Some(target) => init = init.parent().unwrap_or(Path::new("/")).join(target),
                None => break,
            }
        }
        if init.file_name().is_none_or(|name| name != "systemd") {
            return Ok(None);
        }
        let failed = |error| crate::Failure::io("can't read", &init, &error);
        let program = files.read(INIT).map_err(failed)?.unwrap_or_default();
        Ok(Some(Self { version: systemd_version(&program) }))
    }
}

/// The version of systemd's library that a program is linked with: the name `libsystemd-shared-257.4-1.so` among its
/// strings.
fn systemd_version(program: &[u8]) -> Option<u32> {
    const BEFORE: &[u8] = b"libsystemd-shared-";
    const LONGEST: usize = 200;
    let names = program.split(|byte| *byte == 0).filter_map(|text| text.strip_prefix(BEFORE));
    let mut versions = names.filter(|name| name.len() <= LONGEST).filter_map(|name| {
        let name = std::str::from_utf8(name).ok()?;
        let name = name.strip_suffix(".so")?;
        let end = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
        let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
        let parts = name[end..].strip_prefix(['-', '_', '.']);
        let is_name =
            name[end..].is_empty() || parts.is_some_and(|text| text.split(['-', '_', '.']).all(is_part));
        is_name.then(|| name[..end].parse().ok())?
    });
    versions.next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_library_tells_systemds_version() {
        for (name, version) in [
            ("libsystemd-shared-257.4-1.so", Some(257)),
            ("libsystemd-shared-249.so", Some(249)),
            ("libsystemd-shared-252_x.fc37.so", Some(252)),
            ("libsystemd-shared-.so", None),
            ("libsystemd-shared-252~rc1.so", None),
            ("libsystemd-shared-252.so.1", None),
            ("xlibsystemd-shared-252.so", None),
        ] {
            let program = [b"\x7fELF\0libc.so.6\0", name.as_bytes(), b"\0rest"].concat();
            assert_eq!(systemd_version(&program), version, "{name}");
        }
        assert_eq!(systemd_version(b""), None);
    }
}
