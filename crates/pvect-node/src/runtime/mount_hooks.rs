//! Why a start failed in a mount hook: LXC's log says that one did, not which one.

use std::path::PathBuf;

use pvect_core::{ContainerConfig, Vmid};

use super::lxc_config::host::own_lxcfs_hooks;

/// What LXC logs when a mount hook fails. Source: `lxc_setup` of LXC (conf.c).
const LOGGED: &str = "Failed to run mount hooks";
const KEY: &str = "lxc.hook.mount";

/// If LXC's log blames a mount hook, names the programs that may be the cause, and how to see what they print.
pub(super) fn explain(log: &[String], vmid: Vmid, config: &ContainerConfig) -> Option<String> {
    explain_with(log, vmid, config, own_lxcfs_hooks())
}

fn explain_with(
    log: &[String],
    vmid: Vmid,
    config: &ContainerConfig,
    lxcfs: Vec<(&'static str, PathBuf)>,
) -> Option<String> {
    log.iter().find(|line| line.contains(LOGGED))?;
    let of_lxcfs = lxcfs
        .into_iter()
        .filter(|(kind, _)| *kind == "mount")
        .map(|(_, hook)| format!("'{}' of LXCFS (see `systemctl status lxcfs`)", hook.display()));
    let own = config.main.raw_values(KEY).map(|hook| format!("'{hook}' (the container's option {KEY})"));
    let hooks: Vec<String> = of_lxcfs.chain(own).collect();
    let names = if hooks.is_empty() { "one of a file that it includes".to_owned() } else { hooks.join(", ") };
    Some(format!("a mount hook failed: {names}; `pct start {vmid} --debug` shows what it prints"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hooks_that_may_have_failed_are_named() {
        let vmid: Vmid = "102".parse().unwrap();
        let log = ["ERROR    conf - ../src/lxc/conf.c:lxc_setup:4437 - Failed to run mount hooks".to_owned()];
        let mut config = ContainerConfig::default();
        let lxcfs = || vec![("mount", "/usr/share/lxcfs/lxc.mount.hook".into()), ("post-stop", "/x".into())];
        assert_eq!(
            explain_with(&log, vmid, &config, Vec::new()).unwrap(),
            "a mount hook failed: one of a file that it includes; `pct start 102 --debug` shows what it prints"
        );
        config.main.raw.push((KEY.to_owned(), "/srv/hook.sh".to_owned()));
        assert_eq!(
            explain_with(&log, vmid, &config, lxcfs()).unwrap(),
            "a mount hook failed: '/usr/share/lxcfs/lxc.mount.hook' of LXCFS (see `systemctl status lxcfs`), \
             '/srv/hook.sh' (the container's option lxc.hook.mount); `pct start 102 --debug` shows what it prints"
        );
        assert_eq!(explain_with(&["ERROR start - other".to_owned()], vmid, &config, lxcfs()), None);
    }
}
