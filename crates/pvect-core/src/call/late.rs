//! What pct refuses only while it works on the change, so that a part of it may be done by then.
//!
//! A client checks it before it starts pct. The standalone node finds it at the time that the real one does.
//! Source: pve-container's `API2/LXC.pm`, `LXC/Config.pm` and `LXC.pm`, `PVE::JSONSchema` of pve-common.

use std::collections::BTreeSet;

use super::Call;
use crate::property::{MountIdmap, MountPoint, MountSource, NetInterface, RootFs};
use crate::schema::{Reason, Verb, Violation, boolean, options, split_list};
use crate::shape;

/// Names that snapshots must not have.
const RESERVED: [&str; 2] = ["current", "vzdump"];

/// Returns every violation.
pub(super) fn refused(call: &Call) -> Vec<Violation> {
    let mut found = match call.verb() {
        Verb::Set => deletions(call),
        Verb::Create | Verb::Restore => layout(call),
        Verb::Snapshot => reserved(call),
        Verb::Clone if is(call, "full", false) && call.has("storage") => {
            let text = "is for full copies only: leave out --full 0 or --storage";
            vec![alone("storage", "parameter 'storage' not allowed for linked clones", text)]
        }
        Verb::Migrate | Verb::RemoteMigrate => {
            ["target-storage", "target-bridge"].into_iter().filter_map(|name| map(call, name)).collect()
        }
        Verb::Push | Verb::Pull => mode(call).into_iter().collect(),
        _ => Vec::new(),
    };
    if call.verb().spec().config_options {
        for (name, _) in call.options() {
            let Some(text) = call.get(name) else { continue };
            match options::config_option(name).map(|(spec, _)| spec.name) {
                Some("rootfs") => {
                    found.extend(RootFs::parse(text).ok().and_then(|fs| volume(call, name, &fs)));
                }
                Some("mp") => {
                    found
                        .extend(MountPoint::parse(name, text).ok().and_then(|mp| volume(call, name, &mp.fs)));
                }
                Some("net") => {
                    found.extend(NetInterface::parse(name, text).ok().and_then(|net| managed(name, &net)));
                }
                _ => {}
            }
        }
    }
    found
}

fn alone(name: &str, pct: &str, text: &str) -> Violation {
    Violation::option(name, Reason::Alone { pct: pct.to_owned(), text: text.to_owned() })
}

fn other(name: &str, text: String) -> Violation {
    Violation::option(name, Reason::other(text))
}

fn is(call: &Call, name: &str, value: bool) -> bool {
    call.get(name).and_then(boolean) == Some(value)
}

/// Required options that are deleted.
fn deletions(call: &Call) -> Vec<Violation> {
    split_list(call.get("delete").unwrap_or_default())
        .into_iter()
        .filter_map(|name| match name {
            "unprivileged" => Some(alone(
                "delete",
                "unable to delete read-only option: 'unprivileged'",
                "'unprivileged' is fixed when the container is made",
            )),
            name if options::REQUIRED_OPTIONS.contains(&name) => Some(alone(
                "delete",
                &format!("unable to delete required option '{name}'"),
                &format!("'{name}' cannot be removed, only changed"),
            )),
            _ => None,
        })
        .collect()
}

/// Mount points of a new container without a root file system.
fn layout(call: &Call) -> Vec<Violation> {
    if call.has("rootfs") {
        return Vec::new();
    }
    let is_point = |name: &str| options::config_option(name).is_some_and(|(spec, _)| spec.name == "mp");
    let restores = call.verb() == Verb::Restore || is(call, "restore", true);
    if call.options().iter().any(|(name, _)| is_point(name)) {
        vec![alone("rootfs", "rootfs: missing", "is needed if a mount point (--mp[n]) is given")]
    } else if restores && call.args().get(1).is_some_and(|archive| archive == "-") {
        vec![alone("rootfs", "rootfs: missing", "is needed if the backup comes from stdin")]
    } else {
        Vec::new()
    }
}

fn reserved(call: &Call) -> Vec<Violation> {
    let name = call.args().get(1).filter(|name| RESERVED.contains(&name.as_str()));
    name.map(|name| {
        let pct = format!("unable to use snapshot name '{name}' (reserved name)");
        let text = format!("'{name}' is reserved: no snapshot may be named {}", RESERVED.join(" or "));
        Violation::positional("snapname", Reason::Alone { pct, text })
    })
    .into_iter()
    .collect()
}

/// The rules between the entries of a map: `1` must be the only entry, one target may be for the rest, and each source
/// is named once.
fn map(call: &Call, name: &str) -> Option<Violation> {
    let text = call.get(name)?;
    let entries = split_list(text);
    let pairs: Vec<&str> = entries.iter().filter_map(|entry| Some(entry.split_once(':')?.0)).collect();
    let wrong = |rule: &str| Some(other(name, format!("'{text}' is not allowed: {rule}")));
    if entries.contains(&"1") && entries.len() > 1 {
        wrong("1 (everything stays as it is) excludes other entries")
    } else if entries.len() - pairs.len() > 1 {
        wrong("only one target without a source (TARGET) is allowed")
    } else if pairs.iter().collect::<BTreeSet<_>>().len() < pairs.len() {
        wrong("a source (SOURCE:TARGET) may be named once")
    } else if name == "target-storage" && call.verb() == Verb::RemoteMigrate && entries.contains(&"1") {
        wrong("another cluster has other storages: give SOURCE:TARGET or TARGET")
    } else {
        None
    }
}

/// Octal, or hexadecimal with 0x.
fn mode(call: &Call) -> Option<Violation> {
    let text = call.get("perms")?;
    let good = match text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")) {
        Some(digits) => !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_hexdigit()),
        None => !text.is_empty() && text.bytes().all(|b| (b'0'..=b'7').contains(&b)),
    };
    (!good).then(|| other("perms", format!("'{text}' is not allowed: a mode in octal digits, such as 0644")))
}

/// Checks the form of what is mounted, and that the ranges of an id map do not overlap.
fn volume(call: &Call, name: &str, fs: &RootFs) -> Option<Violation> {
    if let MountSource::Volume(text) = &fs.source {
        // create and restore accept a bare size, for a new volume on --storage.
        let sized = call.verb() != Verb::Set && shape::is_decimal(text);
        if !text.contains(':') && !sized {
            let rule =
                "STORAGE:GIB for a new volume, STORAGE:VOLUME for an existing one, or a path of the host";
            return Some(other(name, format!("'{text}' is not allowed: {rule}")));
        }
    }
    let entries = fs.idmap_entries()?;
    for (index, one) in entries.iter().enumerate() {
        let before = entries.iter().take(index).filter(|two| two.user == one.user);
        let meet = |two: &MountIdmap, start: fn(&MountIdmap) -> u64| {
            start(one) < start(two).saturating_add(two.count)
                && start(two) < start(one).saturating_add(one.count)
        };
        if before.into_iter().any(|two| meet(two, |range| range.container) || meet(two, |range| range.disk)) {
            let text = "two ranges of one kind overlap".to_owned();
            return Some(other(&format!("{name}.idmap"), text));
        }
    }
    None
}

/// The host cannot get an address from router advertisements for the container.
fn managed(name: &str, net: &NetInterface) -> Option<Violation> {
    let auto = net.ip6 == Some(crate::property::Ipv6Config::Auto);
    (net.host_managed && auto && !net.link_down).then(|| {
        other(
            &format!("{name}.ip6"),
            "'auto' is not allowed if the host sets the addresses (host-managed=1)".to_owned(),
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::{Call, Verb};

    fn told(verb: Verb, args: &[&str], options: &[(&str, &str)]) -> String {
        let call = args.iter().fold(Call::new(verb), |call, arg| call.arg(*arg));
        let call = options.iter().fold(call, |call, (name, value)| call.option(*name, *value));
        match call.checked() {
            Ok(_) => String::new(),
            Err(found) => found.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
        }
    }

    #[test]
    fn what_pct_finds_late_is_found_early() {
        for (verb, args, options, text) in [
            (Verb::Set, &["101"][..], &[("delete", "swap")][..], ""),
            (
                Verb::Set,
                &["101"],
                &[("delete", "memory,unprivileged")],
                "--delete: 'memory' cannot be removed, only changed; --delete: 'unprivileged' is fixed when the container \
                 is made",
            ),
            (
                Verb::Create,
                &["101", "t"],
                &[("mp0", "local:1,mp=/a")],
                "--rootfs: is needed if a mount point (--mp[n]) is given",
            ),
            (Verb::Create, &["101", "t"], &[("mp0", "local:1,mp=/a"), ("rootfs", "8")], ""),
            (Verb::Restore, &["101", "-"], &[], "--rootfs: is needed if the backup comes from stdin"),
            (
                Verb::Snapshot,
                &["101", "current"],
                &[],
                "<snapname>: 'current' is reserved: no snapshot may be named current or vzdump",
            ),
            (Verb::Rollback, &["101", "current"], &[], ""),
            (
                Verb::Clone,
                &["101", "102"],
                &[("full", "0"), ("storage", "local")],
                "--storage: is for full copies only: leave out --full 0 or --storage",
            ),
            (Verb::Migrate, &["101", "b"], &[("target-storage", "aa:bb,cc:dd,ee")], ""),
            (
                Verb::Migrate,
                &["101", "b"],
                &[("target-storage", "1,local")],
                "--target-storage: '1,local' is not allowed: 1 (everything stays as it is) excludes other entries",
            ),
            (
                Verb::Migrate,
                &["101", "b"],
                &[("target-storage", "aa,bb")],
                "--target-storage: 'aa,bb' is not allowed: only one target without a source (TARGET) is allowed",
            ),
            (
                Verb::Migrate,
                &["101", "b"],
                &[("target-storage", "aa:bb,aa:cc")],
                "--target-storage: 'aa:bb,aa:cc' is not allowed: a source (SOURCE:TARGET) may be named once",
            ),
            (Verb::Push, &["101", "a", "b"], &[("perms", "0x1FF")], ""),
            (
                Verb::Push,
                &["101", "a", "b"],
                &[("perms", "899")],
                "--perms: '899' is not allowed: a mode in octal digits, such as 0644",
            ),
            (Verb::Create, &["101", "t"], &[("rootfs", "8")], ""),
            (
                Verb::Set,
                &["101"],
                &[("rootfs", "8")],
                "--rootfs: '8' is not allowed: STORAGE:GIB for a new volume, STORAGE:VOLUME for an existing one, or a \
                 path of the host",
            ),
            (
                Verb::Set,
                &["101"],
                &[("mp0", "local:1,mp=/a,idmap=u:0:0:5;g:3:3:5;u:4:90:1")],
                "--mp0.idmap: two ranges of one kind overlap",
            ),
            (Verb::Set, &["101"], &[("mp0", "local:1,mp=/a,idmap=u:0:0:5;g:3:3:5;u:5:90:1")], ""),
            (
                Verb::Set,
                &["101"],
                &[("net0", "name=eth0,ip6=auto,host-managed=1")],
                "--net0.ip6: 'auto' is not allowed if the host sets the addresses (host-managed=1)",
            ),
        ] {
            assert_eq!(told(verb, args, options), text, "{verb} {args:?} {options:?}");
        }
    }

    #[test]
    fn options_of_a_newer_pct_are_a_change_too() {
        let call = Call::new(Verb::Set).arg("101").passthrough(["--newer", "1"]);
        assert_eq!(call.checked().unwrap().argv(), ["set", "101", "--newer", "1"]);
    }
}
