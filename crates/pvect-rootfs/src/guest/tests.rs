//! Guests in temporary directories.

use std::fs;
use std::path::Path;

use super::*;

const INTERFACES: &str = "auto lo\niface lo inet loopback\n";

/// A root file system with these files; the owner of what is written is whoever runs the test.
pub(super) fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    dir
}

pub(super) fn guest<'a>(dir: &Path, config: &'a ContainerConfig) -> Guest<'a> {
    let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let files = Rooted::open(dir, me).unwrap();
    Guest::new(files, "202".parse().unwrap(), config, &mut Vec::new()).unwrap()
}

pub(super) fn config(options: &[(&str, &str)]) -> ContainerConfig {
    let mut config = ContainerConfig::default();
    for (key, value) in options {
        config.main.set(key, *value);
    }
    config
}

fn text(dir: &tempfile::TempDir, path: &str) -> String {
    fs::read_to_string(dir.path().join(path)).unwrap()
}

#[test]
fn alpine_is_set_up_as_recorded() {
    let dir = root(&[
        ("etc/alpine-release", "3.20.3\n"),
        ("etc/hosts", "127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n"),
        ("etc/network/interfaces", INTERFACES),
        (
            "etc/inittab",
            "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\ntty6::respawn:/sbin/getty 38400 tty6\n",
        ),
    ]);
    let config = config(&[
        ("hostname", "alp1"),
        ("nameserver", "1.1.1.1"),
        ("searchdomain", "example.org"),
        ("net0", "name=eth0,bridge=vmbr0,gw=10.10.10.1,hwaddr=BC:24:11:4B:99:7C,ip=10.10.10.11/24,type=veth"),
    ]);
    let guest = guest(dir.path(), &config);
    assert_eq!(guest.system, Detected { ostype: "alpine".to_owned(), version: (3, 20) });
    for _ in 0..2 {
        guest.each_start(&HostDns::default()).unwrap();
        assert_eq!(
            text(&dir, "etc/hosts"),
            "127.0.0.1\tlocalhost localhost.localdomain\n::1\tlocalhost localhost.localdomain\n\
             # --- BEGIN PVE ---\n10.10.10.11 alp1.example.org alp1\n# --- END PVE ---\n"
        );
        assert_eq!(
            text(&dir, "etc/resolv.conf"),
            "# --- BEGIN PVE ---\nsearch example.org\nnameserver 1.1.1.1\n# --- END PVE ---\n"
        );
        assert_eq!(
            text(&dir, "etc/network/interfaces"),
            "auto lo\niface lo inet loopback\n\nauto eth0\niface eth0 inet static\n\taddress 10.10.10.11/24\n\
             \tgateway 10.10.10.1\n\n"
        );
        assert_eq!(text(&dir, "etc/hostname"), "alp1\n");
        assert_eq!(
            text(&dir, "etc/inittab"),
            "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n\
             tty2::respawn:/sbin/getty 38400 tty2\n"
        );
    }
}

#[test]
fn a_host_without_a_name_gets_its_number_and_the_hosts_dns() {
    let dir = root(&[("etc/os-release", "ID=debian\n"), ("etc/debian_version", "12.5\n")]);
    std::os::unix::fs::symlink("../run/systemd/resolve/stub-resolv.conf", dir.path().join("etc/resolv.conf"))
        .unwrap();
    let config = config(&[("tty", "1")]);
    let host = HostDns::parse("# x\nsearch a.org b.org\nnameserver 9.9.9.9\nnameserver 8.8.8.8\n");
    guest(dir.path(), &config).each_start(&host).unwrap();
    assert_eq!(
        text(&dir, "etc/hosts"),
        "# --- BEGIN PVE ---\n127.0.0.1 localhost.localnet localhost\n::1 localhost.localnet localhost\n\
         127.0.1.1 CT202.a.org CT202.b.org CT202\n# --- END PVE ---\n"
    );
    assert_eq!(
        text(&dir, "etc/resolv.conf"),
        "# --- BEGIN PVE ---\nsearch a.org b.org\nnameserver 9.9.9.9\nnameserver 8.8.8.8\n# --- END PVE ---\n"
    );
    assert!(!dir.path().join("etc/network/interfaces").exists(), "no net, no file");
}

#[test]
fn debian_with_systemd_gets_its_gettys() {
    let unit = "[Service]\nTTYPath=/dev/pts/%I\n";
    let dir = root(&[
        ("etc/debian_version", "12.5\n"),
        ("usr/lib/systemd/systemd", ""),
        ("usr/lib/systemd/system/container-getty@.service", unit),
        ("etc/machine-id", "abc\n"),
    ]);
    let config = config(&[("unprivileged", "1"), ("ostype", "debian")]);
    let guest = guest(dir.path(), &config);
    init::forget_identity(&guest).unwrap();
    fixup::after_unpacking(&guest).unwrap();
    let masked = guest.files.read_link("/etc/systemd/system/sys-kernel-debug.mount");
    assert_eq!(masked.as_deref(), Some(Path::new("/dev/null")));
    guest.each_start(&HostDns::default()).unwrap();
    assert!(!dir.path().join("etc/machine-id").exists());
    assert_eq!(
        text(&dir, "usr/lib/systemd/system/container-getty@.service"),
        "[Service]\nTTYPath=/dev/tty%I\n"
    );
    let wants = guest.files.names("etc/systemd/system/getty.target.wants").unwrap();
    assert_eq!(wants, ["container-getty@1.service", "container-getty@2.service"]);
    assert!(
        text(&dir, "etc/systemd/system-preset/00-pve.preset").ends_with("disable systemd-networkd.service\n")
    );
}

#[test]
fn keys_and_passwords_are_readable_by_root_alone() {
    use std::os::unix::fs::PermissionsExt;
    let dir = root(&[
        ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
        ("etc/shadow", "root:*:1::::::\n"),
        ("root/.profile", ""),
    ]);
    fs::set_permissions(dir.path().join("etc/shadow"), fs::Permissions::from_mode(0o640)).unwrap();
    let config = config(&[]);
    let guest = guest(dir.path(), &config);
    users::set_password(&guest, "root", Some(&users::hashed("secret123").unwrap())).unwrap();
    users::set_ssh_keys(&guest, "ssh-ed25519 AAAA me").unwrap();
    assert!(text(&dir, "etc/shadow").starts_with("root:$6$rounds=5000$"));
    assert_eq!(
        text(&dir, "root/.ssh/authorized_keys"),
        "# --- BEGIN PVE ---\nssh-ed25519 AAAA me\n# --- END PVE ---\n"
    );
    let mode = |path: &str| fs::metadata(dir.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(
        (mode("etc/shadow"), mode("root/.ssh"), mode("root/.ssh/authorized_keys")),
        (0o640, 0o700, 0o600)
    );
    users::set_password(&guest, "root", None).unwrap();
    assert!(text(&dir, "etc/shadow").starts_with("root:*:"));
}

#[test]
fn an_ignored_file_stays() {
    let dir = root(&[("etc/debian_version", "12\n"), ("etc/hosts", "mine\n"), ("etc/.pve-ignore.hosts", "")]);
    let config = config(&[]);
    guest(dir.path(), &config).each_start(&HostDns::default()).unwrap();
    assert_eq!(text(&dir, "etc/hosts"), "mine\n");
    assert_eq!(text(&dir, "etc/hostname"), "CT202\n");
}
