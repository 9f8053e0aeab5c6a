//! What each distribution gets, whole: the files that are new or changed after a create and a second start.
//!
//! The interfaces of all: fixed addresses of both families, DHCP for both, router advertisements with a gateway
//! outside of the network, and one that is left alone.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::*;

const NETS: [(&str, &str); 4] = [
    (
        "net0",
        "name=eth0,bridge=vmbr0,gw=10.0.0.1,gw6=fd00:1::1,hwaddr=BC:24:11:00:00:01,ip=10.0.0.5/24,ip6=fd00:1::5/64",
    ),
    ("net1", "name=eth1,bridge=vmbr0,hwaddr=BC:24:11:00:00:02,ip=dhcp,ip6=dhcp"),
    ("net2", "name=eth2,bridge=vmbr0,gw=192.168.9.1,hwaddr=BC:24:11:00:00:03,ip=10.2.0.5/16,ip6=auto"),
    ("net3", "name=eth3,bridge=vmbr0,hwaddr=BC:24:11:00:00:04,ip=manual"),
];

fn files(root: &Path, directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).unwrap().flatten() {
        let path = entry.path();
        let name = format!("/{}", path.strip_prefix(root).unwrap().display());
        let meta = fs::symlink_metadata(&path).unwrap();
        if meta.is_symlink() {
            found.insert(name, format!("-> {}\n", fs::read_link(&path).unwrap().display()));
        } else if meta.is_dir() {
            files(root, &path, found);
        } else {
            let mode = meta.permissions().mode() & 0o7777;
            let name = if mode == 0o644 { name } else { format!("{name} (mode {mode:04o})") };
            found.insert(name, fs::read_to_string(&path).unwrap());
        }
    }
}

fn changed(before: &[(&str, &str)]) -> String {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in before {
        let path = dir.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let mut config = ContainerConfig::default();
    let options = [("hostname", "web.lab.org"), ("nameserver", "9.9.9.9 2620:fe::fe"), ("unprivileged", "1")];
    for (key, value) in options.iter().chain(&NETS) {
        config.main.set(key, *value);
    }
    let me = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let host = HostDns { servers: Vec::new(), search: vec!["example.org".to_owned()] };
    let guest = || {
        let files = Rooted::open(dir.path(), me).unwrap();
        Guest::new(files, "101".parse().unwrap(), &config, &mut Vec::new()).unwrap()
    };
    let mut text = format!("{:?}\n", guest().system);
    if guest().system.ostype != "unmanaged" {
        init::forget_identity(&guest()).unwrap();
        fixup::after_unpacking(&guest()).unwrap();
    }
    guest().each_start(&host).unwrap();
    let mut first = BTreeMap::new();
    files(dir.path(), dir.path(), &mut first);
    guest().each_start(&host).unwrap();
    let mut second = BTreeMap::new();
    files(dir.path(), dir.path(), &mut second);
    assert_eq!(first, second, "a second start changes something");
    let old: BTreeMap<String, &str> =
        before.iter().map(|(path, text)| (format!("/{}", path.trim_start_matches('/')), *text)).collect();
    for (path, new) in second.iter().filter(|(path, new)| old.get(*path) != Some(&new.as_str())) {
        let _ = write!(text, "--- {path}\n{new}");
        if !new.ends_with('\n') {
            text.push('\n');
        }
    }
    for path in old.keys().filter(|path| !second.contains_key(*path)) {
        let _ = writeln!(text, "--- {path} (removed)");
    }
    text
}

const HOSTS: (&str, &str) = ("etc/hosts", "127.0.0.1 localhost\n127.0.1.1 LXC_NAME\n::1 localhost\n");
const LOOPBACK: (&str, &str) = ("etc/network/interfaces", "auto lo\niface lo inet loopback\n");
const SYSTEMD: (&str, &str) = ("usr/lib/systemd/systemd", "");
const GETTY: (&str, &str) =
    ("usr/lib/systemd/system/container-getty@.service", "[Service]\nTTYPath=/dev/pts/%I\n");
const SECURETTY: (&str, &str) = ("etc/securetty", "console\n");

macro_rules! golden {
    ($($test:ident: $files:expr;)*) => {
        $(#[test]
        fn $test() {
            insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
                insta::assert_snapshot!(stringify!($test), changed(&$files));
            });
        })*
    };
}

golden! {
    debian_with_ifupdown: [
        ("etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n"), ("etc/debian_version", "12.9\n"), HOSTS, LOOPBACK, SYSTEMD,
        GETTY, ("etc/machine-id", "0123\n"),
    ];
    debian_of_old: [
        ("etc/debian_version", "9.13\n"), HOSTS, LOOPBACK, ("etc/inittab", "1:2345:respawn:/sbin/getty 38400 tty1\n"),
    ];
    devuan: [("etc/os-release", "ID=devuan\n"), ("etc/devuan_version", "daedalus\n"), HOSTS, LOOPBACK];
    ubuntu_with_netplan: [
        ("etc/os-release", "ID=ubuntu\nVERSION_ID=\"24.04\"\n"), HOSTS, SYSTEMD, GETTY,
        ("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=24.04\n"),
        ("etc/netplan/10-lxc.yaml", "network:\n  version: 2\n  ethernets:\n    eth0:\n      dhcp4: true\n"),
    ];
    ubuntu_with_early_netplan: [
        ("etc/os-release", "ID=ubuntu\nVERSION_ID=\"20.04\"\n"), HOSTS, SYSTEMD, GETTY,
        ("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=20.04\n"),
        ("etc/netplan/10-lxc.yaml", "network:\n  version: 2\n"),
    ];
    ubuntu_of_old: [
        ("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=16.04\n"), HOSTS, LOOPBACK,
    ];
    alpine: [
        ("etc/os-release", "ID=alpine\n"), ("etc/alpine-release", "3.20.3\n"), HOSTS, LOOPBACK, SECURETTY,
        ("etc/init.d/networking", ""), ("etc/init.d/hostname", ""), ("etc/runlevels/boot/.keep", ""),
        ("etc/inittab", "::sysinit:/sbin/openrc sysinit\ntty1::respawn:/sbin/getty 38400 tty1\n"),
    ];
    alpine_of_old: [("etc/alpine-release", "3.12.0\n"), HOSTS, LOOPBACK];
    archlinux: [("etc/os-release", "ID=arch\n"), ("etc/arch-release", ""), HOSTS, SYSTEMD, GETTY];
    fedora_with_networkd: [
        ("etc/os-release", "ID=fedora\nVERSION_ID=41\n"), ("etc/fedora-release", "Fedora release 41\n"), HOSTS, SYSTEMD,
        GETTY, SECURETTY,
    ];
    fedora_of_old: [
        ("etc/os-release", "ID=fedora\nVERSION_ID=26\n"), HOSTS, SYSTEMD, GETTY,
        ("etc/sysconfig/network", "NETWORKING=no\n"),
    ];
    centos_with_networkmanager: [
        ("etc/os-release", "ID=\"almalinux\"\nVERSION_ID=\"10.0\"\n"), HOSTS, SYSTEMD, GETTY,
        ("etc/redhat-release", "AlmaLinux release 10.0 (Purple Lion)\n"),
    ];
    centos_with_scripts: [
        ("etc/os-release", "ID=\"rocky\"\nVERSION_ID=\"9.3\"\n"), HOSTS, SYSTEMD, GETTY, SECURETTY,
        ("etc/redhat-release", "Rocky Linux release 9.3 (Blue Onyx)\n"),
        ("etc/sysconfig/network", "# mine\n"),
        ("etc/sysconfig/network-scripts/route-eth0", "# --- BEGIN PVE ---\n10.9.9.9 dev eth0\n# --- END PVE ---\n"),
        ("etc/sysconfig/network-scripts/route-eth2", "172.16.0.0/12 via 10.2.0.9\n"),
    ];
    openeuler: [
        ("etc/os-release", "ID=\"openEuler\"\nVERSION_ID=\"24.03\"\n"), HOSTS, SYSTEMD, GETTY, SECURETTY,
        ("etc/openEuler-release", "openEuler release 24.03 (LTS)\n"),
    ];
    opensuse_with_wicked: [
        ("etc/os-release", "ID=\"opensuse-leap\"\nVERSION_ID=\"15.6\"\n"), HOSTS, SYSTEMD, GETTY,
    ];
    opensuse_with_networkd: [
        ("etc/os-release", "ID=\"opensuse-tumbleweed\"\nVERSION_ID=\"20250101\"\n"), HOSTS, SYSTEMD, GETTY,
        ("usr/lib/systemd/systemd-networkd", ""), ("etc/locale.conf", "LANG=de_DE.UTF-8\n"),
        ("etc/localtime", ""),
    ];
    gentoo: [
        ("etc/os-release", "ID=gentoo\n"), ("etc/gentoo-release", "Gentoo Base System release 2.15\n"), HOSTS,
        ("etc/conf.d/hostname", "hostname=\"localhost\"\n"), ("etc/conf.d/net", "# an example\n"),
        ("etc/inittab", "c1:12345:respawn:/sbin/agetty 38400 tty1 linux\n"),
    ];
    nixos: [("etc/os-release", "ID=nixos\n"), ("nix/store/.keep", ""), HOSTS];
    unmanaged: [("etc/hosts", "127.0.0.1 localhost\n")];
}
