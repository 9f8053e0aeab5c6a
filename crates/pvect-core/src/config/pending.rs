//! Pending changes.

use std::collections::BTreeSet;

use serde::Serialize;

use super::{ContainerConfig, Section, encode};
use crate::schema::split_list;

/// An option that the next start removes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingDelete {
    /// The option.
    pub key: String,
    /// Marked with `!`: removed even if something is lost.
    pub force: bool,
}

/// One key of `pct pending`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingItem {
    /// The option.
    pub key: String,
    /// The value in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// The value after the next start, if it will change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
    /// Whether the next start removes it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub delete: bool,
}

/// Parses the value of `delete:`: option names separated by `,`, `;` or blanks, `!` before one to force it.
///
/// If a name is repeated, the last one counts.
pub fn parse_delete(text: &str) -> Vec<PendingDelete> {
    let mut entries: Vec<PendingDelete> = Vec::new();
    for entry in split_list(text) {
        let (key, force) = match entry.strip_prefix('!') {
            Some(key) => (key, true),
            None => (entry, false),
        };
        if key.is_empty() {
            continue;
        }
        match entries.iter_mut().find(|known| known.key == key) {
            Some(known) => known.force = force,
            None => entries.push(PendingDelete { key: key.to_owned(), force }),
        }
    }
    entries
}

/// Prints the value of `delete:` as Proxmox VE does: sorted, joined with `,`.
pub fn print_delete(entries: &[PendingDelete]) -> String {
    let mut sorted: Vec<&PendingDelete> = entries.iter().collect();
    sorted.sort_by_key(|entry| &entry.key);
    let words = sorted.iter().map(|entry| format!("{}{}", if entry.force { "!" } else { "" }, entry.key));
    words.collect::<Vec<_>>().join(",")
}

/// Prints what `pct pending` prints: `cur`, `new` and `del` lines, descriptions percent-encoded.
///
/// Deletions of options that are not set have no line.
pub fn pending_output(items: &[PendingItem]) -> String {
    let mut output = String::new();
    for item in items {
        let shown = |value: &String| {
            if item.key == "description" { encode(value) } else { value.clone() }
        };
        let mut line = |word: &str, value: &str| {
            output += &format!("{word} {}: {value}\n", item.key);
        };
        match (&item.value, &item.pending) {
            (Some(value), _) if item.delete => line("del", &shown(value)),
            (value, pending) => {
                if let Some(value) = value {
                    line("cur", &shown(value));
                }
                if let Some(pending) = pending {
                    line("new", &shown(pending));
                }
            }
        }
    }
    output
}

impl Section {
    /// Marks an option for deletion at the next start. A pending value of it stays; removing that is up to the caller.
    pub fn add_delete(&mut self, key: &str, force: bool) {
        self.remove_delete(key);
        self.delete.push(PendingDelete { key: key.to_owned(), force });
        self.delete.sort_by(|a, b| a.key.cmp(&b.key));
    }

    /// Takes an option off the list of deletions and returns whether it was on it.
    pub fn remove_delete(&mut self, key: &str) -> bool {
        let before = self.delete.len();
        self.delete.retain(|entry| entry.key != key);
        self.delete.len() != before
    }

    /// Returns whether nothing is in the section.
    pub fn is_empty(&self) -> bool {
        let Self { description, options, env, raw, delete, delete_text: _ } = self;
        description.is_none() && options.is_empty() && env.is_empty() && raw.is_empty() && delete.is_empty()
    }
}

impl ContainerConfig {
    /// Returns the main section with pending changes merged in and pending deletions left out.
    pub fn merged(&self) -> Section {
        let mut merged = self.main.clone();
        if let Some(pending) = &self.pending {
            for key in pending.keys() {
                if let Some(value) = pending.get(key) {
                    merged.set(key, value);
                }
            }
            for entry in &pending.delete {
                merged.remove(&entry.key);
            }
        }
        merged
    }

    /// Returns current and pending values by key, sorted as bytes, as `pct pending` shows them.
    pub fn pending_items(&self) -> Vec<PendingItem> {
        let none = Section::default();
        let pending = self.pending.as_ref().unwrap_or(&none);
        let deleted: BTreeSet<&str> = pending.delete.iter().map(|entry| entry.key.as_str()).collect();
        let keys: BTreeSet<&str> =
            self.main.keys().into_iter().chain(pending.keys()).chain(deleted.iter().copied()).collect();
        keys.into_iter()
            .map(|key| PendingItem {
                key: key.to_owned(),
                value: self.main.get(key).map(Into::into),
                pending: pending.get(key).map(Into::into),
                delete: deleted.contains(key),
            })
            .collect()
    }

    /// Drops pending changes without effect: values equal to the current ones, and deletions of options that are not
    /// set. The list of deletions is sorted from then on, as Proxmox VE writes it.
    ///
    /// Returns whether anything was dropped.
    pub fn cleanup_pending(&mut self) -> bool {
        let Some(pending) = &mut self.pending else { return false };
        let main = &self.main;
        let same: Vec<String> = pending
            .keys()
            .into_iter()
            .filter(|key| main.get(key).is_some_and(|value| pending.get(key) == Some(value)))
            .map(str::to_owned)
            .collect();
        for key in &same {
            pending.remove(key);
        }
        let before = pending.delete.len();
        pending.delete.retain(|entry| main.get(&entry.key).is_some());
        let changed = !same.is_empty() || pending.delete.len() != before;
        pending.delete.sort_by(|a, b| a.key.cmp(&b.key));
        pending.delete_text = None;
        if pending.is_empty() {
            self.pending = None;
        }
        changed
    }
}
