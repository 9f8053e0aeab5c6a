//! `pct suspend`, `pct resume`: a container's processes, written to disk and read back by CRIU. Experimental, as with
//! the real pct, and never seen to work here: Debian 12 has no CRIU, and without it both fail.

use pvect_core::{Call, Verb, Vmid};

use crate::interrupt::Interrupt;
use crate::storage::{self, PrivateMounts};
use crate::task::TaskLog;
use crate::tool::Tool;
use crate::verbs::start::check_lock;
use crate::{Failure, Node, NodeResult, Output, locked, runtime, store, task};

/// Suspends a running container or resumes a suspended one. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    let running = runtime::is_running(node, vmid);
    match call.verb() {
        Verb::Resume if running => return Err(Failure::new(format!("CT {vmid} already running"))),
        Verb::Resume => task::run(node, "vzresume", &vmid.to_string(), output, |log, output| {
            let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
            let config = store::load_telling(node, vmid, output)?.config;
            check_lock(&config)?;
            let _mounts = PrivateMounts::enter()?;
            storage::mount_all(node, vmid, &config, &node.layout.rootfs(vmid))?;
            checkpoint(node, vmid, &["-r", "--foreground"], log, output)
        })?,
        _ if !running => return Err(Failure::new(format!("CT {vmid} not running"))),
        _ => task::run(node, "vzsuspend", &vmid.to_string(), output, |log, output| {
            let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
            locked::check(&store::load_telling(node, vmid, output)?.config)?;
            checkpoint(node, vmid, &["-s"], log, output)
        })?,
    }
    Ok(0)
}

fn checkpoint(
    node: &Node,
    vmid: Vmid,
    how: &[&str],
    log: &mut TaskLog,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    let _interrupt = Interrupt::watch();
    let (id, dump) = (vmid.to_string(), node.layout.local_storage().join("dump"));
    let tool = Tool::new("lxc-checkpoint", "lxc").arg("-P").arg(node.layout.lxc()).args(["-n", &id]);
    let code = tool.args(how).arg("-D").arg(&dump).apart().merge(&mut |line| log.line(output, line))?;
    if code == 0 {
        return Ok(());
    }
    let words = format!("lxc-checkpoint -n {id} {} -D {}", how.join(" "), dump.display());
    Err(Failure::new(format!("command '{words}' failed: exit code {code}")))
}
