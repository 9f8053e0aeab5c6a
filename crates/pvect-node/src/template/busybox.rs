//! A template of some 1 MiB: BusyBox, its own init, nothing else.
//!
//! Its os-release has `ID=alpine`, as BusyBox is what Alpine has for init, getty and ifupdown: so the guest setup
//! writes the inittab and `/etc/network/interfaces` that this template reads, and the real pct takes it too. Its
//! version is one before 3.13: BusyBox's ifup wants netmask lines, which newer Alpines no longer get.
//!
//! Told to halt (SIGPWR, SIGUSR1, SIGUSR2), BusyBox's init needs some two and a half seconds, most of it its own
//! waiting between TERM and KILL.

use std::io::{Read, Write};
use std::path::Path;

use tar::{Builder, EntryType, Header};

use super::Unfinished;
use crate::rooted::Rooted;
use crate::storage::Template;
use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, guest};

/// The path in Debian's package busybox-static.
const BUSYBOX: &str = "/bin/busybox";
/// The time of every member, so that the same busybox makes the same template.
const MTIME: u64 = 1_700_000_000;

const DIRECTORIES: &[(&str, u32)] = &[
    ("bin", 0o755),
    ("dev", 0o755),
    ("etc", 0o755),
    ("etc/init.d", 0o755),
    ("etc/network", 0o755),
    ("etc/network/if-down.d", 0o755),
    ("etc/network/if-post-down.d", 0o755),
    ("etc/network/if-pre-up.d", 0o755),
    ("etc/network/if-up.d", 0o755),
    ("etc/udhcpc", 0o755),
    ("home", 0o755),
    ("lib", 0o755),
    ("mnt", 0o755),
    ("opt", 0o755),
    ("proc", 0o555),
    ("root", 0o700),
    ("run", 0o755),
    ("sbin", 0o755),
    ("srv", 0o755),
    ("sys", 0o555),
    ("tmp", 0o1777),
    ("usr", 0o755),
    ("usr/bin", 0o755),
    ("usr/sbin", 0o755),
    ("usr/share", 0o755),
    ("usr/share/udhcpc", 0o755),
    ("var", 0o755),
    ("var/log", 0o755),
    ("var/spool", 0o755),
    ("var/tmp", 0o1777),
];

const LINKS: &[(&str, &str)] = &[
    // Where Alpine's udhcpc looks.
    ("usr/share/udhcpc/default.script", "/etc/udhcpc/default.script"),
    ("var/lock", "/run/lock"),
    ("var/run", "/run"),
];

const INITTAB: &str = "\
::sysinit:/etc/init.d/rcS
::once:/sbin/ifup -a
::ctrlaltdel:/sbin/reboot
::shutdown:/etc/init.d/rcK
";
const RC_START: &str = "#!/bin/sh\nmkdir -p /run/network /run/lock\n: > /run/ifstate\n\
    [ -s /etc/hostname ] && hostname -F /etc/hostname\nexit 0\n";
const RC_STOP: &str = "#!/bin/sh\nifdown -a 2>/dev/null\nexit 0\n";
/// What udhcpc calls with an event and the lease in variables; Debian's looks below `/etc`. Source: udhcpc's README.
const UDHCPC: &str = r#"#!/bin/sh
case "$1" in
deconfig)
    ip -4 addr flush dev "$interface"
    ip link set "$interface" up
    ;;
bound|renew)
    ip -4 addr flush dev "$interface"
    ip addr add "$ip/${mask:-24}" dev "$interface"
    for gateway in $router; do
        ip route add default via "$gateway" dev "$interface"
        break
    done
    ;;
esac
exit 0
"#;

/// Path, content, mode and group of the files.
const FILES: &[(&str, &str, u32, u64)] = &[
    ("etc/alpine-release", "3.12.0\n", 0o644, 0),
    ("etc/group", "root:x:0:root\ntty:x:5:\nshadow:x:42:\nusers:x:100:\nnogroup:x:65534:\n", 0o644, 0),
    ("etc/hostname", "localhost\n", 0o644, 0),
    (
        "etc/hosts",
        "127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n",
        0o644,
        0,
    ),
    ("etc/init.d/rcK", RC_STOP, 0o755, 0),
    ("etc/init.d/rcS", RC_START, 0o755, 0),
    ("etc/inittab", INITTAB, 0o644, 0),
    ("etc/network/interfaces", "auto lo\niface lo inet loopback\n", 0o644, 0),
    (
        "etc/os-release",
        "NAME=\"BusyBox\"\nID=alpine\nVERSION_ID=3.12.0\nPRETTY_NAME=\"BusyBox (pvect)\"\n",
        0o644,
        0,
    ),
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n", 0o644, 0),
    (
        "etc/profile",
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\numask 022\n",
        0o644,
        0,
    ),
    ("etc/shadow", "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n", 0o640, 42),
    ("etc/shells", "/bin/sh\n/bin/ash\n", 0o644, 0),
    ("etc/udhcpc/default.script", UDHCPC, 0o755, 0),
];

/// Builds the BusyBox template from the host's `/bin/busybox`, in well under a second.
///
/// # Errors
/// When busybox is not installed or not static, or the template cannot be written; nothing is left behind.
pub fn build_busybox(node: &Node, progress: &mut dyn FnMut(&str)) -> NodeResult<Template> {
    let busybox = read_busybox()?;
    let host = Rooted::open(Path::new("/"), (0, 0))
        .map_err(|error| Failure::io("can't open", Path::new("/"), &error))?;
    let architecture = guest::elf_architecture(&host, BUSYBOX)
        .map_err(|_| Failure::new(format!("'{BUSYBOX}' is not a program of a known architecture")))?;
    let (version, applets) = describe()?;
    let unfinished = Unfinished::begin(node, format!("busybox-{version}-pvect_1_{architecture}.tar.zst"))?;
    progress(&format!("packing BusyBox {version} with {} applets", applets.len()));
    write(unfinished.path(), &busybox, &applets)
        .map_err(|error| Failure::io("can't write", unfinished.path(), &error))?;
    unfinished.finish()
}

fn read_busybox() -> NodeResult<Vec<u8>> {
    let bytes = match std::fs::File::open(BUSYBOX) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::not_installed("busybox", "busybox-static"));
        }
        opened => opened.and_then(|mut file| {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).map(|_| bytes)
        }),
    };
    let bytes = bytes.map_err(|error| Failure::io("can't read", Path::new(BUSYBOX), &error))?;
    // A dynamically linked program needs a loader, which the template does not have.
    if bytes.windows(8).take(4096).any(|window| window == b"/ld-linu" || window == b"/lib64/l") {
        let text = format!("'{BUSYBOX}' is not static: apt-get install busybox-static");
        return Err(Failure::new(text));
    }
    Ok(bytes)
}

/// Asks busybox for its version and the paths of its applets.
fn describe() -> NodeResult<(String, Vec<String>)> {
    let mut version = None;
    Tool::new(BUSYBOX, "busybox-static").stream(&mut |line| {
        let found = line.strip_prefix("BusyBox v").and_then(|rest| rest.split(' ').next());
        version = version.take().or(found.map(str::to_owned));
    })?;
    let version = version.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'));
    let mut applets = Vec::new();
    Tool::new(BUSYBOX, "busybox-static").arg("--list-full").stream(&mut |line| {
        let known = ["bin/", "sbin/", "usr/bin/", "usr/sbin/"].iter().any(|dir| line.starts_with(dir));
        if known && line != "bin/busybox" {
            applets.push(line.to_owned());
        }
    })?;
    applets.sort();
    Ok((version.unwrap_or_else(|| "0".to_owned()), applets))
}

fn write(path: &Path, busybox: &[u8], applets: &[String]) -> std::io::Result<()> {
    let packer = zstd::Encoder::new(std::fs::File::create(path)?, 9)?;
    let mut tar = Builder::new(packer);
    add(&mut tar, EntryType::Directory, "./", 0o755, 0, &[], None)?;
    for (name, mode) in DIRECTORIES {
        add(&mut tar, EntryType::Directory, &format!("./{name}/"), *mode, 0, &[], None)?;
    }
    add(&mut tar, EntryType::Regular, "./bin/busybox", 0o755, 0, busybox, None)?;
    for applet in applets {
        add(&mut tar, EntryType::Symlink, &format!("./{applet}"), 0o777, 0, &[], Some("/bin/busybox"))?;
    }
    for (name, target) in LINKS {
        add(&mut tar, EntryType::Symlink, &format!("./{name}"), 0o777, 0, &[], Some(target))?;
    }
    for (name, text, mode, group) in FILES {
        add(&mut tar, EntryType::Regular, &format!("./{name}"), *mode, *group, text.as_bytes(), None)?;
    }
    tar.into_inner()?.finish()?.flush()
}

fn add<W: Write>(
    tar: &mut Builder<W>,
    kind: EntryType,
    name: &str,
    mode: u32,
    group: u64,
    data: &[u8],
    target: Option<&str>,
) -> std::io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    // Not set_path: it drops the leading `./` that pct's exclusion of ./dev/* expects.
    let name = name.as_bytes();
    let field = &mut header.as_old_mut().name;
    let length = name.len().min(field.len());
    field[..length].copy_from_slice(&name[..length]);
    if let Some(target) = target {
        header.set_link_name(target)?;
    }
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(group);
    header.set_mtime(MTIME);
    header.set_size(data.len() as u64);
    header.set_cksum();
    tar.append(&header, data)
}
