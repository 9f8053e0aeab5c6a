//! `dev[n]`.

use std::fmt;

use crate::schema::Violation;

/// A device that is passed through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEntry {
    /// Its path, below /dev.
    pub path: String,
    /// Not writable.
    pub deny_write: bool,
    /// Owner in the container.
    pub uid: Option<u32>,
    /// Group in the container.
    pub gid: Option<u32>,
    /// Mode, such as 0660.
    pub mode: Option<u32>,
}

impl DeviceEntry {
    /// Parses the value of `dev[n]`; `name` is the option's full name, for the violations.
    ///
    /// # Errors
    /// Every violation of the schema.
    pub fn parse(_name: &str, _text: &str) -> Result<Self, Vec<Violation>> {
        Err(Vec::new())
    }
}

impl fmt::Display for DeviceEntry {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
