//! Text formats: what a value must look like. Each check is a pure function on text.

use super::Reason;
use crate::shape;
pub use crate::shape::{is_config_id, is_label, is_node, is_storage_id, is_volume_id};

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
    /// A zone of zone.tab, `host` or `UTC`. Only the shape is checked here; the list is checked where it can be read.
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

/// What is wrong with a text: pct's words after `invalid format - `, or that it does not match the pattern.
enum Broken {
    Words(String),
    Pattern,
}

impl Format {
    /// Checks a text.
    ///
    /// The words of pct come from pve-common's `PVE::JSONSchema` and the formats of pve-container and pve-storage. Only
    /// the text itself is checked, so for a time zone only its shape.
    ///
    /// # Errors
    /// The reason, with the text in it.
    pub fn check(self, text: &str) -> Result<(), Reason> {
        let Some(broken) = self.broken(text) else { return Ok(()) };
        let (allowed, value) = (self.allowed().to_owned(), text.to_owned());
        Err(match broken {
            Broken::Words(pct) => Reason::Format { pct, allowed, value },
            Broken::Pattern => Reason::Pattern { allowed, value },
        })
    }

    /// Returns the longest length in characters that the format itself sets.
    pub const fn max_length(self) -> Option<usize> {
        match self {
            Self::SnapshotName | Self::Digest => Some(40),
            _ => None,
        }
    }

    fn broken(self, text: &str) -> Option<Broken> {
        match self {
            Self::Any | Self::FilePath | Self::Digest => None,
            Self::StorageId => id_words("storage", text).map(Broken::Words),
            Self::PoolId => pool_words(text).map(Broken::Words),
            Self::StorageMap => map_words(text, |id| id_words("storage", id)).map(Broken::Words),
            Self::BridgeMap => map_words(text, bridge_words).map(Broken::Words),
            other => other.broken_by_shape(text),
        }
    }

    /// The formats with one shape and one message.
    fn broken_by_shape(self, text: &str) -> Option<Broken> {
        let words = |text: &str| Some(Broken::Words(text.to_owned()));
        let look = |what: &str| words(&format!("value does not look like a valid {what}"));
        if self.shape_fits(text) {
            return None;
        }
        match self {
            Self::Vmid => look("VM ID"),
            Self::Node => look("node name"),
            Self::VolumeId => words(&format!("unable to parse volume ID '{text}'")),
            Self::ConfigId | Self::SnapshotName => words(&format!("invalid configuration ID '{text}'")),
            Self::Tag => words("invalid characters in tag"),
            Self::DnsName => look("DNS name"),
            Self::Ipv4 => look("IPv4 address"),
            Self::Ipv6 => look("IPv6 address"),
            Self::Ipv4Config => look("ipv4 network configuration"),
            Self::Ipv6Config => look("ipv6 network configuration"),
            Self::IpWithInterface => look("IP address"),
            Self::Address => look(&format!("address: {text}")),
            Self::MacAddress => look("unicast MAC address"),
            Self::DiskSize => look(&format!("disk size: {text}")),
            Self::TimeZone => words(&format!("invalid time zone '{text}'")),
            Self::MountString => words(&format!("{text} contains illegal character sequences")),
            Self::DevicePath => words(&format!("{text} is not a valid device path")),
            Self::Startup => words("unable to parse startup options"),
            _ => Some(Broken::Pattern),
        }
    }

    fn shape_fits(self, text: &str) -> bool {
        match self {
            Self::Vmid => text.parse::<crate::Vmid>().is_ok(),
            Self::Node => is_node(text),
            Self::BridgeId => shape::is_bridge_id(text),
            Self::VolumeId => is_volume_id(text),
            Self::ConfigId | Self::SnapshotName => is_config_id(text),
            Self::Tag => shape::is_tag(text),
            Self::DnsName => shape::is_dns_name(text),
            Self::Ipv4 => text.parse::<std::net::Ipv4Addr>().is_ok(),
            Self::Ipv6 => text.parse::<std::net::Ipv6Addr>().is_ok(),
            Self::Ipv4Config => matches!(text, "dhcp" | "manual") || shape::ipv4_cidr(text).is_some(),
            Self::Ipv6Config => {
                matches!(text, "auto" | "dhcp" | "manual") || shape::ipv6_cidr(text).is_some()
            }
            Self::IpWithInterface => shape::is_ip_with_interface(text),
            Self::Address => shape::is_ip(text) || shape::is_dns_name(text),
            Self::MacAddress => shape::is_unicast_mac(text),
            Self::DiskSize => crate::size::DiskSize::parse(text).is_some(),
            Self::ResizeSize => shape::is_resize_size(text),
            Self::TimeZone => shape::is_time_zone(text),
            Self::MountString => shape::is_mount_string(text),
            Self::MountOptions => text.split(';').all(|option| shape::MOUNT_OPTIONS.contains(&option)),
            Self::MountIdmap => shape::is_mount_idmap(text),
            Self::DevicePath => shape::is_device_path(text),
            Self::Trunks => text.split(';').all(shape::is_digits),
            Self::FsTypes => shape::is_fs_types(text),
            Self::OctalMode => shape::is_octal_mode(text),
            Self::Startup => shape::startup(text).is_some(),
            Self::Fingerprint => shape::is_fingerprint(text),
            Self::EscapeChar => shape::is_escape_char(text),
            Self::Entrypoint => shape::is_entrypoint(text),
            Self::Environment => text.split('\0').all(shape::is_environment_entry),
            Self::Any
            | Self::FilePath
            | Self::Digest
            | Self::StorageId
            | Self::PoolId
            | Self::StorageMap
            | Self::BridgeMap => true,
        }
    }

    /// Returns what is allowed, in pvect's words.
    pub const fn allowed(self) -> &'static str {
        match self {
            Self::Any => "any text",
            Self::FilePath => "the path of a file",
            Self::Vmid => "a whole number from 100 to 999999999",
            Self::Node => "a node's name: letters, digits and inner hyphens",
            Self::StorageId => {
                "a storage's name: two characters or more, letters, digits, '-', '_' and '.', a letter first"
            }
            Self::BridgeId => "letters, digits, '-', '_' and '.'",
            Self::VolumeId => "STORAGE:VOLUME",
            Self::ConfigId => "two characters or more: a letter, then letters, digits, '-' and '_'",
            Self::SnapshotName => "2 to 40 characters: a letter, then letters, digits, '-' and '_'",
            Self::PoolId => "a pool's name: letters, digits, '-', '_' and '.', at most two '/'",
            Self::Tag => "a tag: a letter, digit or '_', then also '-', '+' and '.'",
            Self::DnsName => "a DNS name: labels of letters, digits and inner hyphens, joined with '.'",
            Self::Ipv4 => "an IPv4 address",
            Self::Ipv6 => "an IPv6 address",
            Self::Ipv4Config => {
                "dhcp, manual, or an IPv4 address with its prefix length (8 to 32), such as 10.0.0.5/24"
            }
            Self::Ipv6Config => {
                "auto, dhcp, manual, or an IPv6 address with its prefix length (8 to 128), such as 2001:db8::5/64"
            }
            Self::IpWithInterface => "an IP address; a link-local one may end in %INTERFACE",
            Self::Address => "an IP address or a DNS name",
            Self::MacAddress => "a unicast MAC address, such as BC:24:11:00:00:01",
            Self::DiskSize => "a size: digits, perhaps a fraction, then K, M, G or T (bytes without)",
            Self::ResizeSize => "a size with K, M, G or T (bytes without), '+' before it to add",
            Self::TimeZone => "'host', 'UTC' or a zone such as Europe/Vienna",
            Self::MountString => "a path or volume without '.' and '..' steps",
            Self::MountOptions => "discard, lazytime, noatime, nodev, noexec, nosuid, joined with ';'",
            Self::MountIdmap => "'passthrough', or u|g:CONTAINER:DISK:COUNT entries joined with ';'",
            Self::DevicePath => "a path below /dev without '.' and '..' steps",
            Self::Trunks => "VLAN numbers joined with ';'",
            Self::FsTypes => "file system types joined with ';'",
            Self::OctalMode => "0 and three octal digits, such as 0660",
            Self::Startup => "[[order=]N][,up=SECONDS][,down=SECONDS]",
            Self::Digest => "a SHA-1 in hex",
            Self::Fingerprint => "32 pairs of hex digits joined with ':'",
            Self::StorageMap | Self::BridgeMap => "SOURCE:TARGET, TARGET, or 1",
            Self::EscapeChar => "a lower-case letter, '^' before it for Ctrl",
            Self::Entrypoint => "a command line without control characters (tab is allowed)",
            Self::Environment => "NAME=value entries without control characters (tab is allowed)",
        }
    }
}

/// Splits a list as Proxmox VE does: only at NUL if there is one, or else at `,`, `;` and blanks.
///
/// Empty entries are left out. Source: `split_list` of pve-common.
pub fn split_list(text: &str) -> Vec<&str> {
    if text.contains('\0') {
        return text.split('\0').filter(|entry| !entry.is_empty()).collect();
    }
    text.split(|c: char| matches!(c, ',' | ';') || shape::is_blank(c))
        .filter(|entry| !entry.is_empty())
        .collect()
}

fn id_words(what: &str, id: &str) -> Option<String> {
    if id.chars().count() < 2 {
        Some(format!("{what} ID '{id}' cannot be shorter than 2 characters"))
    } else if is_storage_id(id) {
        None
    } else {
        Some(format!("{what} ID '{id}' contains illegal characters"))
    }
}

fn bridge_words(id: &str) -> Option<String> {
    (!shape::is_bridge_id(id)).then(|| format!("invalid bridge ID '{id}'"))
}

fn pool_words(name: &str) -> Option<String> {
    if name.trim_end_matches('/').split('/').count() > 3 {
        return Some(format!("pool name '{name}' nested too deeply (max levels = 3)"));
    }
    let part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
    };
    (!name.split('/').all(part)).then(|| format!("pool name '{name}' contains invalid characters"))
}

/// One entry of an id map; the rules between entries are left to pct.
fn map_words(entry: &str, id: impl Fn(&str) -> Option<String>) -> Option<String> {
    if entry == "1" {
        return None;
    }
    let wrong = match entry.split_once(':') {
        Some((source, target)) if !source.is_empty() && !target.is_empty() && !target.contains(':') => {
            id(source).or_else(|| id(target))
        }
        _ => id(entry),
    };
    wrong.map(|words| format!("entry '{entry}' contains invalid ID - {words}"))
}

#[cfg(test)]
mod tests;
