//! `pct listsnapshot`: lists the snapshots of a container.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use pvect_core::{Call, ContainerConfig};

use crate::{Node, NodeResult, Output, store};

/// Lists the snapshots as a tree, times in the zone of the host. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let stored = store::load_telling(node, super::vmid(call)?, output)?;
    output.text(tree(&stored.config, &TimeZone::system()));
    Ok(0)
}

/// The name of the entry that stands for the present state.
const CURRENT: &str = "current";

struct Entry<'a> {
    parent: Option<&'a str>,
    time: Option<i64>,
    description: &'a str,
}

/// Prints the tree: parents before children, siblings by time, one more blank before each generation.
fn tree(config: &ContainerConfig, zone: &TimeZone) -> String {
    let mut entries: BTreeMap<&str, Entry<'_>> = BTreeMap::new();
    for (name, section) in &config.snapshots {
        entries.insert(
            name,
            Entry {
                parent: section.options.get("parent").map(String::as_str),
                time: section.options.get("snaptime").and_then(|time| time.parse().ok()),
                description: section.description.as_deref().unwrap_or_default(),
            },
        );
    }
    let parent = config.main.options.get("parent").map(String::as_str);
    entries.insert(CURRENT, Entry { parent, time: None, description: "You are here!" });

    let mut children: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
    for (name, entry) in &entries {
        // An entry without a parent that is there is a root.
        let parent = entry.parent.filter(|parent| entries.contains_key(parent));
        children.entry(parent).or_default().push(name);
    }
    for names in children.values_mut() {
        // Entries without a time count as the latest; the stack below returns the last one first.
        names.sort_by_key(|name| std::cmp::Reverse(entries.get(name).map(|e| (e.time.is_none(), e.time))));
    }
    let mut text = String::new();
    let mut stack: Vec<(usize, &str)> =
        children.remove(&None).unwrap_or_default().into_iter().map(|name| (0, name)).collect();
    while let Some((depth, name)) = stack.pop() {
        if let Some(entry) = entries.get(name) {
            text += &line(depth, name, entry, zone);
        }
        let below = children.remove(&Some(name)).unwrap_or_default();
        stack.extend(below.into_iter().map(|child| (depth + 1, child)));
    }
    text
}

fn line(depth: usize, name: &str, entry: &Entry<'_>, zone: &TimeZone) -> String {
    let prefix = format!("{}`->", " ".repeat(depth));
    let time = entry.time.and_then(|time| Timestamp::from_second(time).ok());
    let time = time
        .map(|time| time.to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S").to_string())
        .unwrap_or_default();
    // pct prints the first line only.
    let description = match entry.description {
        "" | "0" => "no-description",
        text => text.lines().next().unwrap_or_default(),
    };
    let width = 30_usize.saturating_sub(prefix.len());
    format!("{prefix} {name:<width$} {time:<23} {description}\n")
}

#[cfg(test)]
mod tests {
    use pvect_core::config::ParseMode;

    use super::*;

    fn shown(text: &str) -> String {
        let (config, _) = ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).unwrap();
        tree(&config, &TimeZone::UTC)
    }

    #[test]
    fn a_tree_with_branches() {
        assert_eq!(
            shown(
                "parent: s1\n\n[s1]\nsnaptime: 1795394667\n\n[s2]\n#before upgrade\n#second\nparent: s1\n\
                 snaptime: 1795394668\n\n[s3]\nparent: s2\nsnaptime: 1795394674\n"
            ),
            "`-> s1                          2026-11-23 00:44:27     no-description\n\
             \u{20}`-> s2                         2026-11-23 00:44:28     before upgrade\n\
             \u{20} `-> s3                        2026-11-23 00:44:34     no-description\n\
             \u{20}`-> current                                            You are here!\n"
        );
    }

    #[test]
    fn odd_parents_do_no_harm() {
        // Entries that are each other's parents are not shown, as in pct.
        let text = "parent: gone\n\n[aa]\nparent: bb\n\n[bb]\nparent: aa\n";
        assert_eq!(shown(text), "`-> current                                             You are here!\n");
        let time = "\n[aa]\nsnaptime: 99999999999999999\n";
        assert!(shown(time).starts_with("`-> aa    "), "{}", shown(time));
    }
}
