use super::*;
use crate::schema::properties::{DEV, FEATURES, MOUNT_POINT, NET, REMOTE, ROOTFS, UNUSED};
use crate::size::DiskSize;

fn words(schema: &PropertySchema, text: &str) -> Vec<String> {
    let found = parse(schema, "x", text).unwrap_err();
    found.iter().map(Violation::pct_text).collect()
}

#[test]
fn strings_that_cannot_be_split() {
    for (schema, text, pct) in [
        (&NET, "name=a,bogus", "value without key, but schema does not define a default key"),
        (&NET, "name=a,name=b", "duplicate key in comma-separated list property: name"),
        (&NET, "name=a,x=1,x=2", "duplicate key in comma-separated list property: x"),
        (&NET, "name=", "missing key in comma-separated list property"),
        (&NET, "=a", "missing key in comma-separated list property"),
        (&ROOTFS, "a:1,b:2", "duplicate key in comma-separated list property: volume"),
        (&ROOTFS, "volume=a:1,b:2", "duplicate key in comma-separated list property: volume"),
    ] {
        assert_eq!(words(schema, text), [format!("x: invalid format - {pct}")], "{text}");
    }
}

#[test]
fn values_that_break_the_schema_come_in_the_order_of_the_keys() {
    assert_eq!(
        words(&NET, "bogus=1,tag=0,mtu=a,firewall=maybe,type=phys,trunks=1;x,gw=1"),
        [
            "x: invalid format - format error",
            "x.firewall: type check ('boolean') failed - got 'maybe'",
            "x.gw: invalid format - value does not look like a valid IPv4 address",
            "x.mtu: type check ('integer') failed - got 'a'",
            "x.name: property is missing and it is not optional",
            "x.tag: value must have a minimum value of 1",
            "x.trunks: value does not match the regex pattern",
            "x.type: value 'phys' does not have a value in the enumeration 'veth'",
            "x.bogus: property is not defined in schema and the schema does not allow additional properties",
        ]
    );
    for (schema, text, pct) in [
        (&ROOTFS, "/a/../b", "x.volume: invalid format - /a/../b contains illegal character sequences"),
        (&ROOTFS, "a:1,size=5X", "x.size: invalid format - value does not look like a valid disk size: 5X"),
        (&ROOTFS, "a:1,mountoptions=noatime;bind", "x.mountoptions: value does not match the regex pattern"),
        (&ROOTFS, "a:1,idmap=u:0:0:0", "x.idmap: value does not match the regex pattern"),
        (&ROOTFS, "", "x.volume: property is missing and it is not optional"),
        (&UNUSED, "vm-1-disk-0", "x.volume: invalid format - unable to parse volume ID 'vm-1-disk-0'"),
        (&DEV, "/dev/a,mode=660", "x.mode: value does not match the regex pattern"),
        (&DEV, "/dev/a,uid=-1", "x.uid: value must have a minimum value of 0"),
        (&DEV, "/dev/../etc", "x.path: invalid format - /dev/../etc is not a valid device path"),
        (&FEATURES, "mount=nfs/4", "x.mount: value does not match the regex pattern"),
        (
            &REMOTE,
            "apitoken=t,host=a b",
            "x.host: invalid format - value does not look like a valid address: a b",
        ),
    ] {
        assert_eq!(words(schema, text), ["x: invalid format - format error", pct], "{text}");
    }
}

#[test]
fn strings_are_printed_in_proxmoxs_order() {
    for (schema, text, printed) in [
        (
            &NET,
            "type=veth,ip=10.0.0.2/24,hwaddr=BC:24:11:AA:BB:02,gw=10.0.0.1,bridge=vmbr0,name=eth0",
            "name=eth0,bridge=vmbr0,gw=10.0.0.1,hwaddr=BC:24:11:AA:BB:02,ip=10.0.0.2/24,type=veth",
        ),
        (
            &MOUNT_POINT,
            "size=8192M,ro=off,backup=Yes,mp=/data,local:102/vm-102-disk-1.raw",
            "local:102/vm-102-disk-1.raw,mp=/data,backup=1,ro=0,size=8G",
        ),
        (&MOUNT_POINT, "volume=/srv,mp=/srv", "/srv,mp=/srv"),
        (&DEV, " ,path=/dev/fuse,,mode=0660,", "/dev/fuse,mode=0660"),
        (&FEATURES, "nesting=1,mount=nfs;cifs,keyctl=true", "keyctl=1,mount=nfs;cifs,nesting=1"),
        (&FEATURES, "", ""),
    ] {
        let pairs = parse(schema, "x", text).unwrap();
        assert_eq!(print(schema, &pairs), printed);
        assert_eq!(print(schema, &parse(schema, "x", printed).unwrap()), printed);
    }
}

#[test]
fn an_update_keeps_the_spelling_of_the_rest() {
    let text = "name=eth0,bridge=vmbr0,firewall=0,ip6=2001:DB8::0:1/64";
    let changes = [("hwaddr", Some("BC:24:11:4B:99:7C")), ("type", Some("veth")), ("bridge", None)];
    assert_eq!(
        update(&NET, "net0", text, &changes).unwrap(),
        "name=eth0,firewall=0,hwaddr=BC:24:11:4B:99:7C,ip6=2001:DB8::0:1/64,type=veth"
    );
    let found = update(&NET, "net0", text, &[("hwaddr", Some("zz"))]).unwrap_err();
    assert_eq!(
        found[0].pct_text(),
        "net0.hwaddr: invalid format - value does not look like a valid unicast MAC address"
    );
}

#[test]
fn interfaces_are_typed() {
    let text = "name=eth0,bridge=vmbr0,gw=10.10.10.1,hwaddr=BC:24:11:4B:99:7C,ip=10.10.10.11/24,type=veth";
    let net = NetInterface::parse("net0", text).unwrap();
    assert_eq!(net.ip, Some(Ipv4Config::Static("10.10.10.11".parse().unwrap(), 24)));
    assert_eq!((net.bridge.as_deref(), net.firewall, net.mtu), (Some("vmbr0"), false, None));
    assert_eq!(net.to_string(), text);
    let text = "name=eth1,bridge=vmbr1,firewall=0,gw6=fe80::1,host-managed=1,ip=dhcp,ip6=auto,link_down=1,mtu=1500,\
                rate=1.5,tag=7,trunks=1;2,type=veth";
    let net = NetInterface::parse("net1", text).unwrap();
    assert_eq!(net.to_string(), text);
    assert_eq!(
        (net.trunks.as_slice(), net.tag, net.written.as_slice()),
        (&[1, 2][..], Some(7), &["firewall"][..])
    );
    let found = NetInterface::parse("net0", "name=eth0,trunks=99999").unwrap_err();
    assert_eq!(found[0].pct_text(), "net0.trunks: value does not match the regex pattern");
}

#[test]
fn mount_points_are_typed() {
    let text = "local:101/vm-101-disk-0.raw,mp=/data,acl=1,backup=0,idmap=u:1:2:3;g:4:5:6,\
                mountoptions=noatime;nodev,quota=1,replicate=0,ro=1,shared=0,size=8G";
    let mount_point = MountPoint::parse("mp0", text).unwrap();
    assert_eq!(mount_point.to_string(), text);
    assert_eq!(mount_point.fs.mount_options, ["noatime", "nodev"]);
    assert_eq!(mount_point.fs.size, Some(DiskSize(8 << 30)));
    let maps = mount_point.fs.idmap_entries().unwrap();
    assert_eq!(maps[1], MountIdmap { user: false, container: 4, disk: 5, count: 6 });
    assert!(!mount_point.fs.replicate && mount_point.fs.read_only && !mount_point.backup);
    let rootfs = RootFs::parse("/srv/root,replicate=1").unwrap();
    assert_eq!(rootfs.to_string(), "/srv/root,replicate=1");
    assert_eq!(RootFs::new(rootfs.source).to_string(), "/srv/root");
}

#[test]
fn sources_are_classified() {
    let allocate = |storage: &str, size: u64| MountSource::Allocate {
        storage: storage.to_owned(),
        size: DiskSize(size),
    };
    for (text, source) in [
        ("local:4", allocate("local", 4 << 30)),
        ("local:0.5", allocate("local", 512 << 20)),
        ("local:0", allocate("local", 0)),
        ("local:101/vm-101-disk-0.raw", MountSource::Volume("local:101/vm-101-disk-0.raw".to_owned())),
        ("local:abc", MountSource::Volume("local:abc".to_owned())),
        ("local:4:5", MountSource::Volume("local:4:5".to_owned())),
        ("bogus", MountSource::Volume("bogus".to_owned())),
        ("/dev/sda", MountSource::Device("/dev/sda".to_owned())),
        ("/devices", MountSource::Bind("/devices".to_owned())),
    ] {
        assert_eq!(MountSource::classify(text), source);
        assert_eq!(source.to_string(), text);
    }
}

#[test]
fn devices_and_features_are_typed() {
    let device = DeviceEntry::parse("dev0", "path=/dev/fuse,uid=1000,mode=0660,deny-write=0").unwrap();
    assert_eq!((device.uid, device.gid, device.mode), (Some(1000), None, Some(0o660)));
    assert_eq!(device.to_string(), "/dev/fuse,deny-write=0,mode=0660,uid=1000");
    let found = DeviceEntry::parse("dev0", "uid=1").unwrap_err();
    assert_eq!(found[0].pct_text(), "dev0.path: property is missing and it is not optional");
    let features = Features::parse("nesting=1,mount=nfs; cifs,fuse=0").unwrap();
    assert!(features.nesting && !features.fuse);
    assert_eq!(features.mount, ["nfs", "cifs"]);
    assert_eq!(features.to_string(), "fuse=0,mount=nfs;cifs,nesting=1");
}

#[test]
fn what_is_printed_means_what_was_parsed() {
    let odd = "volume=\u{10};c\u{7ff}olume=\u{10};c\u{7ff}\u{10};";
    if let Ok(mount) = RootFs::parse(odd) {
        assert_eq!(RootFs::parse(&mount.to_string()).unwrap().source, mount.source);
    }
}
