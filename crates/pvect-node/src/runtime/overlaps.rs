//! Lines of an id map that map one id twice, which the kernel refuses without saying where.

use pvect_core::config::IdMap;

/// Names the first two entries that overlap, in pct's words. Source: pve-container, `validate_id_maps`.
pub(super) fn first(maps: &[IdMap]) -> Option<String> {
    let container: fn(&IdMap) -> u32 = |map| map.container;
    let host: fn(&IdMap) -> u32 = |map| map.host;
    for (user, kind) in [(true, 'u'), (false, 'g')] {
        for (side, start) in [("container", container), ("host", host)] {
            let mut entries: Vec<&IdMap> = maps.iter().filter(|map| map.user == user).collect();
            entries.sort_by_key(|map| start(map));
            let overlap = entries.windows(2).find(|pair| {
                u64::from(start(pair[0])) + u64::from(pair[0].count) > u64::from(start(pair[1]))
            });
            if let Some([previous, current]) = overlap {
                let id = start(current);
                return Some(format!(
                    "invalid map entry '{}': {side} {kind}id {id} is also mapped by entry '{}'",
                    words(current),
                    words(previous)
                ));
            }
        }
    }
    None
}

fn words(map: &IdMap) -> String {
    let IdMap { user, container, host, count } = map;
    format!("{} {container} {host} {count}", if *user { 'u' } else { 'g' })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(lines: &[&str]) -> Option<String> {
        first(&lines.iter().map(|line| IdMap::parse(line).unwrap()).collect::<Vec<_>>())
    }

    #[test]
    fn both_entries_are_named() {
        let maps = ["u 0 100000 65536", "g 1000 1000 1", "g 0 100000 106", "g 106 100106 65430"];
        assert_eq!(
            found(&maps).unwrap(),
            "invalid map entry 'g 1000 1000 1': container gid 1000 is also mapped by entry 'g 106 100106 65430'"
        );
        assert_eq!(
            found(&["u 0 4294967295 1", "u 5 4294967294 2"]).unwrap(),
            "invalid map entry 'u 0 4294967295 1': host uid 4294967295 is also mapped by entry 'u 5 4294967294 2'"
        );
    }

    #[test]
    fn neighbours_do_not_overlap() {
        assert_eq!(
            found(&["u 0 100000 1000", "u 1000 1000 1", "u 1001 101001 64535", "g 0 100000 65536"]),
            None
        );
        assert_eq!(found(&[]), None);
    }
}
