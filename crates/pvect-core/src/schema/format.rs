//! Text formats: what a value must look like. Each check is a pure function on text.

/// The format of a text value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Any text.
    Any,
    /// The path of a file that pct reads.
    FilePath,
    /// `pve-vmid`.
    Vmid,
    /// `pve-node`.
    Node,
    /// `pve-storage-id`.
    StorageId,
    /// `pve-bridge-id`, also an interface's name.
    BridgeId,
    /// `pve-volume-id`.
    VolumeId,
    /// `pve-configid`.
    ConfigId,
    /// `pve-configid` of at most 40 characters.
    SnapshotName,
    /// `pve-poolid`.
    PoolId,
    /// `pve-tag`.
    Tag,
    /// `dns-name`.
    DnsName,
    /// `ipv4`.
    Ipv4,
    /// `ipv6`.
    Ipv6,
    /// `pve-ipv4-config`: dhcp, manual or IPv4/8..32.
    Ipv4Config,
    /// `pve-ipv6-config`: auto, dhcp, manual or IPv6/8..128.
    Ipv6Config,
    /// An address, link-local ones with `%interface`.
    IpWithInterface,
    /// An address or host name.
    Address,
    /// `mac-addr`, unicast.
    MacAddress,
    /// `disk-size`.
    DiskSize,
    /// A size of `resize`: digits, a suffix K, M, G or T, `+` before it to add.
    ResizeSize,
    /// A zone of zone.tab, `host` or `UTC`. The shape is checked here, the list where it can be read.
    TimeZone,
    /// `pve-lxc-mp-string`: no `.` or `..` step.
    MountString,
    /// Mount options joined with `;`.
    MountOptions,
    /// An id map of a mount point.
    MountIdmap,
    /// A path below /dev.
    DevicePath,
    /// VLAN ids joined with `;`.
    Trunks,
    /// File system types joined with `;` or blanks.
    FsTypes,
    /// `0` and three octal digits.
    OctalMode,
    /// `[[order=]N][,up=N][,down=N]`.
    Startup,
    /// A SHA-1 in hex, at most 40 characters.
    Digest,
    /// A SHA-256 fingerprint, 32 pairs of hex digits joined with `:`.
    Fingerprint,
    /// `SOURCE:TARGET`, `TARGET` or `1`.
    StorageMap,
    /// `SOURCE:TARGET`, `TARGET` or `1`.
    BridgeMap,
    /// A letter, or `^` and a letter.
    EscapeChar,
    /// A command line without control characters (tab is allowed).
    Entrypoint,
    /// `NAME=value` entries separated by NUL, without other control characters.
    Environment,
}

/// Checks `pve-node`.
pub fn is_node(text: &str) -> bool {
    is_label(text)
}

/// Checks `pve-storage-id`.
pub fn is_storage_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 2
        && bytes[0].is_ascii_alphabetic()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// Checks `pve-configid`: at least two characters.
pub fn is_config_id(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.len() >= 2
        && bytes[0].is_ascii_alphabetic()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b))
}

/// Checks `pve-volume-id`: a storage's name, a colon, something.
pub fn is_volume_id(text: &str) -> bool {
    text.split_once(':').is_some_and(|(storage, volume)| is_storage_id(storage) && !volume.is_empty())
}

/// Checks one label of a DNS name.
pub fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes[0].is_ascii_alphanumeric()
        && bytes[bytes.len() - 1].is_ascii_alphanumeric()
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}
