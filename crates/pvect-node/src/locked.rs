//! The lock value of a configuration (`lock: mounted`): what keeps other commands away between two commands, or
//! while one runs without the lock file.
//!
//! The caller holds the configuration's lock file ([`crate::store::lock`]).
//!
//! Who sets a value and then works without the lock file holds another file ([`crate::Layout::operation_lock`]) until
//! the value is removed or the process ends: so the value of a killed process can be told from one in use.

use pvect_core::{ContainerConfig, Lock, Vmid};

use crate::{Failure, Node, NodeResult, Output, lock_files, store};

/// Fails when a configuration has any lock value.
///
/// # Errors
/// `CT is locked (<value>)`.
pub fn check(config: &ContainerConfig) -> NodeResult<()> {
    config.lock().map_or(Ok(()), |lock| Err(Failure::locked(&lock)))
}

/// Sets the lock value and returns the configuration with it.
///
/// # Errors
/// `CT is locked (<value>)` when there is one already; when the configuration cannot be read or written.
pub fn set(node: &Node, vmid: Vmid, lock: &Lock, output: &mut Output<'_>) -> NodeResult<ContainerConfig> {
    let mut config = store::load_telling(node, vmid, output)?.config;
    check(&config)?;
    // The lock `mounted` outlives the command.
    if *lock != Lock::Mounted {
        let path = node.layout.operation_lock(vmid);
        // A command that is just ending may still hold it.
        let file = lock_files::take(&path, 1, &mut |_| {})?;
        lock_files::begin_operation(&path, file);
    }
    config.main.set("lock", lock.to_string());
    store::save(node, vmid, &config)?;
    Ok(config)
}

/// Removes the lock value, which must be this one.
///
/// # Errors
/// `no lock found trying to remove '<lock>'  lock` (two blanks, as the real one), `found lock '<other>' trying to
/// remove '<lock>' lock`; when the configuration cannot be read or written.
pub fn remove(node: &Node, vmid: Vmid, lock: &Lock, output: &mut Output<'_>) -> NodeResult<()> {
    let mut config = store::load_telling(node, vmid, output)?.config;
    match config.lock() {
        None => return Err(Failure::new(format!("no lock found trying to remove '{lock}'  lock"))),
        Some(found) if found != *lock => {
            return Err(Failure::new(format!("found lock '{found}' trying to remove '{lock}' lock")));
        }
        Some(_) => {}
    }
    config.main.remove("lock");
    store::save(node, vmid, &config)?;
    lock_files::end_operation(&node.layout.operation_lock(vmid));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_set_once_and_removed_by_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let node = crate::fixture::node(dir.path());
        store::ensure_root(&node).unwrap();
        let vmid: Vmid = "202".parse().unwrap();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let output = &mut Output::new(&mut out, &mut err);
        let text = |result: NodeResult<()>| result.unwrap_err().text;
        store::create(&node, vmid, &ContainerConfig::default()).unwrap();
        assert_eq!(
            text(remove(&node, vmid, &Lock::Mounted, output)),
            "no lock found trying to remove 'mounted'  lock"
        );
        assert!(set(&node, vmid, &Lock::Mounted, output).unwrap().lock() == Some(Lock::Mounted));
        assert_eq!(text(set(&node, vmid, &Lock::Fstrim, output).map(drop)), "CT is locked (mounted)");
        assert_eq!(
            text(remove(&node, vmid, &Lock::Fstrim, output)),
            "found lock 'mounted' trying to remove 'fstrim' lock"
        );
        remove(&node, vmid, &Lock::Mounted, output).unwrap();
        assert_eq!(store::load(&node, vmid).unwrap().config, ContainerConfig::default());
    }
}
