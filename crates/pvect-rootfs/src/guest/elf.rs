//! What the programs of a root file system tell: its architecture, and which systemd it has.

use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use crate::error::os_text;
use crate::rooted::Rooted;

/// The init that LXC starts.
const INIT: &str = "/sbin/init";
/// How many symlinks of an init are followed.
const MOST_LINKS: usize = 10;
/// So much of an init is searched, bytes; systemd's has a few hundred KiB.
const LARGEST_INIT: u64 = 16 << 20;
/// The longest name of a library that is looked at, bytes.
const LONGEST: usize = 200;

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

fn cannot_open(path: &str, error: &io::Error) -> String {
    format!("open '{path}' failed: {}", os_text(error))
}

/// Detects the architecture of a program by its ELF header. Source: elf(5), `e_ident` and `e_machine`.
///
/// # Errors
/// Why it cannot be told, in pct's words.
pub fn elf_architecture(files: &Rooted, path: &str) -> Result<&'static str, String> {
    let shown = &super::release_files::shown(path);
    let not_elf = || format!("'{shown}' does not resolve to an ELF!");
    files.open_at(path, OFlags::PATH).map_err(|error| cannot_open(shown, &error))?;
    // Opening a device does something already.
    if !files.is_file(path) {
        return Err(not_elf());
    }
    let fd = files.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY);
    let fd = fd.map_err(|error| cannot_open(shown, &error))?;
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
        (243, class) => Err(format!("'{shown}' has invalid class '{class}'!")),
        (machine, _) => Err(format!("'{shown}' has unknown ELF machine '{machine}'!")),
    }
}

/// The systemd that is a root file system's init.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Systemd {
    /// Its version; `None` for old ones, which do not say.
    pub(super) version: Option<u32>,
}

impl Systemd {
    /// Looks at the program that `/sbin/init` leads to; `None` when it is not systemd, or nobody can tell: no container is
    /// kept from starting by what is only said about it.
    pub(super) fn of(files: &Rooted) -> Option<Self> {
        let mut init = PathBuf::from(INIT);
        for _ in 0..MOST_LINKS {
            match files.read_link(&init) {
                Some(target) => init = init.parent().unwrap_or(Path::new("/")).join(target),
                None => break,
            }
        }
        if init.file_name().is_none_or(|name| name != "systemd") {
            return None;
        }
        // Opening a device does something already.
        if !files.is_file(INIT) {
            return Some(Self { version: None });
        }
        let program = files.open_at(INIT, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY).ok()?;
        let mut program = std::fs::File::from(program).take(LARGEST_INIT);
        let version = systemd_version(BufReader::new(&mut program)).ok()?;
        let is_whole = program.limit() > 0;
        (is_whole || version.is_some()).then_some(Self { version })
    }
}

/// The version of systemd's library that a program is linked with: the last name like `libsystemd-shared-257.4-1.so` among
/// its strings.
fn systemd_version(mut program: impl BufRead) -> io::Result<Option<u32>> {
    let (mut string, mut version) = (Vec::new(), None);
    loop {
        let chunk = program.fill_buf()?;
        if chunk.is_empty() {
            return Ok(version_of(&string).or(version));
        }
        let end = chunk.iter().position(|byte| *byte == 0);
        let piece = &chunk[..end.unwrap_or(chunk.len())];
        // Of a longer one the rest is not kept: it is not a name.
        let room = (LONGEST + 1).saturating_sub(string.len());
        string.extend(&piece[..piece.len().min(room)]);
        if end.is_some() {
            version = version_of(&string).or(version);
            string.clear();
        }
        let used = piece.len() + usize::from(end.is_some());
        program.consume(used);
    }
}

/// The version in the name of systemd's library.
fn version_of(string: &[u8]) -> Option<u32> {
    let name = string.strip_prefix(b"libsystemd-shared-").filter(|_| string.len() <= LONGEST)?;
    let name = std::str::from_utf8(name).ok()?.strip_suffix(".so")?;
    let end = name.find(|c: char| !c.is_ascii_digit()).unwrap_or(name.len());
    let is_part = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric());
    let parts = name[end..].strip_prefix(['-', '_', '.']);
    let is_name =
        name[end..].is_empty() || parts.is_some_and(|text| text.split(['-', '_', '.']).all(is_part));
    is_name.then(|| name[..end].parse().ok())?
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
            // Read in pieces of one byte, no string is whole in the buffer.
            let pieces = BufReader::with_capacity(1, &program[..]);
            assert_eq!(systemd_version(pieces).unwrap(), version, "{name}");
        }
        assert_eq!(systemd_version(&b""[..]).unwrap(), None);
    }

    fn root() -> (tempfile::TempDir, Rooted) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("sbin")).unwrap();
        let files = Rooted::open(dir.path(), (0, 0)).unwrap();
        (dir, files)
    }

    #[test]
    fn an_init_of_any_size_tells_its_version_or_nothing() {
        let (dir, files) = root();
        let init = dir.path().join("sbin/systemd");
        std::os::unix::fs::symlink("systemd", dir.path().join("sbin/init")).unwrap();
        let systemd = |version| Some(Systemd { version });
        // What a dangling link leads to is not there yet.
        assert_eq!(Systemd::of(&files), systemd(None));
        let name = b"\0libsystemd-shared-257.so\0";
        for (zeros, rest, found) in [
            (0, &name[..], systemd(Some(257))),
            // Not stripped, or larger than other files may be.
            (crate::rooted::READ_LIMIT + 1, name, systemd(Some(257))),
            (0, b"libc.so.6", systemd(None)),
            (LARGEST_INIT, name, None),
        ] {
            let file = std::fs::File::create(&init).unwrap();
            file.set_len(zeros).unwrap();
            std::os::unix::fs::FileExt::write_all_at(&file, rest, zeros).unwrap();
            assert_eq!(Systemd::of(&files), found, "{zeros}");
        }
    }

    #[test]
    fn a_long_path_of_a_shell_is_opened_whole() {
        let (dir, files) = root();
        let name = format!("/{}", "s".repeat(150));
        let head = [&b"\x7fELF\x02\x01"[..], &[0; 12], &[62, 0]].concat();
        std::fs::write(dir.path().join(&name[1..]), head).unwrap();
        assert_eq!(elf_architecture(&files, &name), Ok("amd64"));
        let missing = format!("/{}", "t".repeat(150));
        let cut = &missing[..100];
        assert_eq!(
            elf_architecture(&files, &missing),
            Err(format!("open '{cut}' failed: No such file or directory"))
        );
    }
}
