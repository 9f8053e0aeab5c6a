//! The schemas of the property strings.

use super::Kind::{Boolean, Integer, Number, Text};
use super::{Format, Kind};

/// One key of a property string.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Property {
    /// The key.
    pub name: &'static str,
    /// The type of its value.
    pub kind: Kind,
    /// Must be there.
    pub required: bool,
    /// What help prints for the value, such as `<DiskSize>`, without brackets.
    pub placeholder: &'static str,
}

/// The keys of one kind of property string.
#[derive(Debug, PartialEq)]
pub struct PropertySchema {
    /// The key that a bare value is for.
    pub default_key: Option<&'static str>,
    /// The keys, sorted by name.
    pub properties: &'static [Property],
}

impl PropertySchema {
    /// Finds a key.
    pub fn property(&self, name: &str) -> Option<&'static Property> {
        self.properties.iter().find(|property| property.name == name)
    }
}

const fn key(name: &'static str, kind: Kind, placeholder: &'static str) -> Property {
    Property { name, kind, required: false, placeholder }
}
const fn required(name: &'static str, kind: Kind, placeholder: &'static str) -> Property {
    Property { name, kind, required: true, placeholder }
}
const fn switch(name: &'static str) -> Property {
    key(name, Boolean, "1|0")
}

const ACL: Property = switch("acl");
const IDMAP: Property = key(
    "idmap",
    Text(Format::MountIdmap),
    "type:container:disk:range-size[;type:container:disk:range-size;...]",
);
const MOUNTOPTIONS: Property = key("mountoptions", Text(Format::MountOptions), "opt[;opt...]");
const QUOTA: Property = switch("quota");
const REPLICATE: Property = switch("replicate");
const RO: Property = switch("ro");
const SHARED: Property = switch("shared");
const SIZE: Property = key("size", Text(Format::DiskSize), "DiskSize");
const VOLUME: Property = required("volume", Text(Format::MountString), "volume");

/// `rootfs`.
pub static ROOTFS: PropertySchema = PropertySchema {
    default_key: Some("volume"),
    properties: &[ACL, IDMAP, MOUNTOPTIONS, QUOTA, REPLICATE, RO, SHARED, SIZE, VOLUME],
};

/// `mp[n]`.
pub static MOUNT_POINT: PropertySchema = PropertySchema {
    default_key: Some("volume"),
    properties: &[
        ACL,
        switch("backup"),
        IDMAP,
        switch("keepattrs"),
        MOUNTOPTIONS,
        required("mp", Text(Format::MountString), "Path"),
        QUOTA,
        REPLICATE,
        RO,
        SHARED,
        SIZE,
        VOLUME,
    ],
};

/// `unused[n]`.
pub static UNUSED: PropertySchema = PropertySchema {
    default_key: Some("volume"),
    properties: &[required("volume", Text(Format::VolumeId), "volume")],
};

/// `net[n]`.
pub static NET: PropertySchema = PropertySchema {
    default_key: None,
    properties: &[
        key("bridge", Text(Format::BridgeId), "bridge"),
        switch("firewall"),
        key("gw", Text(Format::Ipv4), "GatewayIPv4"),
        key("gw6", Text(Format::Ipv6), "GatewayIPv6"),
        switch("host-managed"),
        key("hwaddr", Text(Format::MacAddress), "XX:XX:XX:XX:XX:XX"),
        key("ip", Text(Format::Ipv4Config), "(IPv4/CIDR|dhcp|manual)"),
        key("ip6", Text(Format::Ipv6Config), "(IPv6/CIDR|auto|dhcp|manual)"),
        switch("link_down"),
        key("mtu", Integer { min: Some(64), max: Some(65535) }, "integer"),
        required("name", Text(Format::BridgeId), "string"),
        key("rate", Number { min: None, max: None }, "mbps"),
        key("tag", Integer { min: Some(1), max: Some(4094) }, "integer"),
        key("trunks", Text(Format::Trunks), "vlanid[;vlanid...]"),
        key("type", Kind::Enum(&["veth"]), "veth"),
    ],
};

/// `features`.
pub static FEATURES: PropertySchema = PropertySchema {
    default_key: None,
    properties: &[
        switch("force_rw_sys"),
        switch("fuse"),
        switch("keyctl"),
        switch("mknod"),
        key("mount", Text(Format::FsTypes), "fstype;fstype;..."),
        switch("nesting"),
    ],
};

/// `dev[n]`.
pub static DEV: PropertySchema = PropertySchema {
    default_key: Some("path"),
    properties: &[
        switch("deny-write"),
        key("gid", Integer { min: Some(0), max: None }, "integer"),
        key("mode", Text(Format::OctalMode), "Octal access mode"),
        key("path", Text(Format::DevicePath), "Path"),
        key("uid", Integer { min: Some(0), max: None }, "integer"),
    ],
};

/// `remote-migrate`'s endpoint.
pub static REMOTE: PropertySchema = PropertySchema {
    default_key: None,
    properties: &[
        required("apitoken", Text(Format::Any), "PVEAPIToken=user@realm!token=SECRET"),
        key("fingerprint", Text(Format::Fingerprint), "fingerprint"),
        required("host", Text(Format::Address), "address"),
        key("port", Integer { min: Some(1), max: Some(65535) }, "integer"),
    ],
};
