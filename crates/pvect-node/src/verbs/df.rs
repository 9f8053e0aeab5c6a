//! `pct df`: shows how full a container's file systems are.

use std::path::Path;

use pvect_core::{Call, ContainerConfig, Lock, Vmid};

use crate::interrupt::Interrupt;
use crate::storage::usage::{Usage, table};
use crate::storage::{self, PrivateMounts};
use crate::{Failure, Node, NodeResult, Output, hostmount, locked, runtime, store};

/// Shows how full a container's file systems are. A stopped container is mounted meanwhile, in a mount namespace of
/// this command, and locked as `mounted`. Returns the exit status.
///
/// What cannot be measured is reported on stderr and left out; the status is 0 all the same.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let unknown = format!("{vmid} doesn't exist");
    if !node.layout.root().is_dir() {
        // Taking the lock file would create a node.
        output.warn(unknown);
        return Err(Failure::missing(&node.name, vmid));
    }
    let _lock = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let text = match hostmount::init_pid(node, vmid) {
        Some(_) => {
            let config = store::load_telling(node, vmid, output)?.config;
            let root = runtime::opened(vmid, runtime::init(node, vmid)?.root())?;
            measured(node, &config, Path::new(&runtime::path_of(&root)), output)
        }
        None => {
            if !hostmount::is_known_to_lxc(node, vmid) {
                // What lxc-info says when the real pct asks it for the container's init.
                output.warn(unknown);
            }
            stopped(node, vmid, output)?
        }
    };
    output.text(text);
    Ok(0)
}

/// Measures a stopped container. The lock value is removed again whatever happens.
fn stopped(node: &Node, vmid: Vmid, output: &mut Output<'_>) -> NodeResult<String> {
    let _interrupt = Interrupt::watch();
    let config = locked::set(node, vmid, &Lock::Mounted, output)?;
    let text = mounted(node, vmid, &config, output);
    let unlocked = locked::remove(node, vmid, &Lock::Mounted, output);
    let text = text?;
    unlocked.map(|()| text)
}

fn mounted(node: &Node, vmid: Vmid, config: &ContainerConfig, output: &mut Output<'_>) -> NodeResult<String> {
    let _mounts = PrivateMounts::enter()?;
    let root = hostmount::mount(node, vmid, config, output)?;
    let text = measured(node, config, &root, output);
    // If it cannot be unmounted, it ends with the namespace.
    let _ = storage::unmount_all(&root);
    Ok(text)
}

/// Measures what is mounted below `root`; a path in the container cannot lead out of it.
fn measured(node: &Node, config: &ContainerConfig, root: &Path, output: &mut Output<'_>) -> String {
    let mut rows = Vec::new();
    for (key, mount) in config.volumes() {
        match Usage::ask(node, root, &mount.path) {
            Ok(usage) => rows.push((key, mount.fs.source.to_string(), usage, mount.path)),
            Err(failure) => output.warn(failure.text),
        }
    }
    table(&rows)
}
