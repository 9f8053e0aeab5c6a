//! What formats take and refuse, in pct's words.

use super::*;
use crate::schema::Violation;

fn words(format: Format, text: &str) -> Option<String> {
    let reason = format.check(text).err()?;
    Some(Violation::option("x", reason).pct_text())
}

#[test]
fn every_format_takes_what_pct_takes() {
    let fingerprint = ["AB"; 32].join(":");
    for (format, texts) in [
        (Format::Any, &["", "\0\n"][..]),
        (Format::Vmid, &["100", "999999999"]),
        (Format::Node, &["a", "pve-1"]),
        (Format::StorageId, &["ab", "local-lvm", "a.b_c9"]),
        (Format::BridgeId, &["vmbr0", "eth0.100", "-"]),
        (Format::VolumeId, &["local:x", "local:iso/a b"]),
        (Format::SnapshotName, &["ab", "A_-9"]),
        (Format::PoolId, &["a", "a/b/c"]),
        (Format::Tag, &["a", "_a", "9.b+c-d"]),
        (Format::DnsName, &["a", "a.b-c.9"]),
        (Format::Ipv4, &["0.0.0.0", "255.255.255.255"]),
        (Format::Ipv6, &["::", "2001:DB8::1", "::1.2.3.4", "1:2:3:4:5:6:7::"]),
        (Format::Ipv4Config, &["dhcp", "manual", "10.0.0.1/8", "10.0.0.1/032"]),
        (Format::Ipv6Config, &["auto", "dhcp", "manual", "fe80::1/128"]),
        (Format::IpWithInterface, &["1.1.1.1", "fe80::1", "fe80::1%eth0", "fe80::1%eth0.5"]),
        (Format::Address, &["1.1.1.1", "pve.example.com"]),
        (Format::MacAddress, &["BC:24:11:00:00:01", "02:ff:ff:ff:ff:ff"]),
        (Format::ResizeSize, &["+1G", "1.5T", "1000", "+0"]),
        (Format::TimeZone, &["host", "UTC", "Europe/Vienna", "America/Argentina/Buenos_Aires"]),
        (Format::MountString, &["/a/b", "local:1/x", "./a", "/..a", ""]),
        (Format::MountOptions, &["noatime", "nodev;nosuid"]),
        (Format::MountIdmap, &["passthrough", "u:0:0:1;g:1:2:3"]),
        (Format::DevicePath, &["/dev/net/tun", "/dev/"]),
        (Format::Trunks, &["1", "1;99999"]),
        (Format::FsTypes, &["nfs;cifs", "ext4 xfs"]),
        (Format::OctalMode, &["0660"]),
        (Format::Fingerprint, &[fingerprint.as_str()]),
        (Format::StorageMap, &["1", "local", "local:other"]),
        (Format::BridgeMap, &["1", "vmbr0:vmbr1"]),
        (Format::EscapeChar, &["a", "^a"]),
        (Format::Entrypoint, &["/bin/sh -c 'a\tb'"]),
        (Format::Environment, &["A=", "A=1\0B=x y"]),
    ] {
        for text in texts {
            assert_eq!(words(format, text), None, "{format:?} {text:?}");
        }
    }
}

#[test]
fn what_breaks_a_pattern() {
    for (format, texts) in [
        (Format::BridgeId, &["", "a b", "a/b"][..]),
        (Format::ResizeSize, &["", "-1G", "1g", "1GiB", "+", "1.G"]),
        (Format::MountOptions, &["", "noatime;", "bind"]),
        (Format::MountIdmap, &["", "u:0:0:0", "x:0:0:1", "u:0:0", "passthrough;u:0:0:1", "u:-1:0:1"]),
        (Format::Trunks, &["", "1;", "a"]),
        (Format::FsTypes, &["", "nfs,cifs"]),
        (Format::OctalMode, &["660", "00660", "0999"]),
        (Format::Fingerprint, &["AB:CD"]),
        (Format::EscapeChar, &["", "A", "ab", "^"]),
        (Format::Entrypoint, &["", "a\nb", "a\u{7f}", "a\u{9b}b"]),
        (Format::Environment, &["", "A", "=1", "A=1\0", "A-B=1", "A=\u{1}", "A=\u{80}", "A=\u{9f}"]),
    ] {
        for text in texts {
            let expected = Some("x: value does not match the regex pattern".to_owned());
            assert_eq!(words(format, text), expected, "{format:?} {text:?}");
        }
    }
}

#[test]
fn what_breaks_a_format_and_pcts_words_for_it() {
    for (format, text, pct) in [
        (Format::Vmid, "99", "value does not look like a valid VM ID"),
        (Format::Node, "-a", "value does not look like a valid node name"),
        (Format::StorageId, "l", "storage ID 'l' cannot be shorter than 2 characters"),
        (Format::StorageId, "a/b", "storage ID 'a/b' contains illegal characters"),
        (Format::VolumeId, "local:", "unable to parse volume ID 'local:'"),
        (Format::ConfigId, "9a", "invalid configuration ID '9a'"),
        (Format::PoolId, "a/b/c/d", "pool name 'a/b/c/d' nested too deeply (max levels = 3)"),
        (Format::PoolId, "a b", "pool name 'a b' contains invalid characters"),
        (Format::DnsName, "a.", "value does not look like a valid DNS name"),
        (Format::Ipv4, "01.1.1.1", "value does not look like a valid IPv4 address"),
        (Format::Ipv6, "1.1.1.1", "value does not look like a valid IPv6 address"),
        (Format::Ipv4Config, "10.0.0.1/7", "value does not look like a valid ipv4 network configuration"),
        (Format::Ipv6Config, "::1/129", "value does not look like a valid ipv6 network configuration"),
        (Format::IpWithInterface, "2001:db8::1%eth0", "value does not look like a valid IP address"),
        (Format::Address, "a_b", "value does not look like a valid address: a_b"),
        (Format::MacAddress, "BD:24:11:00:00:01", "value does not look like a valid unicast MAC address"),
        (Format::DiskSize, "4g", "value does not look like a valid disk size: 4g"),
        (Format::TimeZone, "Europe/../x", "invalid time zone 'Europe/../x'"),
        (Format::MountString, "/a/..", "/a/.. contains illegal character sequences"),
        (Format::DevicePath, "/dev/./x", "/dev/./x is not a valid device path"),
        (
            Format::StorageMap,
            "a:b",
            "entry 'a:b' contains invalid ID - storage ID 'a' cannot be shorter than 2 characters",
        ),
        (Format::BridgeMap, "a b", "entry 'a b' contains invalid ID - invalid bridge ID 'a b'"),
    ] {
        assert_eq!(words(format, text), Some(format!("x: invalid format - {pct}")), "{format:?} {text:?}");
    }
}

#[test]
fn lists_are_split_at_nul_alone_or_at_everything() {
    assert_eq!(split_list(" a,b;;c\td\n"), ["a", "b", "c", "d"]);
    assert_eq!(split_list("a b\0c,d\0"), ["a b", "c,d"]);
    assert!(split_list(" ,;").is_empty());
}
