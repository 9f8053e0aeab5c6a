//! `features`.

use std::fmt;

use super::{Reader, Writer, print};
use crate::schema::{Violation, properties};

/// What a container may do beyond the usual.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Features {
    /// Mount /sys read-write in unprivileged containers.
    pub force_rw_sys: bool,
    /// Allow FUSE.
    pub fuse: bool,
    /// Allow keyctl (unprivileged only).
    pub keyctl: bool,
    /// Allow mknod of some devices (unprivileged only).
    pub mknod: bool,
    /// File system types that may be mounted.
    pub mount: Vec<String>,
    /// Allow nested containers.
    pub nesting: bool,
    /// Booleans that were written out although they have their default; printing keeps them.
    pub written: Vec<&'static str>,
}

impl Features {
    /// Parses the value of `features`.
    ///
    /// # Errors
    /// Every violation of the schema.
    pub fn parse(text: &str) -> Result<Self, Vec<Violation>> {
        let mut reader = Reader::new(&properties::FEATURES, "features", text)?;
        Ok(Self {
            force_rw_sys: reader.switch("force_rw_sys", false),
            fuse: reader.switch("fuse", false),
            keyctl: reader.switch("keyctl", false),
            mknod: reader.switch("mknod", false),
            mount: reader.list("mount", &[';', ' ']),
            nesting: reader.switch("nesting", false),
            written: reader.written,
        })
    }
}

impl fmt::Display for Features {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut writer = Writer::default();
        let switches = [
            ("force_rw_sys", self.force_rw_sys),
            ("fuse", self.fuse),
            ("keyctl", self.keyctl),
            ("mknod", self.mknod),
            ("nesting", self.nesting),
        ];
        for (key, on) in switches {
            writer.switch(key, on, false, &self.written);
        }
        writer.join("mount", &self.mount);
        f.write_str(&print(&properties::FEATURES, &writer.pairs))
    }
}
