//! All containers of one call, one after the other.

use std::path::PathBuf;

use pvect_core::Vmid;

use super::container::Backup;
use super::journal::Journal;
use super::options::{Options, Which};
use super::prune::Keep;
use crate::interrupt::Interrupt;
use crate::storage::Storages;
use crate::store::Waiting;
use crate::{Failure, Node, NodeResult, Output, store, task};

/// What is common to all backups of one call.
pub(super) struct Job<'a> {
    pub(super) options: &'a Options,
    /// Where the archives go.
    pub(super) directory: PathBuf,
    /// What is kept of older ones.
    pub(super) keep: Option<Keep>,
}

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
            let all = store::vmids(node)?;
            all.into_iter().filter(|vmid| !list.contains(vmid)).collect()
        }
    };
    let id = match vmids.as_slice() {
        [only] => only.to_string(),
        _ => String::new(),
    };
    task::run(node, "vzdump", &id, output, |log, output| {
        let job = Job::of(node, options)?;
        // One job at a time.
        let seconds = options.lockwait_minutes * 60;
        let path = node.layout.root().join("run/lock/vzdump.lock");
        let mut journal = Journal::new(log, output);
        let _lock = store::lock_file(&path, seconds, &mut |waiting| match waiting {
            Waiting::Begun => journal.say("trying to get global lock - waiting..."),
            Waiting::Over => journal.say("got global lock"),
            Waiting::Failed => {}
        })?;
        job.run(node, &vmids, &mut journal)
    })
}

impl<'a> Job<'a> {
    fn of(node: &Node, options: &'a Options) -> NodeResult<Self> {
        if let Some(directory) = &options.dumpdir {
            let directory = PathBuf::from(directory);
            if !directory.is_dir() {
                return Err(Failure::new(format!("dumpdir '{}' does not exist", directory.display())));
            }
            let directory = directory.canonicalize().unwrap_or(directory);
            return Ok(Self { options, directory, keep: options.prune.clone() });
        }
        let name = options.storage.as_deref().unwrap_or("local");
        let cannot =
            |text: String| Failure::new(format!("could not get storage information for '{name}': {text}"));
        let storages = Storages::load(&node.layout)?;
        let storage = storages.find(name).map_err(|failure| cannot(failure.text))?;
        if !storage.holds("backup") {
            return Err(cannot(format!("can't use storage '{name}' for backups - wrong content type")));
        }
        let directory = storage.path().map_err(|failure| cannot(failure.text))?.join("dump");
        store::make_directories(&directory, 0o700)?;
        let keep = match (&options.prune, storage.get("prune-backups")) {
            (Some(keep), _) => Some(keep.clone()),
            (None, Some(text)) => Some(Keep::parse(text).map_err(cannot)?),
            (None, None) => None,
        };
        Ok(Self { options, directory, keep })
    }

    fn run(&self, node: &Node, vmids: &[Vmid], journal: &mut Journal<'_, '_>) -> NodeResult<()> {
        let interrupt = Interrupt::watch();
        journal.info(format!("starting new backup job: {}", self.options.line));
        let mut failures = 0;
        for vmid in vmids {
            if Backup::new(node, self, *vmid, &interrupt).run(journal).is_err() {
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
}
