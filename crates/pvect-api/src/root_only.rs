//! What only the literal user `root@pam` may set through the API.

use pvect_core::property::Features;
use pvect_core::schema::split_list;
use pvect_core::{Call, Verb};

/// Returns the options of a call that the API only accepts from `root@pam` logged in with a password; no token may set
/// them, not even one of root without privilege separation.
///
/// Bind mounts and devices as mount points, `dev[n]`, `hookscript`, features other than nesting, and deleting any of
/// these. Source: `check_ct_modify_config_perm` of pve-container.
pub fn root_only(call: &Call) -> Vec<String> {
    if !matches!(call.verb(), Verb::Create | Verb::Restore | Verb::Set) {
        return Vec::new();
    }
    let mut found = Vec::new();
    for (name, _) in call.options() {
        let value = call.get(name).unwrap_or_default();
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        let is_root_only = match stem {
            "dev" | "hookscript" => true,
            "mp" | "rootfs" => binds(value),
            "features" => other_than_nesting(value),
            _ => false,
        };
        if is_root_only {
            found.push(format!("--{name}"));
        }
        if name == "delete" {
            let keys = split_list(value).into_iter().filter(|key| {
                let stem = key.trim_start_matches('!').trim_end_matches(|c: char| c.is_ascii_digit());
                matches!(stem, "dev" | "hookscript" | "features")
            });
            found.extend(keys.map(|key| format!("--delete {key}")));
        }
    }
    found
}

/// A volume is `STORAGE:...`; everything that begins with a slash is a path or device of the host.
fn binds(value: &str) -> bool {
    value
        .split(',')
        .map(|part| part.strip_prefix("volume=").unwrap_or(part))
        .any(|part| part.starts_with('/'))
}

fn other_than_nesting(value: &str) -> bool {
    Features::parse(value)
        .map_or(true, |features| features != Features { nesting: features.nesting, ..Features::default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_complete() {
        let set = |name: &str, value: &str| Call::on(Verb::Set, "101".parse().unwrap()).option(name, value);
        for (name, value, found) in [
            ("memory", "512", &[][..]),
            ("mp0", "local:8,mp=/srv", &[]),
            ("mp0", "/srv/data,mp=/srv", &["--mp0"]),
            ("mp1", "volume=/dev/sdb1,mp=/srv", &["--mp1"]),
            ("dev0", "/dev/kvm", &["--dev0"]),
            ("hookscript", "local:snippets/a.sh", &["--hookscript"]),
            ("features", "nesting=1", &[]),
            ("features", "nesting=1,keyctl=1", &["--features"]),
            ("features", "mount=nfs", &["--features"]),
            ("delete", "memory,dev0", &["--delete dev0"]),
        ] {
            assert_eq!(root_only(&set(name, value)), found, "{name} {value}");
        }
    }
}
