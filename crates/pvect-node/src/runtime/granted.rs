//! Which ids root may map into a container: what `/etc/subuid` and `/etc/subgid` grant it.
//!
//! On a Proxmox VE node newuidmap and newgidmap refuse any other map, and a container that has one does not start.
//! Here LXC writes the maps itself, so it is looked at before. The map of all unprivileged containers is granted
//! always: on plain Debian nothing grants it, on Proxmox VE the installation does.
//! Source: subuid(5), subgid(5), newuidmap(1), pve-container's default map.

use std::path::Path;

use pvect_core::ContainerConfig;
use pvect_core::config::IdMap;

use crate::ids::{HostFiles, Range};
use crate::{Failure, Node, NodeResult};

/// Checks the id maps of a container.
///
/// # Errors
/// When a `lxc.idmap` line cannot be understood, or maps ids that root is not granted; the text says which line grants
/// them.
pub(super) fn check(node: &Node, config: &ContainerConfig) -> NodeResult<()> {
    check_below(Path::new("/etc"), node, config)
}

fn check_below(etc: &Path, node: &Node, config: &ContainerConfig) -> NodeResult<()> {
    let maps = config.id_maps().map_err(|error| Failure::new(error.to_string()))?;
    let host = HostFiles::below(etc, &node.layout);
    for (is_user, name) in [(true, "subuid"), (false, "subgid")] {
        let maps: Vec<&IdMap> = maps.iter().filter(|map| map.user == is_user).collect();
        if maps.is_empty() {
            continue;
        }
        let mut granted = host.granted_to_root(name)?;
        granted.push(Range::at(config.first_host_id()));
        granted.sort_unstable();
        if let Some(map) = maps.into_iter().find(|map| !is_covered(map, &granted)) {
            let IdMap { container, host, count, .. } = map;
            let kind = if is_user { 'u' } else { 'g' };
            return Err(Failure::new(format!(
                "the id map '{kind} {container} {host} {count}' is not granted to root: '{}' must have the line \
                 'root:{host}:{count}'",
                etc.join(name).display()
            )));
        }
    }
    Ok(())
}

/// Whether sorted ranges together include all ids of a map. Root's own id needs no grant.
fn is_covered(map: &IdMap, ranges: &[Range]) -> bool {
    let (mut next, end) = (u64::from(map.host), u64::from(map.host) + u64::from(map.count));
    if (map.host, map.count) == (0, 1) {
        return true;
    }
    for range in ranges {
        if range.first <= next {
            next = next.max(range.end);
        }
    }
    next >= end
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(root: &Path) -> Node {
        crate::fixture::node(root)
    }

    #[test]
    fn maps_need_a_grant_that_says_so() {
        let dir = tempfile::tempdir().unwrap();
        let (etc, own) = (dir.path().join("etc"), dir.path().join("node"));
        std::fs::create_dir_all(own.join("etc")).unwrap();
        std::fs::create_dir(&etc).unwrap();
        std::fs::write(
            etc.join("subuid"),
            "web:1:9\nroot:1000:1\n0:1002:5\nroot:1001:1\nroot:x:1\nroot:4294967290:5\n",
        )
        .unwrap();
        std::fs::write(own.join("etc/subgid"), "root:7:1\n").unwrap();
        let node = node(&own);
        let told = |lines: &[&str]| {
            let mut config = ContainerConfig::default();
            config.main.set("unprivileged", "1");
            let raw = lines.iter().map(|line| ("lxc.idmap".to_owned(), (*line).to_owned()));
            config.main.raw.extend(raw);
            match check_below(&etc, &node, &config) {
                Ok(()) => "granted".to_owned(),
                Err(failure) => failure.text.replace(dir.path().to_str().unwrap(), ""),
            }
        };
        let lacks = |map: &str, file: &str, line: &str| {
            format!(
                "the id map '{map}' is not granted to root: '/etc/{file}' must have the line 'root:{line}'"
            )
        };
        for (lines, expected) in [
            (&[][..], "granted".to_owned()),
            (&["u 0 100000 65536", "g 0 165535 1"], "granted".to_owned()),
            // From three lines.
            (&["u 5 1000 7", "g 7 7 1"], "granted".to_owned()),
            (&["u 5 1000 8"], lacks("u 5 1000 8", "subuid", "1000:8")),
            (&["u 0 100000 65537"], lacks("u 0 100000 65537", "subuid", "100000:65537")),
            (&["u 1 1 1"], lacks("u 1 1 1", "subuid", "1:1")),
            (&["u 0 100000 9", "g 7 1000 1"], lacks("g 7 1000 1", "subgid", "1000:1")),
            (&["u 0 0 1"], "granted".to_owned()),
            (
                &["u 0 4294967295 4294967295"],
                lacks("u 0 4294967295 4294967295", "subuid", "4294967295:4294967295"),
            ),
            (&["u 0 1"], "failed to parse idmap: u 0 1".to_owned()),
        ] {
            assert_eq!(told(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_privileged_container_needs_none() {
        let dir = tempfile::tempdir().unwrap();
        assert!(check_below(dir.path(), &node(dir.path()), &ContainerConfig::default()).is_ok());
    }
}
