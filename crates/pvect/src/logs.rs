//! The node's tasks, and what starts and the console of a container left to read.
//!
//! All of it is read from the node's own files, so it is for root on the node: a [`Client`] that reaches its containers
//! through ssh or the API has none of it.

use std::path::{Path, PathBuf};

use pvect_core::backend::ConfigView;
use pvect_core::upid::Upid;
use pvect_core::{Error, Inspect, Result, Vmid};
use pvect_native::TaskLogs;
pub use pvect_native::{Tail, TaskRecord};

use crate::{Client, Place};

/// Where the tasks of a Proxmox VE node are.
const TASKS: &str = "/var/log/pve/tasks";
/// Where a Proxmox VE node keeps what LXC said of starts.
const STARTS: &str = "/run/pve";

/// Which tasks are wanted; by default all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those of this container, whether it is still there or not.
    pub vmid: Option<Vmid>,
    /// Those that have ended with another word than `OK`: warnings, too.
    pub errors: bool,
    /// Those that are under way.
    pub running: bool,
}

impl Wanted {
    fn has(&self, task: &TaskRecord) -> bool {
        let is_error = task.end.as_ref().is_some_and(|(_, status)| status != "OK");
        let is_of = |vmid: &Vmid| vmid.to_string() == task.upid.id;
        self.vmid.as_ref().is_none_or(is_of)
            && (!self.errors || is_error)
            && (!self.running || task.end.is_none())
    }
}

/// What a log of a container has in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogKind {
    /// The log of the task that started it last.
    Start,
    /// What LXC logged since then.
    Lxc,
    /// What was written to its console, where `lxc.console.logfile` of its configuration names a file.
    Console,
}

impl LogKind {
    /// Returns its name: `start`, `lxc`, `console`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Lxc => "lxc",
            Self::Console => "console",
        }
    }
}

/// A log of a container. [`Tail`] reads it; what is in it may be a guest's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// What is in it.
    pub kind: LogKind,
    /// The file.
    pub path: PathBuf,
}

impl Client {
    /// Returns the node's tasks, the one that began last first.
    ///
    /// # Errors
    /// `Unsupported` where the node's own files are not here; `Io` when the lists cannot be read.
    pub fn tasks(&self, wanted: &Wanted) -> Result<Vec<TaskRecord>> {
        let directory = self.tasks_directory()?;
        let failed =
            |source| Error::Io { what: format!("cannot read the tasks in {}", directory.display()), source };
        let mut tasks = TaskLogs::new(&directory).list().map_err(failed)?;
        tasks.retain(|task| wanted.has(task));
        tasks.sort_by_key(|task| std::cmp::Reverse(task.upid.starttime));
        Ok(tasks)
    }

    /// Returns the file of a task's log.
    ///
    /// # Errors
    /// `NotFound` when there is none; `Unsupported` where the node's own files are not here.
    pub fn task_log(&self, upid: &Upid) -> Result<PathBuf> {
        let path = TaskLogs::new(self.tasks_directory()?).file(upid);
        if path.is_file() {
            return Ok(path);
        }
        Err(Error::NotFound { what: format!("there is no log of the task {upid}"), vmid: None })
    }

    /// Returns the logs of a container that are there: of its last start, of LXC, of its console.
    ///
    /// # Errors
    /// `NotFound` when there is no such container; `Unsupported` where the node's own files are not here.
    pub async fn logs(&self, vmid: Vmid) -> Result<Vec<Log>> {
        let directory = self.tasks_directory()?;
        let config = self.config(vmid, &ConfigView::Current).await?;
        let wanted = Wanted { vmid: Some(vmid), ..Wanted::default() };
        let start = self.tasks(&wanted)?.into_iter().find(|task| task.upid.worker == "vzstart");
        let start = start.map(|task| TaskLogs::new(&directory).file(&task.upid));
        let starts = match self.place() {
            Place::Standalone { root, .. } => root.join("run/pve"),
            _ => STARTS.into(),
        };
        let mut raw = config.main.raw.iter().rev();
        let console = raw.find(|(key, _)| key == "lxc.console.logfile").map(|(_, path)| path.into());
        let logs = [
            (LogKind::Start, start),
            (LogKind::Lxc, Some(starts.join(format!("ct-{vmid}.stderr")))),
            (LogKind::Console, console),
        ];
        let logs = logs.into_iter().filter_map(|(kind, path)| Some(Log { kind, path: path? }));
        Ok(logs.filter(|log| log.path.symlink_metadata().is_ok()).collect())
    }

    fn tasks_directory(&self) -> Result<PathBuf> {
        match self.place() {
            Place::Standalone { root, .. } => Ok(root.join("log/tasks")),
            // A pct of the user's own choice may lead anywhere.
            Place::Proxmox if Path::new(TASKS).is_dir() => Ok(TASKS.into()),
            _ => Err(Error::Unsupported {
                what: "tasks and logs are read from the node's own files: run it on the node, as root"
                    .to_owned(),
                vmid: None,
            }),
        }
    }
}
