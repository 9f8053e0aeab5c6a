//! Traps exit-zero and silent-copy: push and pull end with 0 when the copy failed, look at no write error, and make
//! an empty file of a directory. pull empties the file that is there before it looks for the source.

use std::path::Path;

use pvect_core::{Call, CheckedCall, Error, Events, Outcome, Result, Verb, Vmid};

use super::fingerprint::{Fingerprint, Found};
use super::verify::{is_same, look, of_guest, of_local};
use super::{Manner, not_done};
use crate::Client;

/// Copies one file and compares both sides.
pub(super) async fn run(
    client: &Client,
    call: &CheckedCall,
    manner: &Manner,
    events: &mut dyn Events,
) -> Result<Outcome> {
    let (Some(vmid), [_, from, to]) = (call.vmid(), call.args()) else {
        return client.plain(call, events).await;
    };
    match call.verb() {
        Verb::Push if Path::new(from).is_dir() => Err(is_directory("file", from)),
        _ if !manner.verify => client.plain(call, events).await,
        Verb::Push => push(client, call, (vmid, Path::new(from), to), events).await,
        _ => pull(client, call, (vmid, from, Path::new(to)), events).await,
    }
}

async fn push(
    client: &Client,
    call: &CheckedCall,
    (vmid, from, to): (Vmid, &Path, &str),
    events: &mut dyn Events,
) -> Result<Outcome> {
    let mut outcome = client.plain(call, events).await?;
    if unreadable(&mut outcome, from) || is_same(client, vmid, to, from).await? {
        return Ok(outcome);
    }
    let here = of_local(from).await?;
    let there = of_guest(client, vmid, to, &here).await?;
    if here.fits(&there) { Ok(outcome) } else { Err(differ(client, call, &outcome, &here, &there)) }
}

async fn pull(
    client: &Client,
    call: &CheckedCall,
    (vmid, from, to): (Vmid, &str, &Path),
    events: &mut dyn Events,
) -> Result<Outcome> {
    // Read before pct touches the existing file.
    let before = match look(client, vmid, from).await? {
        Found::Directory => return Err(is_directory("path", from)),
        Found::Nothing => {
            let what = format!("there is no '{from}' in container {vmid}");
            return Err(Error::NotFound { what, vmid: Some(vmid) });
        }
        Found::File(content) => Some(content),
        // It will be read once it is copied.
        Found::Unread | Found::Unknown => None,
    };
    let mut outcome = client.plain(call, events).await?;
    if unreadable(&mut outcome, to) || is_same(client, vmid, from, to).await? {
        return Ok(outcome);
    }
    let here = of_local(to).await?;
    let there = match before {
        Some(content) => content,
        None => of_guest(client, vmid, from, &here).await?,
    };
    if here.fits(&there) {
        return Ok(outcome);
    }
    // A file that grows in the container differs from its copy though nothing failed.
    outcome = client.plain(call, events).await?;
    let here = of_local(to).await?;
    let there = of_guest(client, vmid, from, &here).await?;
    if here.fits(&there) { Ok(outcome) } else { Err(differ(client, call, &outcome, &here, &there)) }
}

/// A pipe or a device cannot be read again.
fn unreadable(outcome: &mut Outcome, local: &Path) -> bool {
    let odd = local.metadata().is_ok_and(|meta| !meta.is_file());
    if odd {
        let text = format!("the copy was not verified: '{}' is not a regular file here", local.display());
        outcome.warnings.push(text);
    }
    odd
}

fn is_directory(argument: &str, path: &str) -> Error {
    let text = format!("'{path}' is a directory: add --recursive to copy what is in it");
    Error::bad_argument(argument, text)
}

fn differ(client: &Client, call: &Call, outcome: &Outcome, here: &Fingerprint, there: &Fingerprint) -> Error {
    let message = format!(
        "pct reports success, but the copy differs: here {here}; in the container {there} (--no-verify leaves \
         the comparison out)"
    );
    not_done(client, call, outcome, message)
}
