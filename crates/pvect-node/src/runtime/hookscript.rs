//! Hook scripts: a program of the administrator's, run at phases of a container's life.

use std::os::unix::fs::PermissionsExt;

use pvect_core::{ContainerConfig, Vmid, VolumeId};

use super::hook_path;
use crate::tool::Tool;
use crate::{Failure, FailureKind, Node, NodeResult, Output, storage};

/// Runs the hook script, if the configuration names one, as `<script> <vmid> <phase>`. What it prints, to stdout and
/// stderr, goes to stdout.
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
    let ran = script(node, volume).and_then(|path| {
        let tool = Tool::new(&path, "none").args([vmid.to_string().as_str(), phase]);
        let tool = hook_path::on_node(tool, node)?;
        match tool.merge(&mut |line| output.line(line))? {
            0 => Ok(()),
            code => Err(Failure::new(format!("command '{path} {vmid} {phase}' failed: exit code {code}"))),
        }
    });
    // With an empty line after it, as in the real pct.
    ran.map_err(|failure| Failure::new(format!("hookscript error for {vmid} on {phase}: {}\n", failure.text)))
}

/// As [`run`], for the phases in which an error is only a warning.
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

/// Source: pve-guest-common, `check_hookscript`.
fn script(node: &Node, volume: &str) -> NodeResult<String> {
    let id: VolumeId =
        volume.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{volume}'")))?;
    if !id.volume().starts_with("snippets/") {
        return Err(Failure::new(format!("'{volume}' is not in the snippets directory")));
    }
    let missing = || Failure::new(format!("script '{volume}' does not exist"));
    let path = storage::volume_path(node, &id).map_err(|failure| match failure.kind {
        FailureKind::NoVolume { .. } => missing(),
        _ => failure,
    })?;
    let meta = std::fs::metadata(&path).map_err(|_| missing())?;
    if !meta.is_file() {
        return Err(missing());
    }
    match path.to_str() {
        Some(path) if meta.permissions().mode() & 0o100 != 0 => Ok(path.to_owned()),
        _ => Err(Failure::new(format!("script '{volume}' is not executable"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_fail_with_the_words_of_the_real_one() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        crate::store::ensure_root(&node).unwrap();
        let path = node.layout.local_storage().join("snippets/hook.sh");
        let try_it = |volume: &str| {
            let mut config = ContainerConfig::default();
            config.main.set("hookscript", volume);
            let (mut out, mut err) = (Vec::new(), Vec::new());
            let mut output = Output::new(&mut out, &mut err);
            let ran = run(&node, "101".parse().unwrap(), &config, "pre-start", &mut output);
            (ran.map_err(|failure| failure.text), String::from_utf8(out).unwrap())
        };
        let fails = |volume: &str, why: &str| {
            let text = format!("hookscript error for 101 on pre-start: {why}\n");
            assert_eq!(try_it(volume).0, Err(text));
        };
        fails("local:snippets/hook.sh", "script 'local:snippets/hook.sh' does not exist");
        std::fs::write(&path, "#!/bin/sh\necho $1 $2; echo oops >&2; exit 3\n").unwrap();
        fails("local:snippets/hook.sh", "script 'local:snippets/hook.sh' is not executable");
        fails("local:101/x.raw", "'local:101/x.raw' is not in the snippets directory");
        fails("x", "unable to parse volume ID 'x'");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        let command = format!("command '{} 101 pre-start' failed: exit code 3", path.display());
        fails("local:snippets/hook.sh", &command);
        assert_eq!(try_it("local:snippets/hook.sh").1, "101 pre-start\noops\n");
    }
}
