//! What is found in root file systems of every kind, and what is refused.

use std::fs;
use std::os::unix::fs::symlink;

use super::tests::{config, guest, root};
use super::*;

/// The distribution and version that are found, and all notes; or why the system is refused.
fn found(files: &[(&str, &str)], expected: Option<&str>) -> String {
    let dir = root(files);
    let mut notes = Vec::new();
    let found = match detect(&Rooted::open(dir.path(), (0, 0)).unwrap(), expected, &mut notes) {
        Ok(system) => format!("{} {}.{}", system.ostype, system.version.0, system.version.1),
        Err(failure) => format!("refused: {}", failure.text),
    };
    let said = notes.iter().map(|note| match note {
        Note::Line(text) => format!(", {text}"),
        Note::Warning(text) => format!(", WARN: {text}"),
    });
    found + &said.collect::<String>()
}

#[test]
fn distributions_are_detected_as_pct_does() {
    let os = |text| ("etc/os-release", text);
    let debian = |text| ("etc/debian_version", text);
    for (files, expected) in [
        (
            &[os("NAME=x\nID=\"rocky\"\n"), ("etc/redhat-release", "Rocky Linux release 9.3 (Blue Onyx)\n")]
                [..],
            "centos 9.3",
        ),
        (&[os("ID='opensuse-leap'\nVERSION_ID='15.6'\n")], "opensuse 15.6"),
        (&[os("ID=opensuse-tumbleweed\nVERSION_ID=20250101\n")], "opensuse 20250101.0"),
        (&[os("ID='sles'\nVERSION_ID='12.5'\n")], "opensuse 12.5"),
        (
            &[
                ("usr/lib/os-release", "ID=ubuntu\n"),
                ("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=24.04\n"),
            ],
            "ubuntu 24.4",
        ),
        (
            &[os("ID=mint\n"), debian("trixie/sid\n")],
            "debian 13.0, unknown ID 'mint' in /etc/os-release file, trying fallback detection",
        ),
        (&[("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=16.04\n")], "ubuntu 16.4"),
        (&[os("ID=\"openEuler\"\nVERSION_ID=\"24.03\"\n")], "openeuler 24.3"),
        (&[os("ID=arch\n")], "archlinux 0.0"),
        (&[os("ID=alpine\n")], "alpine 0.0"),
        (&[os("ID=unmanaged\n")], "unmanaged 0.0"),
        (&[("nix/store/.keep", "")], "nixos 0.0"),
        (&[("etc/devuan_version", "Excalibur/Ceres\n")], "devuan 13.0"),
        (&[("etc/gentoo-release", "Gentoo Base System release 2.15\n")], "gentoo 0.0"),
        (&[os("ID=fedora\nVERSION_ID=41\n")], "fedora 41.0"),
        (&[debian("kali-rolling\n")], "debian 12.0"),
        (
            &[("bin/x", "")],
            "unmanaged 0.0, /etc/os-release file not found and autodetection failed, falling back to 'unmanaged'",
        ),
        (
            &[os("ID=\"istoreos\"\n")],
            "refused: unable to detect OS distribution, unknown ID 'istoreos' in /etc/os-release file, trying fallback \
             detection",
        ),
        (&[os("ID=debian\n")], "refused: unable to read version info"),
        (&[os("ID=ubuntu\n")], "refused: can't open '/etc/lsb-release' - No such file or directory"),
        (&[debian("testing\n")], "refused: unable to parse version info 'testing'"),
        (&[debian("3.1\n")], "refused: Container Debian version '3' is too old"),
        (&[("etc/devuan_version", "freia\n")], "refused: unsupported Devuan version 'freia'"),
        (&[("etc/redhat-release", "CentOS release 11\n")], "refused: unsupported centos version '11'"),
        (&[("etc/redhat-release", "CentOS release 11.0.1\n")], "refused: unsupported centos version '11.0'"),
        (&[("etc/redhat-release", "CentOS release 4.9\n")], "refused: unsupported centos version '4.9'"),
        (&[("etc/redhat-release", "Linux 7\n")], "refused: unable to parse centos version 'Linux 7'"),
        (&[os("ID=fedora\nVERSION_ID=21\n")], "refused: unsupported Fedora release '21'"),
        (&[os("ID=openeuler\nVERSION_ID=22\n")], "refused: unsupported openEuler release '22'"),
        (&[os("ID=opensuse\nVERSION_ID='13.3'\n")], "refused: unsupported suse release '13.3'"),
        (&[os("ID=opensuse\nVERSION_ID='12.5'\n")], "refused: unsupported suse release '12.5'"),
        (
            &[os("ID=opensuse\nVERSION_ID=20161231\n")],
            "refused: unsupported suse tumbleweed release '20161231'",
        ),
        (&[os("ID=opensuse\n")], "refused: unrecognized suse release"),
        (&[("etc/gentoo-release", "Gentoo 2\n")], "refused: unrecognized gentoo version: Gentoo 2"),
        (
            &[("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=15.11\n")],
            "refused: unsupported ancient Ubuntu version '15.11'",
        ),
    ] {
        assert_eq!(found(files, None), expected, "{files:?}");
    }
}

#[test]
fn versions_newer_than_tested_are_warned_of() {
    for line in ["99\n", "duke/sid\n"] {
        let version = if line == "99\n" { 99 } else { 15 };
        assert_eq!(
            found(&[("etc/debian_version", line)], None),
            format!(
                "debian {version}.0, WARN: The container's Debian version '{version}' is newer than the tested version \
                 '14'. While everything may work fine, full compatibility cannot be guaranteed. Please check for PVE \
                 system updates."
            )
        );
    }
    assert_eq!(
        found(&[("etc/lsb-release", "DISTRIB_ID=Ubuntu\nDISTRIB_RELEASE=27.04\n")], None),
        "ubuntu 27.4, WARN: The container's Ubuntu version '27.04' is not in the known version list. As it's newer than \
         the minimum supported version it's likely to work OK, but full compatibility cannot be guaranteed. Please check \
         for PVE system updates."
    );
    assert_eq!(found(&[("etc/debian_version", "14.3\n")], None), "debian 14.3");
}

#[test]
fn another_ostype_than_expected_is_noted_and_unmanaged_is_not_looked_at() {
    let alpine = [("etc/alpine-release", "3.20.3\n")];
    assert_eq!(found(&alpine, Some("debian")), "alpine 3.20, got unexpected ostype (alpine != debian)");
    assert_eq!(found(&alpine, Some("alpine")), "alpine 3.20");
    assert_eq!(found(&[("etc/os-release", "ID=istoreos\n")], Some("unmanaged")), "unmanaged 0.0");
    assert_eq!(
        found(&[("usr/lib/os-release", "ID=arch\n")], Some("debian")),
        "archlinux 0.0, WARNING: /etc not present in CT, is the rootfs mounted?, got unexpected ostype (archlinux != \
         debian)"
    );
}

#[test]
fn the_architecture_is_in_the_elf_header() {
    let dir = root(&[("bin/busybox", "")]);
    symlink("/bin/busybox", dir.path().join("bin/sh")).unwrap();
    let files = Rooted::open(dir.path(), (0, 0)).unwrap();
    let refused = |text: &str| Err(text.to_owned());
    assert_eq!(elf::architecture(&files, "debian"), refused("'/bin/sh' does not resolve to an ELF!"));
    for (class, machine, expected) in [
        (2, 62, Ok("amd64")),
        (2, 183, Ok("arm64")),
        (1, 40, Ok("armhf")),
        (1, 243, Ok("riscv32")),
        (2, 243, Ok("riscv64")),
        (2, 99, refused("'/bin/sh' has unknown ELF machine '99'!")),
    ] {
        let mut head = vec![0x7f, b'E', b'L', b'F', class, 1];
        head.resize(18, 0);
        head.extend([machine, 0, 1, 0]);
        fs::write(dir.path().join("bin/busybox"), head).unwrap();
        assert_eq!(elf::architecture(&files, "debian"), expected);
    }
    fs::remove_file(dir.path().join("bin/busybox")).unwrap();
    assert_eq!(
        elf::architecture(&files, "debian"),
        refused("open '/bin/sh' failed: No such file or directory")
    );
}

#[test]
fn nixos_tells_its_architecture_by_the_shell_of_its_init() {
    let elf = "\u{7f}ELF\u{2}\u{1}0000000000\0\0>\0";
    let dir = root(&[("sbin/init", "#! /nix/store/x/bin/bash -e\n"), ("nix/store/x/bin/bash", elf)]);
    let files = Rooted::open(dir.path(), (0, 0)).unwrap();
    assert_eq!(elf::architecture(&files, "nixos"), Ok("amd64"));
    fs::write(dir.path().join("sbin/init"), "x").unwrap();
    assert_eq!(elf::architecture(&files, "nixos"), Err("could not find a shell".to_owned()));
}

#[test]
fn a_new_systemd_wants_nesting_and_an_old_one_other_cgroups() {
    let warning = |text: &str| Some(Note::Warning(text.to_owned()));
    let old = warning(
        "old systemd (< v232) detected, container won't run in a pure cgroupv2 environment! Please see documentation \
         -> container -> cgroup version.",
    );
    for (library, nesting, cgroup2) in [
        (
            "\0libsystemd-shared-257.so\0",
            warning("Systemd 257 detected. You may need to enable nesting."),
            None,
        ),
        (
            "\0libsystemd-shared-242.so\0",
            warning("Systemd 242 detected. You may need to enable nesting."),
            None,
        ),
        ("\0libsystemd-shared-241.so\0", None, None),
        ("\0libsystemd-shared-231.so\0", None, old.clone()),
        ("", None, old),
    ] {
        let dir = root(&[
            ("etc/debian_version", "13.0\n"),
            ("usr/lib/systemd/systemd", library),
            ("usr/sbin/x", ""),
        ]);
        symlink("usr/sbin", dir.path().join("sbin")).unwrap();
        symlink("../lib/systemd/systemd", dir.path().join("usr/sbin/init")).unwrap();
        let plain = config(&[]);
        let plain = guest(dir.path(), &plain);
        assert_eq!(init::check_nesting(&plain), nesting);
        assert_eq!(init::check_cgroup2(&plain), cgroup2);
        let nesting = config(&[("features", "nesting=1")]);
        assert_eq!(init::check_nesting(&guest(dir.path(), &nesting)), None);
        let unmanaged = config(&[("ostype", "unmanaged")]);
        assert_eq!(init::check_nesting(&guest(dir.path(), &unmanaged)), None);
        assert_eq!(init::check_cgroup2(&guest(dir.path(), &unmanaged)), None);
    }
    let dir = root(&[("etc/debian_version", "13.0\n"), ("sbin/init", "\0libsystemd-shared-257.so\0")]);
    let config = config(&[]);
    assert_eq!(init::check_nesting(&guest(dir.path(), &config)), None, "another init");
}

#[test]
fn a_time_zone_that_is_not_there_is_said() {
    let dir = root(&[("etc/debian_version", "12.5\n"), ("usr/share/zoneinfo/UTC", "")]);
    let there = config(&[("timezone", "UTC")]);
    assert_eq!(init::set_timezone(&guest(dir.path(), &there)).unwrap(), None);
    assert_eq!(
        fs::read_link(dir.path().join("etc/localtime")).unwrap(),
        Path::new("/usr/share/zoneinfo/UTC")
    );
    let elsewhere = config(&[("timezone", "Europe/Berlin")]);
    let text = "container does not have /usr/share/zoneinfo/Europe/Berlin, timezone can not be modified";
    let notes = guest(dir.path(), &elsewhere).each_start(&HostDns::default()).unwrap();
    assert_eq!(notes, [Note::Line(text.to_owned())]);
}

#[test]
fn nothing_is_written_into_an_unmanaged_container() {
    let files = [("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"), ("root/x", ""), ("etc/ssh/x", "")];
    let dir = root(&files);
    let config = config(&[("ostype", "unmanaged")]);
    let work = Work::First {
        password: Some("$5$salt$hash".to_owned()),
        ssh_keys: Some("ssh-ed25519 AAAA me".to_owned()),
        dns: HostDns::default(),
    };
    let done = Job::new("202".parse().unwrap(), &config, work)
        .perform(Rooted::open(dir.path(), (0, 0)).unwrap())
        .unwrap();
    let text = "ostype is 'unmanaged': no password and no SSH keys are set in the container";
    assert_eq!(done, Done::Written { notes: vec![Note::Line(text.to_owned())], host_keys: false });
    assert_eq!(fs::read_to_string(dir.path().join("etc/passwd")).unwrap(), files[0].1);
    assert!(!dir.path().join("root/.ssh").exists() && !dir.path().join("etc/hostname").exists());
}

#[test]
fn the_key_of_a_template_is_no_containers() {
    let key = "etc/ssl/private/ssl-cert-snakeoil.key";
    let unit = "etc/systemd/system/proxmox-regenerate-snakeoil.service";
    let config = config(&[]);
    for (has_systemd, said) in [
        (
            true,
            &["Setting up 'proxmox-regenerate-snakeoil.service' to regenerate snakeoil certificate.."][..],
        ),
        (
            false,
            &[
                "Template contains pre-generated snakeoil certificate!",
                "Run `make-ssl-cert generate-default-snakeoil -f` to regenerate it!",
            ],
        ),
    ] {
        let dir = root(&[("etc/debian_version", "12.5\n"), (key, "secret"), ("sbin/other", "")]);
        if has_systemd {
            symlink("/lib/systemd/systemd", dir.path().join("sbin/init")).unwrap();
        }
        let guest = guest(dir.path(), &config);
        let notes: Vec<Note> = said.iter().map(|text| Note::Line((*text).to_owned())).collect();
        assert_eq!(snakeoil::replace(&guest).unwrap(), notes);
        assert!(!dir.path().join(key).exists());
        assert_eq!(dir.path().join(unit).is_file(), has_systemd);
        let link = dir.path().join("etc/systemd/system/first-boot-complete.target.wants");
        assert_eq!(link.join("proxmox-regenerate-snakeoil.service").is_symlink(), has_systemd);
        assert_eq!(snakeoil::replace(&guest).unwrap(), []);
    }
    let dir = root(&[("etc/alpine-release", "3.20.3\n"), (key, "secret")]);
    assert_eq!(snakeoil::replace(&guest(dir.path(), &config)).unwrap(), []);
    assert!(dir.path().join(key).exists());
}
