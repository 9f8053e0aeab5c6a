//! Hook scripts: a program of the administrator's, run at phases of a container's life.

use std::os::unix::fs::PermissionsExt;

use pvect_core::{ContainerConfig, Vmid, VolumeId};

use crate::tool::Tool;
use crate::{Failure, Node, NodeResult, Output, storage};

/// Runs the hook script, if the configuration names one, as `<script> <vmid> <phase>`. What it prints goes to
/// stdout.
///
/// # Errors
/// `hookscript error for <vmid> on <phase>: ...`.
pub(crate) fn run(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    phase: &str,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let Some(volume) = config.main.options.get("hookscript") else { return Ok(()) };
    script(node, volume)
        .and_then(|path| {
            Tool::new(&path, "none")
                .args([vmid.to_string().as_str(), phase])
                .stream(&mut |line| output.line(line))
        })
        .map_err(|failure| Failure::new(format!("hookscript error for {vmid} on {phase}: {}", failure.text)))
}

/// As [`run`], for the phases that stop nothing: an error is a warning.
pub(super) fn run_or_warn(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    phase: &str,
    output: &mut Output<'_>,
) {
    if let Err(failure) = run(node, vmid, config, phase, output) {
        output.line(failure.text);
    }
}

fn script(node: &Node, volume: &str) -> NodeResult<String> {
    let id: VolumeId =
        volume.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{volume}'")))?;
    let path = storage::volume_path(node, &id)?;
    let executable = std::fs::metadata(&path).is_ok_and(|meta| meta.permissions().mode() & 0o100 != 0);
    if !executable {
        return Err(Failure::new(format!("script '{volume}' is not executable")));
    }
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::new(format!("script '{volume}' is not executable")))
}
