//! Which configuration files surely have no line that pct warns of, without parsing them: a list of many containers looks
//! at all of them, and nearly all are like that.

use pvect_core::shape;

/// Returns whether every line is of a common form that can be parsed. A file of which this says no may be right, too.
pub(crate) fn is_plain(text: &str) -> bool {
    text.lines().all(|line| match line.as_bytes().first() {
        None | Some(b'#') => true,
        Some(_) => line.split_once(": ").is_some_and(|(key, value)| is_plain_value(key, value)),
    })
}

fn is_plain_value(key: &str, value: &str) -> bool {
    match key {
        "arch" | "cmode" | "lock" | "ostype" => is_word(value),
        "hostname" => is_word(value) && shape::is_label(value),
        "cores" | "cpuunits" | "memory" | "swap" | "tty" => shape::is_digits(value),
        "console" | "debug" | "onboot" | "protection" | "template" | "unprivileged" => is_bit(value),
        "features" => is_plain_features(value),
        "rootfs" => is_plain_root(value),
        "tags" => value.split(';').all(is_plain_tag),
        _ => key.strip_prefix("net").is_some_and(|index| is_index(index) && is_plain_net(value)),
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

fn is_bit(text: &str) -> bool {
    matches!(text, "0" | "1")
}

/// Switches, each at most once.
fn is_plain_features(value: &str) -> bool {
    const KEYS: [&str; 4] = ["fuse", "keyctl", "mknod", "nesting"];
    let mut seen = [false; KEYS.len()];
    value.split(',').all(|part| {
        let Some((key, bit)) = part.split_once('=') else { return false };
        let Some(place) = KEYS.iter().position(|known| *known == key) else { return false };
        seen.get_mut(place).is_some_and(|seen| !std::mem::replace(seen, true)) && is_bit(bit)
    })
}

fn is_plain_tag(tag: &str) -> bool {
    let mut bytes = tag.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphanumeric() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || b"_-+.".contains(&byte))
}

/// 0 to 31, without leading zeros.
fn is_index(text: &str) -> bool {
    matches!(text.as_bytes(), [b'0'..=b'9'] | [b'1' | b'2', b'0'..=b'9'] | [b'3', b'0' | b'1'])
}

/// `STORAGE:NAME` and its size, nothing else.
fn is_plain_root(value: &str) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./:".contains(&byte);
    let (volume, size) = value.split_once(",size=").unwrap_or((value, "1G"));
    let number = size.strip_suffix(['K', 'M', 'G', 'T']).unwrap_or_default();
    volume.starts_with(|c: char| c.is_ascii_alphabetic())
        && volume.bytes().all(name)
        && !volume.contains("/.")
        && number.len() < 10
        && shape::is_digits(number)
}

/// Each key at most once, and a name.
fn is_plain_net(value: &str) -> bool {
    const KEYS: [&str; 7] = ["name", "bridge", "firewall", "hwaddr", "ip", "ip6", "type"];
    let mut seen = [false; KEYS.len()];
    let pairs_fit = value.split(',').all(|part| {
        let Some((key, value)) = part.split_once('=') else { return false };
        let Some(place) = KEYS.iter().position(|known| *known == key) else { return false };
        let fits = match key {
            "name" | "bridge" => is_word(value),
            "firewall" => is_bit(value),
            "hwaddr" => shape::is_unicast_mac(value),
            "ip" | "ip6" => matches!(value, "dhcp" | "manual"),
            _ => value == "veth",
        };
        seen.get_mut(place).is_some_and(|seen| !std::mem::replace(seen, true)) && fits
    });
    pairs_fit && seen[0]
}

#[cfg(test)]
mod tests {
    use pvect_core::ContainerConfig;
    use pvect_core::config::ParseMode;

    use super::*;

    const PLAIN: &str = "#text\narch: amd64\ncores: 2\nhostname: web-1\nlock: backup\nmemory: 512\n\
        net0: name=eth0,bridge=vmbr0,firewall=1,hwaddr=BC:24:11:00:00:01,ip=dhcp,type=veth\nonboot: 1\n\
        ostype: debian\nrootfs: local:101/vm-101-disk-0.raw,size=4G\nswap: 512\nunprivileged: 1\n\
        features: nesting=1,keyctl=0\ntags: web;a-b_c\n";

    fn warns(text: &str) -> bool {
        ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).is_ok_and(|(_, found)| !found.is_empty())
    }

    #[test]
    fn what_is_plain_can_be_parsed() {
        assert!(is_plain(PLAIN) && is_plain("") && is_plain("\n\n"));
        // Whatever a byte is changed to, a file that still counts as plain must not have a warning.
        let bytes = b"0 x:=,/.-\n#[A\t\xc3";
        let mut plain = 0;
        for place in 0..PLAIN.len() {
            for byte in bytes {
                let mut changed = PLAIN.as_bytes().to_vec();
                changed[place] = *byte;
                let Ok(changed) = String::from_utf8(changed) else { continue };
                if is_plain(&changed) {
                    plain += 1;
                    assert!(!warns(&changed), "{changed}");
                }
            }
        }
        assert!(plain > 300, "{plain}");
    }

    #[test]
    fn what_pct_warns_of_is_not_plain() {
        for line in [
            "cores: abc",
            "  cores: 2",
            "Memory: 512",
            "net0: bogus",
            "net0: name=a,name=b",
            "net0: bridge=vmbr0",
            "net32: name=eth0",
            "rootfs: ,",
            "rootfs: local:1,size=x",
            "onboot: maybe",
            "features: nesting=2",
            "features: nesting=1,nesting=1",
            "features: bogus=1",
            "tags: -a",
            "tags: a b!",
            "hostname: -a",
            "lxc.nosuch: 1",
            "[snap]",
        ] {
            assert!(!is_plain(&format!("{PLAIN}{line}\n")), "{line}");
        }
    }
}
