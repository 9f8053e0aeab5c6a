//! `features`.

use std::fmt;

use crate::schema::Violation;

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
}

impl Features {
    /// Parses the value of `features`.
    ///
    /// # Errors
    /// Every violation of the schema.
    pub fn parse(_text: &str) -> Result<Self, Vec<Violation>> {
        Err(Vec::new())
    }
}

impl fmt::Display for Features {
    fn fmt(&self, _f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Ok(())
    }
}
