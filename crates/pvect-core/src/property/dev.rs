//! `dev[n]`.

use std::fmt;

use super::{Reader, Writer, print};
use crate::schema::{Reason, Violation, properties};

/// A device that is passed through.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
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
    /// Booleans that were written out although they have their default; printing keeps them.
    pub written: Vec<&'static str>,
}

impl DeviceEntry {
    /// Parses the value of `dev[n]`; `name` is the option's full name, for the violations.
    ///
    /// # Errors
    /// Every violation of the schema, and a missing path.
    pub fn parse(name: &str, text: &str) -> Result<Self, Vec<Violation>> {
        let mut reader = Reader::new(&properties::DEV, name, text)?;
        let Some(path) = reader.owned("path") else {
            return Err(vec![Violation::option(format!("{name}.path"), Reason::Missing)]);
        };
        Ok(Self {
            path,
            deny_write: reader.switch("deny-write", false),
            uid: reader.number("uid")?,
            gid: reader.number("gid")?,
            mode: reader.parsed("mode", |text| u32::from_str_radix(text, 8).ok())?,
            written: reader.written,
        })
    }
}

impl fmt::Display for DeviceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::default();
        writer.put("path", &self.path);
        writer.switch("deny-write", self.deny_write, false, &self.written);
        writer.maybe("uid", self.uid);
        writer.maybe("gid", self.gid);
        writer.maybe("mode", self.mode.map(|mode| format!("{mode:04o}")));
        f.write_str(&print(&properties::DEV, &writer.pairs))
    }
}
