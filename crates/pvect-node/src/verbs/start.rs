//! `pct start`: starts a container.

use pvect_core::{Call, ContainerConfig, Lock, Vmid};

use crate::{Failure, Node, NodeResult, Output, runtime, store, task};

/// Starts a container. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let (debug, skip_lock) = (super::is_on(call, "debug"), super::is_on(call, "skiplock"));
    check_stopped(node, vmid)?;
    task::run(node, "vzstart", &vmid.to_string(), output, |log, output| {
        let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
        let config = log.capture(output, |output| store::load_telling(node, vmid, output))?.config;
        if config.is_set("template") {
            return Err(Failure::new("you can't start a CT if it's a template"));
        }
        if !skip_lock {
            check_lock(&config)?;
        }
        check_quotas(&config)?;
        // Another command may have started it meanwhile.
        check_stopped(node, vmid)?;
        log.capture(output, |output| crate::start::start(node, vmid, &config, debug, output))
    })?;
    Ok(0)
}

fn check_stopped(node: &Node, vmid: Vmid) -> NodeResult<()> {
    match runtime::is_running(node, vmid) {
        true => Err(Failure::new(format!("CT {vmid} already running"))),
        false => Ok(()),
    }
}

/// Refuses a locked container; `mounted` locks against neither start nor stop.
///
/// # Errors
/// `CT is locked (<value>)`.
pub(super) fn check_lock(config: &ContainerConfig) -> NodeResult<()> {
    match config.lock() {
        None | Some(Lock::Mounted) => Ok(()),
        Some(lock) => Err(Failure::locked(&lock)),
    }
}

fn check_quotas(config: &ContainerConfig) -> NodeResult<()> {
    if config.is_unprivileged() && config.volumes().iter().any(|(_, point)| point.fs.quota) {
        return Err(Failure::new("Quotas are not supported by unprivileged containers."));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_container_may_start_and_others_that_are_locked_not() {
        let mut config = ContainerConfig::default();
        assert!(check_lock(&config).is_ok());
        config.main.set("lock", "mounted");
        assert!(check_lock(&config).is_ok());
        config.main.set("lock", "backup");
        assert_eq!(check_lock(&config).unwrap_err(), Failure::new("CT is locked (backup)"));
    }

    #[test]
    fn quotas_need_a_privileged_container() {
        let mut config = ContainerConfig::default();
        config.main.set("rootfs", "local:101/vm-101-disk-0.raw,quota=1");
        assert!(check_quotas(&config).is_ok());
        config.main.set("unprivileged", "1");
        assert_eq!(
            check_quotas(&config).unwrap_err().text,
            "Quotas are not supported by unprivileged containers."
        );
    }
}
