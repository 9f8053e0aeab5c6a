//! All containers of one call, one after the other.

use pvect_core::Vmid;

use super::container::Backup;
use super::journal::Journal;
use super::options::{Options, Which};
use super::plan::Plan;
use crate::interrupt::Interrupt;
use crate::lock_files::Waiting;
use crate::{Failure, Node, NodeResult, Output, lock_files, task, vmids};

/// Runs the job as the task `vzdump`.
pub(super) fn run(node: &Node, options: &Options, output: &mut Output<'_>) -> NodeResult<()> {
    let vmids = match &options.which {
        Which::These(list) => {
            let mut list = list.clone();
            list.sort_unstable();
            list.dedup();
            list
        }
        Which::AllBut(list) => {
            let all = vmids::all(node)?;
            all.into_iter().filter(|vmid| !list.contains(vmid)).collect()
        }
    };
    let id = match vmids.as_slice() {
        [only] => only.to_string(),
        _ => String::new(),
    };
    task::run(node, "vzdump", &id, output, |log, output| {
        let plan = Plan::of(node, options)?;
        // One job at a time.
        let seconds = options.lockwait_minutes * 60;
        let path = node.layout.root().join("run/lock/vzdump.lock");
        let mut journal = Journal::new(log, output);
        let _lock = lock_files::take(&path, seconds, &mut |waiting| match waiting {
            Waiting::Begun => journal.say("trying to get global lock - waiting..."),
            Waiting::Over => journal.say("got global lock"),
            Waiting::Failed => {}
        })?;
        back_up(&plan, node, &vmids, &mut journal)
    })
}

/// Backs up one container after the other.
fn back_up(plan: &Plan<'_>, node: &Node, vmids: &[Vmid], journal: &mut Journal<'_, '_>) -> NodeResult<()> {
    let interrupt = Interrupt::watch();
    journal.info(format!("starting new backup job: {}", plan.options.line));
    let mut failures = 0;
    for vmid in vmids {
        if Backup::new(node, plan, *vmid, &interrupt).run(journal).is_err() {
            failures += 1;
        }
        if let Err(failure) = interrupt.check() {
            journal.error(format!("Backup job failed - {}", failure.text));
            return Err(failure);
        }
    }
    if failures > 0 {
        journal.info("Backup job finished with errors");
        return Err(Failure::new("job errors"));
    }
    journal.info("Backup job finished successfully");
    Ok(())
}
