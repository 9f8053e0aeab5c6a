//! Why a start failed in a hook: LXC's log says that one did, not which one.

use std::path::PathBuf;

use pvect_core::classify::hook_output;
use pvect_core::{ContainerConfig, Vmid};

use super::lxc_config::host::own_lxcfs_hooks;

/// What LXC logs, and of which hooks. Source: `lxc_setup` (conf.c), `lxc_init` and `do_start` (start.c) of LXC.
const LOGGED: [(&str, &str); 6] = [
    ("Failed to run mount hooks", "mount"),
    ("Failed to run pre-mount hooks", "pre-mount"),
    ("Failed to run autodev hooks", "autodev"),
    ("Failed to run lxc.hook.pre-start for ", "pre-start"),
    ("Failed to run lxc.hook.start-host", "start-host"),
    ("Failed to run lxc.hook.start for ", "start"),
];
/// How much is shown of what a hook printed: its last lines, and characters of each.
const LINES: usize = 5;
const CHARACTERS: usize = 300;

/// Names the programs that may be the cause, if LXC's log blames a hook, and what they printed, or how to see it.
pub(super) fn explain(log: &[String], vmid: Vmid, config: &ContainerConfig) -> Option<String> {
    explain_with(log, vmid, config, own_lxcfs_hooks())
}

fn explain_with(
    log: &[String],
    vmid: Vmid,
    config: &ContainerConfig,
    lxcfs: Vec<(&'static str, PathBuf)>,
) -> Option<String> {
    let blamed = |(text, _): &&(&str, &str)| log.iter().any(|line| line.contains(text));
    let (_, kind) = LOGGED.iter().find(blamed)?;
    let key = format!("lxc.hook.{kind}");
    let of_lxcfs = lxcfs
        .into_iter()
        .filter(|(known, _)| known == kind)
        .map(|(_, hook)| format!("'{}' of LXCFS (see `systemctl status lxcfs`)", hook.display()));
    let own = config.main.raw_values(&key).map(|hook| format!("'{hook}' (the container's option {key})"));
    let hooks: Vec<String> = of_lxcfs.chain(own).collect();
    let names = if hooks.is_empty() { "one of a file that it includes".to_owned() } else { hooks.join(", ") };
    let printed: Vec<String> = log
        .iter()
        .flat_map(|line| hook_output(line))
        .map(|text| text.chars().take(CHARACTERS).collect())
        .collect();
    let said = match &printed[printed.len().saturating_sub(LINES)..] {
        [] => format!("`pct start {vmid} --debug` shows what it prints"),
        last => format!("printed: {}", last.join(" | ")),
    };
    Some(format!("a {kind} hook failed: {names}; {said}"))
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
        config.main.raw.push(("lxc.hook.mount".to_owned(), "/srv/hook.sh".to_owned()));
        assert_eq!(
            explain_with(&log, vmid, &config, lxcfs()).unwrap(),
            "a mount hook failed: '/usr/share/lxcfs/lxc.mount.hook' of LXCFS (see `systemctl status lxcfs`), \
             '/srv/hook.sh' (the container's option lxc.hook.mount); `pct start 102 --debug` shows what it prints"
        );
        assert_eq!(explain_with(&["ERROR start - other".to_owned()], vmid, &config, lxcfs()), None);
    }

    #[test]
    fn what_a_hook_printed_is_shown() {
        let vmid: Vmid = "102".parse().unwrap();
        let mut config = ContainerConfig::default();
        config.main.raw.push(("lxc.hook.pre-start".to_owned(), "/srv/hook.sh".to_owned()));
        let printed = |text: &str| format!("DEBUG conf - Script exec /srv/hook.sh produced output: {text}");
        let failed = "ERROR start - Failed to run lxc.hook.pre-start for container \"102\"".to_owned();
        let log = [printed("no such thing"), printed(&"x".repeat(1000)), failed];
        assert_eq!(
            explain_with(&log, vmid, &config, Vec::new()).unwrap(),
            format!(
                "a pre-start hook failed: '/srv/hook.sh' (the container's option lxc.hook.pre-start); printed: \
                 no such thing | {}",
                "x".repeat(300)
            )
        );
    }
}
