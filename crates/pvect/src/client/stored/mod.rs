//! What a storage of the node keeps: templates and backups, as the node's own programs list them.

use pvect_core::error::{Exit, Run};
use pvect_core::{Error, ErrorKind, Result, Verb, VolumeId};
use pvect_pct::{Captured, PctBackend};
use serde::Serialize;

use super::{Client, Place};

/// A template on a storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredTemplate {
    /// Its volume id: what `create` takes.
    pub volid: String,
    /// Its size in bytes; pveam(1) rounds to hundredths of a MiB.
    pub size: u64,
}

/// A backup on a storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct StoredBackup {
    /// Its volume id: what `restore` takes.
    pub volid: String,
    /// Whose it is.
    pub vmid: u32,
    /// Its size in bytes.
    pub size: u64,
}

impl Client {
    /// Lists the templates on a storage of a node of Proxmox VE: through the API, or by pveam(1).
    ///
    /// # Errors
    /// `NotFound` for a storage that pveam does not know; when pveam cannot be run.
    pub async fn stored_templates(&self, storage: &str) -> Result<Vec<StoredTemplate>> {
        if let Some(api) = self.api() {
            let volumes = api.content(storage, "vztmpl").await?.into_iter();
            return Ok(volumes.map(|one| StoredTemplate { volid: one.volid, size: one.size }).collect());
        }
        Ok(parse_templates(&self.template_table(storage).await?))
    }

    /// Returns the table of `pveam list`, as pveam(1) prints it.
    ///
    /// # Errors
    /// As [`Client::stored_templates`].
    pub async fn template_table(&self, storage: &str) -> Result<String> {
        self.pveam(&["list", storage]).await
    }

    /// Removes a template from a storage of a node of Proxmox VE, by pveam(1).
    ///
    /// # Errors
    /// `NotFound` for a template that is not there; when pveam cannot be run.
    pub async fn remove_template(&self, volume: &VolumeId) -> Result<()> {
        self.pveam(&["remove", volume.as_str()]).await.map(drop)
    }

    async fn pveam(&self, words: &[&str]) -> Result<String> {
        let done = self.run_other("pveam", words).await?;
        text_of(&done, "pveam", words).map_err(|run| {
            let (kind, message) = meaning("pveam", &run, ErrorKind::PctOperationFailed);
            Error::Failed { kind, message, vmid: None, run: Box::new(run) }
        })
    }

    /// Lists the backups of containers on a storage: by pvesm(1), or as the standalone node lists them.
    ///
    /// # Errors
    /// `NotFound` for a storage that the node does not know; when the program cannot be run.
    pub async fn stored_backups(&self, storage: &str) -> Result<Vec<StoredBackup>> {
        if let Place::Standalone { root, node } = self.place() {
            return self.backups_of_standalone(&root.to_string_lossy(), node.as_str(), storage).await;
        }
        let words = ["list", storage, "--content", "backup"];
        let done = self.run_other("pvesm", &words).await?;
        let table = text_of(&done, "pvesm", &words).map_err(|run| {
            let (kind, message) = meaning("pvesm", &run, ErrorKind::PctCommandFailed);
            Error::Failed { kind, message, vmid: None, run: Box::new(run) }
        })?;
        Ok(parse_backups(&table))
    }

    async fn backups_of_standalone(
        &self,
        root: &str,
        node: &str,
        storage: &str,
    ) -> Result<Vec<StoredBackup>> {
        let mut config = self.node.backend(Verb::List).pct_config().clone();
        config.prefix_args = vec!["__node".to_owned()];
        // Whoever may read the storage may list it.
        config.require_root = false;
        let backend = PctBackend::new(config).with_cancel(self.node.cancel.clone());
        let words = ["backups", root, node, storage];
        let done = backend.run_words(&words).await?;
        let table = text_of(&done, "backups", &words).map_err(|run| Error::NotFound {
            what: first_line(&run.stderr).unwrap_or("the backups cannot be listed").to_owned(),
            vmid: None,
        })?;
        Ok(parse_backups(&table))
    }
}

/// Returns what a program printed, or the run when it failed.
fn text_of(done: &Captured, program: &str, words: &[&str]) -> Result<String, Run> {
    let stdout = String::from_utf8_lossy(&done.stdout).into_owned();
    if done.status == 0 {
        return Ok(stdout);
    }
    Err(Run {
        argv: std::iter::once(program).chain(words.iter().copied()).map(str::to_owned).collect(),
        exit: Some(Exit::Status(done.status)),
        stderr: String::from_utf8_lossy(&done.stderr).into_owned(),
        ..Run::default()
    })
}

/// What pveam and pvesm say when they fail.
fn meaning(program: &str, run: &Run, other: ErrorKind) -> (ErrorKind, String) {
    let message = first_line(&run.stderr).map_or_else(|| format!("{program} failed"), str::to_owned);
    let missing = message.contains("does not exist") || message.contains("no such");
    (if missing { ErrorKind::NotFound } else { other }, message)
}

fn first_line(text: &str) -> Option<&str> {
    text.lines().next()
}

/// Reads the table of `pveam list`: a header, then volume ids with sizes such as `120.65MB`.
fn parse_templates(table: &str) -> Vec<StoredTemplate> {
    let rows = table.lines().filter_map(|line| line.trim_end().rsplit_once(char::is_whitespace));
    rows.filter_map(|(volume, size)| {
        let size: f64 = size.strip_suffix("MB")?.parse().ok().filter(|size| (0.0..1e12).contains(size))?;
        let bytes = (size * 1024.0 * 1024.0).round();
        Some(StoredTemplate { volid: volume.trim().to_owned(), size: format!("{bytes:.0}").parse().ok()? })
    })
    .collect()
}

/// Reads the table of `pvesm list`: volume id, format, type, size, vmid.
fn parse_backups(table: &str) -> Vec<StoredBackup> {
    let rows = table.lines().filter_map(|line| {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [volid, .., size, vmid] = words[..] else { return None };
        let is_container = volid.contains("vzdump-lxc-") || volid.contains("backup/ct/");
        let (size, vmid) = (size.parse().ok()?, vmid.parse().ok()?);
        is_container.then(|| StoredBackup { volid: volid.to_owned(), vmid, size })
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_pveam_is_read() {
        let output = "NAME                                      SIZE  \n\
                      local:vztmpl/debian-12_amd64.tar.zst      1.50MB\n";
        let list: Vec<_> = parse_templates(output).into_iter().map(|one| (one.volid, one.size)).collect();
        assert_eq!(list, [("local:vztmpl/debian-12_amd64.tar.zst".to_owned(), 1_572_864)]);
        assert!(parse_templates("").is_empty());
    }

    #[test]
    fn the_table_of_pvesm_is_read() {
        let table = "Volid                                                 Format  Type      Size VMID\n\
            local:backup/vzdump-lxc-101-2026_01_01-00_00_00.tar.zst tar.zst backup 1234 101\n\
            local:backup/vzdump-qemu-102-2026_01_01-00_00_00.vma vma backup 99 102\n";
        let list = parse_backups(table);
        assert_eq!(list.len(), 1);
        assert_eq!((list[0].vmid, list[0].size), (101, 1234));
    }

    #[test]
    fn a_failure_is_a_missing_storage_or_else_what_the_program_is_for() {
        let kind = |stderr: &str| {
            let run = Run { stderr: stderr.to_owned(), ..Run::default() };
            meaning("pveam", &run, ErrorKind::PctOperationFailed)
        };
        let missing = "storage 'x' does not exist";
        assert_eq!(kind(&format!("{missing}\nmore\n")), (ErrorKind::NotFound, missing.to_owned()));
        assert_eq!(kind("timeout\n"), (ErrorKind::PctOperationFailed, "timeout".to_owned()));
        assert_eq!(kind(""), (ErrorKind::PctOperationFailed, "pveam failed".to_owned()));
    }
}
