//! What stands where the settings say nothing.

use pvect_core::{Error, NodeName, Result};

/// Where pct is looked for when no path is set.
pub const DEFAULT_PROGRAMS: [&str; 2] = ["/usr/sbin/pct", "/usr/bin/pct"];
/// The root of the standalone node when none is set.
pub const DEFAULT_ROOT: &str = "/var/lib/pvect";

/// Returns the host's name up to its first dot, as a node's name.
///
/// # Errors
/// [`Error::Settings`] when it cannot be one.
pub fn host_name() -> Result<NodeName> {
    let uname = rustix::system::uname();
    let host = uname.nodename().to_string_lossy();
    let short = host.split('.').next().unwrap_or_default();
    short.parse().map_err(|error| Error::Settings {
        what: format!("the host's name cannot be the node's name ({error}); set proxmox.node"),
    })
}
