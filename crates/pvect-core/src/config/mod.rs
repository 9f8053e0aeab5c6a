//! A container's configuration: the file `<vmid>.conf`, parsed, changed and printed.
//!
//! The text is the truth: values are kept as they are in the file, typed access parses them on demand. So an
//! unknown key, a value outside the schema or a raw `lxc.*` line survives a change of something else.

mod parse;
mod pending;
mod raw;
mod snapshot;
mod text;
mod typed;
mod write;

use std::collections::BTreeMap;

use serde::Serialize;

pub use parse::{ParseMode, Warning};
pub use pending::{PendingDelete, PendingItem, parse_delete, pending_output, print_delete};
pub use raw::{RawKey, raw_key};
pub use text::{decode, encode};
pub use typed::{IdMap, InvalidIdMap};

use crate::{SnapshotName, Vmid};

/// Why a configuration could not be parsed or printed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A line does not fit the grammar (strict mode only).
    #[error("line {line}: {what}")]
    Line {
        /// Its number, from 1.
        line: usize,
        /// What is wrong.
        what: String,
    },
    /// A value must not contain a line break.
    #[error("the value of '{key}' holds a line break")]
    LineBreak {
        /// The key.
        key: String,
    },
    /// The bytes are not UTF-8.
    #[error("byte {offset} is not UTF-8")]
    NotUtf8 {
        /// Offset of the first bad byte.
        offset: usize,
    },
}

/// One section: the main one, `[pve:pending]`, or a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Section {
    /// The description with its line breaks; the file keeps it as comment lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Options by key, sorted as bytes (the writer's order: mp10 before mp2). Without `description` and `env`.
    pub options: BTreeMap<String, String>,
    /// `lxc.environment.runtime` entries (`NAME=value`), in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Other raw `lxc.*` lines, key and value, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub raw: Vec<(String, String)>,
    /// `[pve:pending]` only: options to be deleted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub delete: Vec<PendingDelete>,
    /// `[pve:pending]` only: the value of `delete:` as the file had it. It is printed again as long as it means the
    /// same as [`Section::delete`].
    #[serde(skip)]
    pub delete_text: Option<String>,
}

/// A snapshot, as `listsnapshot` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SnapshotEntry {
    /// Its name.
    pub name: SnapshotName,
    /// The snapshot before it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// When it was made, seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snaptime: Option<i64>,
    /// Its description.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A container's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct ContainerConfig {
    /// What is in force.
    #[serde(flatten)]
    pub main: Section,
    /// What the next start will change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<Section>,
    /// The snapshots by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub snapshots: BTreeMap<String, Section>,
    /// The first host id of the container's map, if its node uses another one for unprivileged containers than Proxmox
    /// VE does. It comes from the node and is not in the file.
    #[serde(skip)]
    pub id_base: Option<u32>,
}

impl Section {
    /// Returns the text of an option; `description` and `env` (joined with NUL) too.
    pub fn get(&self, key: &str) -> Option<std::borrow::Cow<'_, str>> {
        match key {
            "description" => self.description.as_deref().map(Into::into),
            "env" if self.env.is_empty() => None,
            "env" => Some(self.env.join("\0").into()),
            _ => self.options.get(key).map(|value| value.as_str().into()),
        }
    }

    /// Sets an option from its text; `description` and `env` too.
    pub fn set(&mut self, key: &str, value: impl Into<String>) {
        let value = value.into();
        match key {
            "description" => self.description = Some(value),
            "env" => {
                self.env = value.split('\0').filter(|entry| !entry.is_empty()).map(str::to_owned).collect();
            }
            _ => {
                self.options.insert(key.to_owned(), value);
            }
        }
    }

    /// Removes an option and returns whether it was set.
    pub fn remove(&mut self, key: &str) -> bool {
        match key {
            "description" => self.description.take().is_some(),
            "env" => !std::mem::take(&mut self.env).is_empty(),
            _ => self.options.remove(key).is_some(),
        }
    }

    /// Returns the keys that are set, sorted as bytes, `description` and `env` among them.
    pub fn keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.options.keys().map(String::as_str).collect();
        keys.extend(self.description.as_ref().map(|_| "description"));
        keys.extend((!self.env.is_empty()).then_some("env"));
        keys.sort_unstable();
        keys
    }
}

impl ContainerConfig {
    /// Returns the hostname, or `CT<vmid>`.
    pub fn name(&self, vmid: Vmid) -> String {
        self.main.options.get("hostname").cloned().unwrap_or_else(|| format!("CT{vmid}"))
    }

    /// Returns the `lock:` of the main section.
    pub fn lock(&self) -> Option<crate::Lock> {
        self.main.options.get("lock").map(|name| crate::Lock::from(name.as_str()))
    }

    /// Returns whether the main section has a boolean option set to true; absent means false.
    pub fn is_set(&self, key: &str) -> bool {
        self.main.is_set(key)
    }
}

#[cfg(test)]
mod tests;
