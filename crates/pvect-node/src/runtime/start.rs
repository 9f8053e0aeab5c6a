//! Starts a container.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use pvect_core::{ContainerConfig, Vmid};
use pvect_native::Cgroups;

use super::user_namespace::{has_user_namespace, hide_id_map_tools};
use super::{
    PATH, START_CONFIG, StopMode, apparmor, cannot_run, cgroups, devices, environment, granted, hookscript,
    mount_hooks, names, network, overlaps, quota, reachable, seccomp, shell_words, stop, write_lxc_config,
};
use crate::idmap::IdMap;
use crate::interrupt::Interrupt;
use crate::network::{StartMark, Unfiltered};
use crate::storage::{self, PrivateMounts};
use crate::{Failure, Node, NodeResult, Output, ids, lock_files, process, setup};

/// How long lxc-start may go on after a signal. If it were killed halfway, it would leave a running monitor behind.
const START_GRACE: Duration = Duration::from_secs(5);

/// Starts a container and returns when its init runs. The configuration lock is held by the caller, who has made sure
/// that nobody else holds the container's socket, and has applied pending changes: see [`crate::start`].
///
/// SIGINT and SIGTERM end it, and what was started with it. What LXC logged goes to stdout when the start fails, and
/// with `debug` always.
///
/// # Errors
/// What the real pct says: `startup for container '<vmid>' failed`, or why it could not even be tried
/// (`bridge '<name>' does not exist`, `volume '<id>' does not exist`).
pub(crate) fn start(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    debug: bool,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let interrupt = Interrupt::watch();
    super::startable::check(node, config)?;
    ids::check_start(node, vmid, config)?;
    if let Some(overlap) = config.id_maps().ok().and_then(|maps| overlaps::first(&maps)) {
        output.line(format!("lxc.idmap: {overlap}"));
    }
    granted::check(node, config)?;
    let _starting = StartMark::mark(node, vmid)?;
    crate::network::ensure(node, vmid, config, Unfiltered::Warn, output)?;
    write_lxc_config(node, vmid, config)?;
    warn(config, output);
    hookscript::run(node, vmid, config, "pre-start", output)?;
    interrupt.check()?;
    // Remove what a killed monitor left behind.
    let (cgroup_root, names) = (Cgroups::new("/sys/fs/cgroup"), names(node));
    cgroups::remove(&cgroup_root, &names, vmid);
    let debug = debug || config.is_set("debug");
    let log = node.layout.run_dir().join(format!("ct-{vmid}.stderr"));
    let mut notes = Vec::new();
    let launched = launch(node, vmid, config, debug, &log, &interrupt, &mut notes);
    // Show these even when the start failed, because they may be the reason.
    for (text, is_warning) in notes {
        if is_warning { output.warning(text) } else { output.line(text) }
    }
    let failed = matches!(launched, Ok(false));
    if debug || failed {
        let lines = readable(&log, vmid);
        lines.iter().for_each(|line| output.line(line));
        if let Some(cause) = mount_hooks::explain(&lines, vmid, config).filter(|_| failed) {
            output.line(cause);
        }
    }
    let done = launched.and_then(|running| match running {
        true => network::after_start(node, vmid, config, output),
        false => Err(Failure::new(format!("startup for container '{vmid}' failed"))),
    });
    if done.is_err() {
        // Stop whatever runs by now.
        let _ = stop::end(node, vmid, config, StopMode::Kill, output, None);
        return done;
    }
    hookscript::run_or_warn(node, vmid, config, "post-start", output);
    Ok(())
}

/// Warns about parts of the configuration that have no effect here.
fn warn(config: &ContainerConfig, output: &mut Output<'_>) {
    for warning in seccomp::warnings(config, seccomp::daemon().as_deref()) {
        output.line(warning);
    }
    let has_profile = config.main.raw_values("lxc.apparmor.profile").next().is_some();
    if let Some(warning) = apparmor::warning().filter(|_| !has_profile) {
        output.line(warning);
    }
    storage::ignored_idmaps(config).iter().for_each(|text| output.warning(text));
}

/// Mounts everything and runs `lxc-start`; returns whether the container runs. Lines about the guest go to `notes`,
/// each with whether it is a warning.
fn launch(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    debug: bool,
    log: &Path,
    interrupt: &Interrupt,
    notes: &mut Vec<(String, bool)>,
) -> NodeResult<bool> {
    let root = node.layout.rootfs(vmid);
    reachable::check(&root, &IdMap::of(config))?;
    // The monitor inherits this namespace; we leave it at the end of this function.
    let _mounts = PrivateMounts::enter()?;
    let guest = setup::Guest::mounted(node, vmid, config, &root)?;
    // Starting a process takes about as long as mounting, so do both in parallel.
    let mut helper = guest.prepare()?;
    if has_user_namespace(config) {
        hide_id_map_tools()?;
    }
    // `pct mount` may have mounted it.
    storage::unmount_all(&root)?;
    storage::mount_own(node, vmid, config, &root)?;
    // Nothing of the host is mounted yet, so no symlink of the guest can lead into it.
    let dns = crate::network::resolver(node, config);
    guest.start(&mut helper, dns, &mut |text, is_warning| notes.push((text.to_owned(), is_warning)))?;
    storage::mount_rest(node, config, &root)?;
    devices::make_nodes(&node.layout.container(vmid), config)?;
    quota::make_nodes(&node.layout.container(vmid), config, &root)?;
    interrupt.check()?;
    let _ = std::fs::remove_file(log);
    let mut command = Command::new("lxc-start");
    command
        .arg("-P")
        .arg(node.layout.lxc())
        .args(["-n", &vmid.to_string(), "-d", "-l", if debug { "DEBUG" } else { "ERROR" }, "-o"])
        .arg(log)
        .arg("-f")
        .arg(node.layout.container(vmid).join(START_CONFIG))
        .args(init_words(config))
        .env_clear()
        .env("PATH", PATH)
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    // It keeps the lock files open until the container runs or has failed, even when we are killed, so that nobody
    // takes the container for stopped meanwhile. The monitor, being a daemon, closes them (lxc-start(1),
    // --close-all-fds).
    let child = lock_files::inherited(|| command.spawn()).map_err(|error| cannot_run("lxc-start", &error))?;
    Ok(process::wait(child, Some(interrupt), START_GRACE)?.success())
}

/// The words of an entry point with quotes: LXC itself splits `lxc.init.cmd` at each blank.
fn init_words(config: &ContainerConfig) -> Vec<String> {
    if environment::is_any(config) {
        return Vec::new();
    }
    let command = config.main.options.get("entrypoint").filter(|text| text.contains(['\'', '"', '\\']));
    let words = command.and_then(|text| shell_words::split(text)).unwrap_or_default();
    let separator = (!words.is_empty()).then(|| "--".to_owned());
    separator.into_iter().chain(words).collect()
}

/// The lines of LXC's log without program, number and time: `ERROR    conf - ...`.
fn readable(log: &Path, vmid: Vmid) -> Vec<String> {
    let bytes = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let prefix = format!("lxc-start {vmid} ");
    let line = |line: &str| {
        let line = line.trim();
        let rest = line.strip_prefix(&prefix).and_then(|rest| rest.split_once(' '));
        rest.map_or(line, |(_, text)| text.trim()).to_owned()
    };
    // lxc-start's last lines only say that there is a log.
    let is_reason = |line: &String| !line.is_empty() && !line.contains("tools/lxc_start.c:");
    text.lines().map(line).filter(is_reason).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_made_readable() {
        let dir = tempfile::tempdir().unwrap();
        let log = dir.path().join("log");
        std::fs::write(
            &log,
            "lxc-start 301 20261123033942.866 ERROR    conf - ../src/lxc/conf.c:lxc_map_ids:3708 - no\n\n  odd line\n\
             lxc-start 301 20261123033942.867 ERROR    lxc_start - ../src/lxc/tools/lxc_start.c:main:306 - x\n",
        )
        .unwrap();
        assert_eq!(
            readable(&log, "301".parse().unwrap()),
            ["ERROR    conf - ../src/lxc/conf.c:lxc_map_ids:3708 - no", "odd line"]
        );
        assert!(readable(&dir.path().join("none"), "301".parse().unwrap()).is_empty());
    }
}
