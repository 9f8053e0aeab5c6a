//! Snapshots in the order of their tree.

use std::collections::BTreeMap;

use super::{ContainerConfig, SnapshotEntry};

impl ContainerConfig {
    /// Returns the snapshots, parents before their children, siblings by time and then by name.
    ///
    /// A snapshot whose parent does not exist is a root; those that are each other's parents come last. A section whose
    /// name is not a snapshot's (longer than 40 characters) is left out.
    pub fn snapshot_entries(&self) -> Vec<SnapshotEntry> {
        let entry = |(name, section): (&String, &super::Section)| {
            Some(SnapshotEntry {
                name: name.parse().ok()?,
                parent: section.options.get("parent").cloned(),
                snaptime: section.options.get("snaptime").and_then(|time| time.parse().ok()),
                description: section.description.clone(),
            })
        };
        let mut waiting: BTreeMap<String, SnapshotEntry> = self
            .snapshots
            .iter()
            .filter_map(|(name, section)| Some((name.clone(), entry((name, section))?)))
            .collect();
        let mut children: BTreeMap<Option<String>, Vec<String>> = BTreeMap::new();
        for (name, entry) in &waiting {
            let parent = entry.parent.clone().filter(|parent| waiting.contains_key(parent));
            children.entry(parent).or_default().push(name.clone());
        }
        // Latest first, because the stack returns the last one first. A snapshot without a time counts as the latest.
        for names in children.values_mut() {
            names.sort_by_key(|name| {
                let time = waiting.get(name).and_then(|entry| entry.snaptime);
                std::cmp::Reverse((time.is_none(), time, name.clone()))
            });
        }
        let mut stack = children.remove(&None).unwrap_or_default();
        let mut ordered = Vec::with_capacity(waiting.len());
        while let Some(name) = stack.pop() {
            ordered.extend(waiting.remove(&name));
            stack.extend(children.remove(&Some(name)).unwrap_or_default());
        }
        ordered.extend(waiting.into_values());
        ordered
    }
}
