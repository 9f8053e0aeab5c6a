//! `pvect clone CONTAINER [VMID]`.

use pvect_core::{Result, Vmid};

use crate::app::App;
use crate::args::PctLine;
use crate::commands::create::tell;
use crate::commands::{careful, operate};
use crate::progress::Progress;

/// Runs the command. Without a number for the clone, or with `next`, the next free one is taken, and printed to stdout.
pub async fn run(app: &App, line: &PctLine) -> Result<u8> {
    let mut line = line.clone();
    let given = match line.args.as_slice() {
        [_] => None,
        [_, second, ..] if second == "next" => {
            line.args.remove(1);
            None
        }
        [_, second, ..] => match second.parse::<Vmid>() {
            Ok(vmid) => Some(vmid),
            // It is an error, or left to pct.
            Err(_) => return operate::run(app, &line).await,
        },
        [] => return operate::run(app, &line).await,
    };
    if given.is_none() {
        // Check the call with any number; the real one comes later.
        line.args.insert(1, Vmid::MIN.to_string());
    }
    let (line, manner) = careful::prepare(app, &line)?;
    let (client, call) = operate::begin(app, &line).await?;
    let of = |vmid: Vmid| call.clone().with_vmid(1, vmid);
    if app.ui.globals.dry_run {
        let vmid = match given {
            Some(vmid) => vmid,
            None => client.next_free_vmid().await?,
        };
        return operate::dry_run(app, &client, &of(vmid));
    }
    let mut progress = Progress::new(&app.ui, &call, operate::log_to(app, &call));
    let (vmid, outcome) = match given {
        Some(vmid) => (vmid, client.carry_out_checked(&of(vmid), &manner, &mut progress).await?),
        None => client.with_free_number(of, &manner, &mut progress).await?,
    };
    drop(progress);
    tell(app, &call, vmid, &outcome, given.is_some())
}
