//! Raw `lxc.*` keys: which ones Proxmox VE keeps.

/// What Proxmox VE does with a raw key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RawKey {
    /// Kept.
    Allowed,
    /// Kept, with a warning: what to use in its place.
    Deprecated(&'static str),
    /// Refused, and why.
    Refused(&'static str),
    /// Not a key of lxc.container.conf(5).
    Unknown,
}

/// Classifies a raw key.
pub fn raw_key(_key: &str) -> RawKey {
    RawKey::Unknown
}
