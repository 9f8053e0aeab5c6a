//! `pvect exec`, `enter`, `console`: on the caller's own terminal, with the command's own status.

use pvect::{Client, Place};
use pvect_core::error::{Exit, Run};
use pvect_core::schema::{Reason, Violation};
use pvect_core::{Call, CheckedCall, Error, ErrorKind, Result, RunState, Verb};

use crate::app::App;
use crate::args::{Given, PctLine};
use crate::commands::operate;

/// Runs the command and returns its status.
pub async fn run(app: &App, line: &PctLine) -> Result<u8> {
    if line.verb == Verb::Exec && line.rest.is_empty() {
        return Err(Error::invalid(Violation::positional("command", Reason::Missing)));
    }
    // The caller's environment is only passed on if that is asked for, because it may contain secrets.
    let keeps = line.options.iter().any(|(name, value)| name == "keep-env" && is_yes(value));
    let (client, call) = operate::begin_with(app, line, |builder| {
        if keeps {
            // Our own variables would choose another standalone node.
            let theirs = app.env.iter().filter(|(name, _)| !name.starts_with("PVECT_"));
            theirs.fold(builder, |builder, (name, value)| builder.env(name, value))
        } else {
            builder
        }
    })
    .await?;
    let call = without_environment(app, call)?;
    if app.ui.globals.dry_run {
        return operate::dry_run(app, &client, &call);
    }
    // Asking the standalone node is cheap, and better than showing an error twice.
    let standalone = matches!(client.place(), Place::Standalone { .. });
    if standalone {
        explain(&client, &call, None).await?;
    }
    let status = client.interactive(&call).await?;
    if !standalone && matches!(status, 2 | 25 | 255) {
        explain(&client, &call, Some(Exit::Status(status))).await?;
    }
    Ok(u8::try_from(status).unwrap_or(125))
}

/// Trap keep-env: pct passes its environment on. The container's own configuration sets TERM. A pct before
/// pve-container 5.0.9 does not know the option: `--no-check` leaves it out.
fn without_environment(app: &App, call: CheckedCall) -> Result<CheckedCall> {
    let has_option = call.verb().spec().option("keep-env").is_some();
    if !has_option || call.has("keep-env") || app.ui.globals.no_check {
        return Ok(call);
    }
    call.adjusted(|call| call.flag("keep-env", false))
}

fn is_yes(value: &Given) -> bool {
    matches!(value, Given::Text(text) if ["1", "yes", "on", "true"].contains(&text.to_ascii_lowercase().as_str()))
}

/// pct's own failures have statuses that commands have too: 255, or the errno that was left over (2, 25). Whether the
/// container exists and runs tells the two apart.
async fn explain(client: &Client, call: &Call, exit: Option<Exit>) -> Result<()> {
    let Some(vmid) = call.vmid() else { return Ok(()) };
    match client.status(vmid).await {
        // pct's own message is on the terminal already.
        Err(Error::Found { finding, vmid, .. }) if finding.kind() == ErrorKind::NotFound => {
            Err(Error::Found { finding, vmid, run: None })
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(Error::NotFound { what: error.to_string(), vmid: Some(vmid) })
        }
        Ok(found) if found.status == RunState::Stopped => Err(Error::Failed {
            kind: ErrorKind::NotRunning,
            message: format!("CT {vmid} not running"),
            vmid: Some(vmid),
            run: Box::new(Run { argv: client.command_line(call), exit, ..Run::default() }),
        }),
        _ => Ok(()),
    }
}
