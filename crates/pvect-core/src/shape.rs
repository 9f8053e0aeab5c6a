//! The shapes of texts: predicates that know no wording.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The words of `mountoptions`.
pub const MOUNT_OPTIONS: [&str; 6] = ["discard", "lazytime", "noatime", "nodev", "noexec", "nosuid"];

/// Reads `startup` into order, up and down; `None` when it breaks the grammar.
///
/// Blank parts are ignored, the last of repeated parts counts, and a number beyond 32 bits becomes the largest. The
/// empty text and `0` are refused, as Proxmox VE refuses them.
pub fn startup(text: &str) -> Option<[Option<u32>; 3]> {
    if matches!(text, "" | "0") {
        return None;
    }
    let [mut order, mut up, mut down] = [None; 3];
    for part in text.split(',').filter(|part| !part.chars().all(is_blank)) {
        let (slot, digits) = match part.split_once('=') {
            None => (&mut order, part),
            Some(("order", digits)) => (&mut order, digits),
            Some(("up", digits)) => (&mut up, digits),
            Some(("down", digits)) => (&mut down, digits),
            Some(_) => return None,
        };
        if !is_digits(digits) {
            return None;
        }
        *slot = Some(digits.parse().unwrap_or(u32::MAX));
    }
    Some([order, up, down])
}

/// Checks `pve-node`.
pub fn is_node(text: &str) -> bool {
    is_label(text)
}

/// Checks `pve-storage-id`.
pub fn is_storage_id(text: &str) -> bool {
    let [first, middle @ .., last] = text.as_bytes() else { return false };
    first.is_ascii_alphabetic()
        && last.is_ascii_alphanumeric()
        && middle.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// Checks `pve-configid`: at least two characters.
pub fn is_config_id(text: &str) -> bool {
    let [first, rest @ ..] = text.as_bytes() else { return false };
    first.is_ascii_alphabetic()
        && !rest.is_empty()
        && rest.iter().all(|b| b.is_ascii_alphanumeric() || b"-_".contains(b))
}

/// Checks `pve-volume-id`: a storage's name, a colon, something.
pub fn is_volume_id(text: &str) -> bool {
    text.split_once(':').is_some_and(|(storage, volume)| is_storage_id(storage) && !volume.is_empty())
}

/// Checks one label of a DNS name.
pub fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.last().is_some_and(u8::is_ascii_alphanumeric)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'-')
}

/// Returns whether Perl's `\s` takes the character (ASCII only).
pub fn is_blank(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r' | '\x0b' | '\x0c')
}

/// Checks for one or more ASCII digits.
pub fn is_digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// Checks digits with perhaps a fraction: `4`, `0.5`.
pub fn is_decimal(text: &str) -> bool {
    match text.split_once('.') {
        Some((whole, fraction)) => is_digits(whole) && is_digits(fraction),
        None => is_digits(text),
    }
}

/// Checks what Proxmox VE takes for an integer: digits, perhaps a sign.
pub fn is_integer(text: &str) -> bool {
    is_digits(text.strip_prefix(['+', '-']).unwrap_or(text))
}

/// Checks what Proxmox VE takes for a number: digits, perhaps a sign, a point, an exponent.
pub fn is_number(text: &str) -> bool {
    let text = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (text, None),
    };
    let mantissa_fits = match mantissa.split_once('.') {
        Some((whole, fraction)) => {
            let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
            digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty())
        }
        None => is_digits(mantissa),
    };
    mantissa_fits && exponent.is_none_or(is_integer)
}

/// Checks `pve-bridge-id`, in ASCII; also an interface's name.
pub fn is_bridge_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Checks `pve-tag`.
pub fn is_tag(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.first().is_some_and(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"_-+.".contains(b))
}

/// Checks `dns-name`: no underscore, no trailing dot.
pub fn is_dns_name(text: &str) -> bool {
    text.split('.').all(is_label)
}

/// Checks an address of either family.
pub fn is_ip(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
}

/// Parses `ADDRESS/PREFIX` with a prefix length of 8 to 32.
pub fn ipv4_cidr(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    Some((address.parse().ok()?, prefix_length(prefix, 32)?))
}

/// Parses `ADDRESS/PREFIX` with a prefix length of 8 to 128.
pub fn ipv6_cidr(text: &str) -> Option<(Ipv6Addr, u8)> {
    let (address, prefix) = text.split_once('/')?;
    Some((address.parse().ok()?, prefix_length(prefix, 128)?))
}

fn prefix_length(text: &str, max: u8) -> Option<u8> {
    if !is_digits(text) {
        return None;
    }
    text.parse().ok().filter(|length| (8..=max).contains(length))
}

/// Checks an address; a link-local IPv6 one may end in `%INTERFACE`.
pub fn is_ip_with_interface(text: &str) -> bool {
    match text.split_once('%') {
        Some((address, interface)) => {
            address.starts_with("fe80:") && address.parse::<Ipv6Addr>().is_ok() && is_interface(interface)
        }
        None => is_ip(text),
    }
}

/// `pve-iface`: a letter, 1 to 20 of letters, digits and `_`, perhaps `.N` or `:N`.
fn is_interface(text: &str) -> bool {
    let (name, suffix) = match text.split_once(['.', ':']) {
        Some((name, suffix)) => (name, Some(suffix)),
        None => (text, None),
    };
    let bytes = name.as_bytes();
    (2..=21).contains(&bytes.len())
        && bytes.first().is_some_and(u8::is_ascii_alphabetic)
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
        && suffix.is_none_or(is_digits)
}

/// Checks `mac-addr`: six pairs of hex digits, the low bit of the first octet clear.
pub fn is_unicast_mac(text: &str) -> bool {
    let pairs: Vec<&str> = text.split(':').collect();
    pairs.len() == 6
        && pairs.iter().all(|pair| is_hex_pair(pair))
        && pairs
            .first()
            .is_some_and(|first| first.ends_with(['0', '2', '4', '6', '8', 'a', 'c', 'e', 'A', 'C', 'E']))
}

fn is_hex_pair(text: &str) -> bool {
    text.len() == 2 && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// Checks the size of `resize`.
pub fn is_resize_size(text: &str) -> bool {
    let text = text.strip_prefix('+').unwrap_or(text);
    is_decimal(text.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or(text))
}

/// Checks the shape of a time zone: `host`, `UTC`, or names joined with `/` that cannot leave a directory.
pub fn is_time_zone(text: &str) -> bool {
    let step = |step: &str| {
        step.starts_with(|c: char| c.is_ascii_alphabetic())
            && step.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-+".contains(&b))
    };
    matches!(text, "host" | "UTC") || (text.contains('/') && text.split('/').all(step))
}

/// Checks `pve-lxc-mp-string`: no `.` or `..` step after a slash, no `../` at the beginning.
pub fn is_mount_string(text: &str) -> bool {
    !text.starts_with("../") && !text.split('/').skip(1).any(|step| matches!(step, "." | ".."))
}

/// Checks the path of a device: below /dev, no `.` or `..` step.
pub fn is_device_path(text: &str) -> bool {
    text.starts_with("/dev/") && is_mount_string(text)
}

/// Checks the id map of a mount point.
pub fn is_mount_idmap(text: &str) -> bool {
    let entry = |entry: &str| {
        let parts: Vec<&str> = entry.split(':').collect();
        matches!(parts[..], [kind, container, disk, count]
            if matches!(kind, "u" | "g")
                && is_digits(container)
                && is_digits(disk)
                && is_digits(count)
                && !count.starts_with('0'))
    };
    text == "passthrough" || text.split(';').all(entry)
}

/// Checks file system types joined with `;` or blanks.
pub fn is_fs_types(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"_; ".contains(&b))
}

/// Checks `0` and three octal digits.
pub fn is_octal_mode(text: &str) -> bool {
    text.len() == 4 && text.starts_with('0') && text.bytes().all(|b| (b'0'..=b'7').contains(&b))
}

/// Checks a SHA-256 fingerprint.
pub fn is_fingerprint(text: &str) -> bool {
    text.split(':').count() == 32 && text.split(':').all(is_hex_pair)
}

/// Checks the escape character of `console`.
pub fn is_escape_char(text: &str) -> bool {
    matches!(text.strip_prefix('^').unwrap_or(text).as_bytes(), [letter] if letter.is_ascii_lowercase())
}

/// Checks `entrypoint`: not empty, no control character but tab.
pub fn is_entrypoint(text: &str) -> bool {
    !text.is_empty() && has_no_controls(text)
}

/// Checks one entry of `env`: a name, `=`, a value without control characters but tab.
pub fn is_environment_entry(text: &str) -> bool {
    text.split_once('=').is_some_and(|(name, value)| {
        !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') && has_no_controls(value)
    })
}

fn has_no_controls(text: &str) -> bool {
    // This includes C1 (U+0080 to U+009F), because terminals treat U+009B like ESC [.
    !text.chars().any(|c| c.is_control() && c != '\t')
}
