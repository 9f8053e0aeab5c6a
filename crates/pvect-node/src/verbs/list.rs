//! `pct list`: lists the containers.

use pvect_core::{Call, Listing, RunState, Vmid};
use pvect_native::Counted;

use crate::{Failure, FailureKind, Node, NodeResult, Output, store, verified, vmids};

/// Lists the containers. Returns the exit status.
///
/// A fixed-width table, nothing at all without containers; no column is cut.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, _call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let listings = listings(node, output)?;
    output.text(Listing::table(&listings));
    Ok(0)
}

/// `pct list --output-format json`, an extension: an array of objects with vmid, status, lock (where set), name.
///
/// # Errors
/// As [`run`].
pub fn run_json(node: &Node, output: &mut Output<'_>) -> NodeResult<u8> {
    let listings = listings(node, output)?;
    output.line(super::json(&listings)?);
    Ok(0)
}

fn listings(node: &Node, output: &mut Output<'_>) -> NodeResult<Vec<Listing>> {
    let (mut listings, mut counted) = (Vec::new(), Vec::new());
    let reader = super::status::reader(node);
    let vmids::Numbers { strays, vmids } = vmids::numbers(node)?;
    let running = reader.running();
    reader.foreigners(&vmids).iter().for_each(|foreign| output.warn(foreign.to_string()));
    // Their numbers are below all others.
    counted.resize_with(strays.len(), || None);
    for vmid in vmids {
        if let Some((listing, of_one)) = listing(node, vmid, running.contains(&vmid), output)? {
            listings.push(listing);
            counted.push(Some(of_one));
        }
    }
    verified::list(&counted)?;
    Ok(listings)
}

/// Reads one container; none when it vanished meanwhile. One that cannot be read is listed with its warning.
fn listing(
    node: &Node,
    vmid: Vmid,
    running: bool,
    output: &mut Output<'_>,
) -> NodeResult<Option<(Listing, Counted)>> {
    let config = match store::load_telling(node, vmid, output) {
        Ok(stored) => stored.config,
        Err(Failure { kind: FailureKind::NoContainer { .. }, .. }) => return Ok(None),
        Err(failure) => {
            output.warn(&failure.text);
            pvect_core::ContainerConfig::default()
        }
    };
    let counted = verified::counted(&config, running, output)?;
    let status = if running { RunState::Running } else { RunState::Stopped };
    let name = config.name(vmid).split_whitespace().collect();
    Ok(Some((Listing { vmid, status, lock: config.lock(), name, node: None }, counted)))
}
