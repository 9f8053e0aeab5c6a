//! Waiting for the address of a container that is started.

use pvect_core::{Call, Error, Result, Verb, Vmid};

use crate::Client;

/// Returns the container whose address can be waited for when the call is done.
///
/// # Errors
/// `Unsupported` where addresses cannot be read; `InvalidArgument` for a call that starts nothing.
pub(super) fn expected(client: &Client, call: &Call) -> Result<Vmid> {
    // Before anything is started.
    client.native("waiting for an address")?;
    let starts = match call.verb() {
        Verb::Start => true,
        Verb::Create | Verb::Restore => call.get("start") == Some("1"),
        _ => false,
    };
    let vmid = call.vmid().filter(|_| starts);
    vmid.ok_or_else(|| Error::bad_option("wait-ip", "is for what starts the container: it needs --start"))
}
