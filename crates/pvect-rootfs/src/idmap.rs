//! The map from a container's user and group ids to the host's.

use pvect_core::ContainerConfig;
use pvect_core::config::IdMap as Line;

/// One range: container ids from `inside`, host ids from `outside`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Range {
    inside: u32,
    outside: u32,
    count: u32,
}

/// Maps a container's ids to the host's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct IdMap {
    users: Vec<Range>,
    groups: Vec<Range>,
}

impl IdMap {
    /// The map of a privileged container: every id is itself.
    pub fn identity() -> Self {
        Self::default()
    }

    /// The map of an unprivileged container on Proxmox VE.
    pub fn unprivileged() -> Self {
        Self::from(Line::BASE)
    }

    /// The map of an unprivileged container whose ids begin with a host id.
    fn from(outside: u32) -> Self {
        let range = Range { inside: 0, outside, count: Line::COUNT };
        Self { users: vec![range], groups: vec![range] }
    }

    /// The map of a configuration: its raw `lxc.idmap` lines if it has some, else by `unprivileged` and the node's range.
    ///
    /// Lines that are not of the form `u|g INSIDE OUTSIDE COUNT` are left out; LXC will refuse them itself.
    pub fn of(config: &ContainerConfig) -> Self {
        let mut map = Self::default();
        for (_, value) in config.main.raw.iter().filter(|(key, _)| key == "lxc.idmap" || key == "lxc.id_map")
        {
            let words: Vec<&str> = value.split_ascii_whitespace().collect();
            let [kind, inside, outside, count] = words[..] else { continue };
            if let (Ok(inside), Ok(outside), Ok(count)) = (inside.parse(), outside.parse(), count.parse()) {
                let range = Range { inside, outside, count };
                match kind {
                    "u" => map.users.push(range),
                    "g" => map.groups.push(range),
                    _ => {}
                }
            }
        }
        if !map.is_identity() {
            return map;
        }
        if config.is_set("unprivileged") { Self::from(config.first_host_id()) } else { Self::identity() }
    }

    /// Returns whether every id is itself.
    pub fn is_identity(&self) -> bool {
        self.users.is_empty() && self.groups.is_empty()
    }

    /// Maps a user id; `None` when the container has no such user.
    pub fn user(&self, id: u32) -> Option<u32> {
        map(&self.users, id)
    }

    /// Maps a group id; `None` when the container has no such group.
    pub fn group(&self, id: u32) -> Option<u32> {
        map(&self.groups, id)
    }

    /// Returns the map of users as the kernel takes it: lines of `INSIDE OUTSIDE COUNT`. Source: user_namespaces(7).
    pub fn user_lines(&self) -> String {
        lines(&self.users)
    }

    /// Returns the map of groups in the same form.
    pub fn group_lines(&self) -> String {
        lines(&self.groups)
    }

    /// Returns the host's ids of the container's root, user and group.
    pub fn root(&self) -> (u32, u32) {
        (self.user(0).unwrap_or(0), self.group(0).unwrap_or(0))
    }
}

fn lines(ranges: &[Range]) -> String {
    ranges.iter().map(|Range { inside, outside, count }| format!("{inside} {outside} {count}\n")).collect()
}

fn map(ranges: &[Range], id: u32) -> Option<u32> {
    if ranges.is_empty() {
        return Some(id);
    }
    ranges.iter().find_map(|range| {
        let offset = id.checked_sub(range.inside)?;
        if offset < range.count { range.outside.checked_add(offset) } else { None }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_shifted_or_unknown() {
        let map = IdMap::unprivileged();
        assert_eq!((map.user(0), map.group(65_535)), (Some(100_000), Some(165_535)));
        assert_eq!(map.user(65_536), None);
        assert_eq!(IdMap::identity().user(4_000_000_000), Some(4_000_000_000));
    }

    #[test]
    fn raw_lines_win() {
        let mut config = ContainerConfig::default();
        config.main.set("unprivileged", "1");
        assert_eq!(IdMap::of(&config), IdMap::unprivileged());
        for line in ["u 0 200000 1000", "g 0 200000 1000", "u 1000 1000 1", "x 1 2 3", "u a b c"] {
            config.main.raw.push(("lxc.idmap".to_owned(), line.to_owned()));
        }
        let map = IdMap::of(&config);
        assert_eq!((map.user(1000), map.user(999), map.group(1000)), (Some(1000), Some(200_999), None));
        assert_eq!(map.root(), (200_000, 200_000));
        assert_eq!(map.user_lines(), "0 200000 1000\n1000 1000 1\n");
        assert_eq!(map.group_lines(), "0 200000 1000\n");
    }
}
