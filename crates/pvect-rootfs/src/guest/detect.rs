//! Which distribution and which architecture a root file system has.

use std::io::Read;

use rustix::fs::OFlags;

use crate::rooted::Rooted;

/// A distribution and its version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detected {
    /// The value of `ostype`.
    pub ostype: String,
    /// Its version, major and minor; 0.0 when it has none or it is unknown.
    pub version: (u32, u32),
}

impl Detected {
    /// A distribution that is known already; its version is read.
    pub fn known(files: &Rooted, ostype: &str) -> Self {
        Self { ostype: ostype.to_owned(), version: version(files, ostype) }
    }

    /// Returns whether the version is this or a later one; an unknown one counts as late.
    pub fn at_least(&self, major: u32, minor: u32) -> bool {
        self.version == (0, 0) || self.version >= (major, minor)
    }
}

/// `ID` of os-release and the `ostype` for it.
const IDS: &[(&str, &str)] = &[
    ("alpine", "alpine"),
    ("arch", "archlinux"),
    ("archlinux", "archlinux"),
    ("almalinux", "centos"),
    ("centos", "centos"),
    ("debian", "debian"),
    ("devuan", "devuan"),
    ("fedora", "fedora"),
    ("gentoo", "gentoo"),
    ("nixos", "nixos"),
    ("opensuse", "opensuse"),
    ("opensuse-leap", "opensuse"),
    ("opensuse-slowroll", "opensuse"),
    ("opensuse-tumbleweed", "opensuse"),
    ("rocky", "centos"),
    ("sles", "opensuse"),
    ("ubuntu", "ubuntu"),
];

/// Files that tell a distribution where os-release does not, in the order in which they are looked for.
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
];

/// Detects the distribution of a root file system, with a message if it is in doubt.
///
/// Nothing that fits is `unmanaged`. (The real pct refuses a root file system with an os-release that names
/// nothing it knows; here that too is unmanaged.)
pub fn detect(files: &Rooted) -> (Detected, Option<String>) {
    let release = os_release(files);
    let id = value(&release, "ID");
    if let Some((_, ostype)) = IDS.iter().find(|(known, _)| Some(*known) == id.as_deref()) {
        return (Detected::known(files, ostype), None);
    }
    let doubt = id.map(|id| format!("unknown ID '{id}' in /etc/os-release file, trying fallback detection"));
    let lsb = files.read_text("/etc/lsb-release").ok().flatten().unwrap_or_default();
    let ostype = if value(&lsb, "DISTRIB_ID").is_some_and(|id| id.eq_ignore_ascii_case("ubuntu")) {
        "ubuntu"
    } else if let Some((_, ostype)) = MARKS.iter().find(|(path, _)| files.is_file(path)) {
        ostype
    } else if files.is_dir("/nix/store") {
        "nixos"
    } else {
        let text = "/etc/os-release file not found and autodetection failed, falling back to 'unmanaged'";
        let doubt = doubt.unwrap_or_else(|| text.to_owned());
        return (Detected { ostype: "unmanaged".to_owned(), version: (0, 0) }, Some(doubt));
    };
    (Detected::known(files, ostype), doubt)
}

fn os_release(files: &Rooted) -> String {
    ["/etc/os-release", "/usr/lib/os-release"]
        .iter()
        .find_map(|path| files.read_text(path).ok().flatten())
        .unwrap_or_default()
}

/// The value of a shell-like assignment, quotes taken off. Source: os-release(5).
fn value(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.trim().split_once('=')?;
        if name != key {
            return None;
        }
        let value = value.trim();
        let quoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.split(*quote).next());
        Some(quoted.unwrap_or(value).to_owned())
    })
}

fn version(files: &Rooted, ostype: &str) -> (u32, u32) {
    let first_line = |path: &str| {
        files.read_text(path).ok().flatten().and_then(|text| text.lines().next().map(str::to_owned))
    };
    let text = match ostype {
        "alpine" => first_line("/etc/alpine-release"),
        "debian" => first_line("/etc/debian_version"),
        "devuan" => first_line("/etc/devuan_version"),
        // `CentOS Linux release 7.9.2009 (Core)`; its first versions have no os-release.
        "centos" => first_line("/etc/redhat-release").and_then(|line| {
            let words = line.split_ascii_whitespace().map(str::to_owned);
            words.skip_while(|word| word != "release").nth(1)
        }),
        _ => None,
    };
    let of_lsb = || value(&files.read_text("/etc/lsb-release").ok().flatten()?, "DISTRIB_RELEASE");
    let text = text.or_else(|| value(&os_release(files), "VERSION_ID")).or_else(of_lsb).unwrap_or_default();
    numbers(&text).or_else(|| code_name(&text)).unwrap_or((0, 0))
}

fn numbers(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().split('.');
    let major = parts.next()?.parse().ok()?;
    Some((major, parts.next().and_then(|minor| minor.parse().ok()).unwrap_or(0)))
}

/// Testing and unstable have code names in `/etc/debian_version`, all of Devuan in `/etc/devuan_version`.
fn code_name(text: &str) -> Option<(u32, u32)> {
    let names = [
        ("stretch", 9),
        ("buster", 10),
        ("bullseye", 11),
        ("bookworm", 12),
        ("trixie", 13),
        ("forky", 14),
        ("duke", 15),
        ("kali-rolling", 12),
        // Devuan's, with the Debian that each is made from.
        ("jessie", 8),
        ("ascii", 9),
        ("beowulf", 10),
        ("chimaera", 11),
        ("daedalus", 12),
        ("excalibur", 13),
    ];
    names.iter().find(|(name, _)| text.trim().starts_with(name)).map(|(_, major)| (*major, 0))
}

/// Detects the architecture by the ELF header of `/bin/sh`; `None` when it is no ELF file or an unknown one.
///
/// Source: elf(5), `e_ident` and `e_machine`.
pub fn architecture(files: &Rooted) -> Option<&'static str> {
    elf_architecture(files, "/bin/sh")
}

/// Detects the architecture of a program.
pub fn elf_architecture(files: &Rooted, path: &str) -> Option<&'static str> {
    if !files.is_file(path) {
        return None;
    }
    let fd = files.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK).ok()?;
    let mut head = [0_u8; 20];
    std::fs::File::from(fd).read_exact(&mut head).ok()?;
    let [0x7f, b'E', b'L', b'F', class, data, ..] = head else { return None };
    let pair = [head[18], head[19]];
    let machine = if data == 2 { u16::from_be_bytes(pair) } else { u16::from_le_bytes(pair) };
    match (machine, class) {
        (62, 2) => Some("amd64"),
        (3, 1) => Some("i386"),
        (183, 2) => Some("arm64"),
        (40, 1) => Some("armhf"),
        (243, 1) => Some("riscv32"),
        (243, 2) => Some("riscv64"),
        _ => None,
    }
}
