//! Backups: vzdump of the node, real or standalone, next to its pct.

use pvect_core::classify::{Verdict, judge};
use pvect_core::error::{Exit, LeftBehind};
use pvect_core::{Error, ErrorKind, Events, Result, Verb, Vmid};
use pvect_pct::{End, Finished, PctConfig, Request, Runner, Transport};
use serde::Serialize;

use super::Client;

/// The program's name.
const VZDUMP: &str = "vzdump";
/// How long a stopped vzdump may clean up: it unlocks its container and starts it again.
const GRACE: std::time::Duration = std::time::Duration::from_secs(120);

/// What to back up.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Backup {
    vmids: Vec<Vmid>,
    options: Vec<(String, String)>,
}

/// The result of one container's backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BackedUp {
    /// The container.
    pub vmid: u32,
    /// The archive, when the backup was seen to be finished.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl BackedUp {
    /// Returns the error of a backup that failed.
    pub fn failure(&self) -> Option<Error> {
        let message = self.error.clone()?;
        let vmid = Vmid::try_from(self.vmid).ok();
        Some(Error::Failed { kind: meaning(&message), message, vmid, run: Box::default() })
    }
}

impl Backup {
    /// Starts a request for these containers.
    pub fn of(vmids: impl IntoIterator<Item = Vmid>) -> Self {
        Self { vmids: vmids.into_iter().collect(), options: Vec::new() }
    }

    /// Adds an option of vzdump (`mode`, `compress`, `storage`, ...).
    #[must_use]
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }

    /// Returns the words after `vzdump`.
    pub fn words(&self) -> Vec<String> {
        let ids = self.vmids.iter().map(ToString::to_string);
        let options = self.options.iter().flat_map(|(name, value)| [format!("--{name}"), value.clone()]);
        ids.chain(options).collect()
    }
}

impl Client {
    /// Returns vzdump's command line for a request, program first.
    pub fn backup_line(&self, backup: &Backup) -> Vec<String> {
        let words = backup.words();
        let mut line = match self.vzdump(&words) {
            Ok(config) => [vec![config.program.display().to_string()], config.prefix_args].concat(),
            Err(_) => vec![VZDUMP.to_owned()],
        };
        line.extend(words);
        line
    }

    /// Backs up containers, one after the other, and returns the result of each, in the order of the request.
    ///
    /// There is no time limit unless the client was given one. When it passes, or the caller cancels, vzdump is asked
    /// to end and has two minutes to unlock its container and start it again.
    ///
    /// # Errors
    /// When vzdump cannot be run, or ends before it came to any container (a storage that does not exist, a wrong
    /// option). A backup that failed is in its [`BackedUp`].
    pub async fn back_up(&self, backup: &Backup, events: &mut dyn Events) -> Result<Vec<BackedUp>> {
        let words = backup.words();
        let runner = Runner::new(self.vzdump(&words)?, self.node.cancel.clone());
        let limit = self.node.config.timeout;
        let request = Request { shown: words.clone(), words, limit, ..Request::default() };
        let finished = runner.run(&request, events).await?;
        let stdout = String::from_utf8_lossy(&finished.stdout).into_owned();
        let stderr = String::from_utf8_lossy(&finished.stderr).into_owned();
        // Which stream vzdump's lines are on depends on its version.
        let list = judged(&backup.vmids, &format!("{stdout}\n{stderr}"));
        match (finished.end, finished.exit) {
            (End::Exited, Some(Exit::Status(0))) => Ok(list.0),
            (End::Exited, Some(Exit::Status(status))) if list.1 == 0 => {
                // Its errors have the forms of pct's.
                let verdict = judge(Verb::Create, status, &stdout, &stderr);
                let (kind, message) = match verdict {
                    Verdict::Failure { kind, message } => (kind, message),
                    Verdict::Success { .. } => (ErrorKind::PctOperationFailed, "vzdump failed".to_owned()),
                };
                Err(Error::Failed { kind, message, vmid: None, run: Box::new(finished.to_run()) })
            }
            (End::Exited, Some(Exit::Status(_))) => Ok(list.0),
            (End::Lost { sent }, _) => Err(self.backup_lost(sent, &finished)),
            _ => Err(Error::Timeout {
                after: finished.duration,
                interrupted: finished.end != End::TimedOut,
                vmid: None,
                left: Box::<LeftBehind>::default(),
                run: Box::new(finished.to_run()),
            }),
        }
    }

    fn backup_lost(&self, may_have_run: bool, finished: &Finished) -> Error {
        let ssh = self.node.config.transport.ssh();
        Error::ConnectionLost {
            node: ssh.map(|connection| connection.target().destination()).unwrap_or_default(),
            may_have_run,
            what: finished.words.clone(),
            vmid: None,
            run: Box::new(finished.to_run()),
        }
    }

    /// How vzdump is run: like pct, from the path in the settings, or from where the node has it.
    fn vzdump(&self, words: &[String]) -> Result<PctConfig> {
        let mut config = PctConfig { grace: GRACE, ..self.node.config.clone() };
        // The program is pvect itself.
        if config.prefix_args.last().is_some_and(|word| word == "pct") {
            config.prefix_args = vec!["node".to_owned(), "vzdump".to_owned()];
            return Ok(config);
        }
        match (&self.node.settings.proxmox.vzdump_path, &config.transport) {
            (Some(path), _) => config.program.clone_from(path),
            (None, Transport::Local | Transport::Sudo { .. }) => return config.beside(VZDUMP, words),
            (None, _) => config.program = config.program.with_file_name(VZDUMP),
        }
        Ok(config)
    }
}

/// The kind of error of a failed backup, by vzdump's message.
fn meaning(text: &str) -> ErrorKind {
    if text.starts_with("CT is locked") || text.starts_with("VM is locked") {
        ErrorKind::Locked
    } else if text.starts_with("unable to find VM") {
        ErrorKind::NotFound
    } else {
        ErrorKind::PctOperationFailed
    }
}

/// Reads vzdump's log: the result for each container, and how many it got to.
fn judged(vmids: &[Vmid], log: &str) -> (Vec<BackedUp>, usize) {
    let said = |vmid: Vmid, start: &str, end: &str| {
        let start = format!("{start}{vmid}{end}");
        log.lines().find_map(|line| line.trim_start().strip_prefix(&start).map(str::to_owned))
    };
    let mut seen = 0;
    let list = vmids.iter().map(|vmid| {
        let failed = said(*vmid, "ERROR: Backup of VM ", " failed - ");
        let finished = said(*vmid, "INFO: Finished Backup of VM ", " (").is_some();
        seen += usize::from(failed.is_some() || finished);
        let archive = archive_of(*vmid, log).filter(|_| finished);
        let error = failed.or_else(|| {
            let text = "vzdump did not say that it finished: is the container on this node?";
            archive.is_none().then(|| text.to_owned())
        });
        BackedUp { vmid: vmid.get(), archive: archive.filter(|_| error.is_none()), error }
    });
    (list.collect(), seen)
}

/// `INFO: creating vzdump archive '/var/lib/vz/dump/vzdump-lxc-101-....tar.zst'`; on a Proxmox Backup Server it is
/// `creating Proxmox Backup Server archive 'ct/101/...'`.
fn archive_of(vmid: Vmid, log: &str) -> Option<String> {
    let names = [format!("vzdump-lxc-{vmid}-"), format!("ct/{vmid}/")];
    log.lines().find_map(|line| {
        let rest = line.trim_start().strip_prefix("INFO: creating ")?;
        let name = rest.split_once(" archive '")?.1.strip_suffix('\'')?;
        names.iter().any(|part| name.contains(part)).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids(list: &[u32]) -> Vec<Vmid> {
        list.iter().map(|vmid| vmid.to_string().parse().unwrap()).collect()
    }

    #[test]
    fn only_what_was_seen_to_finish_is_done() {
        let log = "INFO: starting new backup job: vzdump 101 102 103\n\
            INFO: Starting Backup of VM 101 (lxc)\n\
            INFO: creating vzdump archive '/d/vzdump-lxc-101-2026_01_01-00_00_00.tar.zst'\n\
            INFO: Finished Backup of VM 101 (00:00:01)\n\
            INFO: Starting Backup of VM 102 (lxc)\n\
            INFO: creating vzdump archive '/d/vzdump-lxc-102-2026_01_01-00_00_01.tar.zst'\n\
            ERROR: Backup of VM 102 failed - CT is locked (migrate)\n\
            INFO: Backup job finished with errors\n";
        let (list, seen) = judged(&ids(&[102, 101, 103]), log);
        assert_eq!(seen, 2);
        assert_eq!(list[0].error.as_deref(), Some("CT is locked (migrate)"));
        assert_eq!(list[0].archive, None);
        assert_eq!(list[1].archive.as_deref(), Some("/d/vzdump-lxc-101-2026_01_01-00_00_00.tar.zst"));
        assert_eq!(list[1].error, None);
        assert!(list[2].error.as_deref().unwrap().contains("is the container on this node?"));
    }

    #[test]
    fn a_failed_backup_is_an_error_of_its_kind() {
        let of = |text: Option<&str>| {
            let error = text.map(str::to_owned);
            BackedUp { vmid: 101, archive: None, error }.failure().map(|error| error.kind())
        };
        assert_eq!(of(None), None);
        assert_eq!(of(Some("CT is locked (migrate)")), Some(ErrorKind::Locked));
        assert_eq!(of(Some("unable to find VM '101'")), Some(ErrorKind::NotFound));
        assert_eq!(of(Some("no space left")), Some(ErrorKind::PctOperationFailed));
    }

    #[test]
    fn the_words_are_vzdumps() {
        let backup = Backup::of(ids(&[101, 102])).option("mode", "stop").option("exclude-path", "/a b");
        assert_eq!(backup.words(), ["101", "102", "--mode", "stop", "--exclude-path", "/a b"]);
    }
}
