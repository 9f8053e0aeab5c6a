//! Lines of an LXC configuration, and paths in them.

use std::path::Path;

use crate::{Failure, NodeResult};

/// The lines of an LXC configuration.
#[derive(Debug, Default)]
pub(super) struct Lines(pub(super) String);

impl Lines {
    /// Adds `key = value`.
    pub(super) fn put(&mut self, key: &str, value: impl AsRef<str>) -> NodeResult<()> {
        let value = value.as_ref();
        if value.contains(['\n', '\r', '\0']) {
            return Err(Failure::new(format!("the value of '{key}' holds a line break")));
        }
        self.0.push_str(&format!("{key} = {value}\n"));
        Ok(())
    }
}

/// A path as text, as the configuration needs it.
pub(super) fn utf8(path: &Path) -> NodeResult<&str> {
    path.to_str().ok_or_else(|| Failure::new(format!("the path '{}' is not UTF-8", path.display())))
}

/// Escapes a path for a line of fstab(5).
pub(super) fn fstab(path: &str) -> String {
    path.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011")
}
