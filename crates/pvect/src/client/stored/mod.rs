//! What a storage of the node keeps: templates and backups, as the node's own programs list them.

mod standalone;
mod tables;

use pvect_core::schema::TimeClass;
use pvect_core::{Error, ErrorKind, Result, VolumeId};
use pvect_pct::PctConfig;
use serde::{Deserialize, Serialize};

use super::{Client, Place};
use tables::{meaning, parse_backups, parse_templates, text_of};

/// A template on a storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredTemplate {
    /// Its volume id: what `create` takes.
    pub volid: String,
    /// Its size in bytes; pveam(1) rounds to hundredths of a MiB.
    pub size: u64,
}

/// A backup on a storage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredBackup {
    /// Its volume id: what `restore` takes.
    pub volid: String,
    /// The container that it is a backup of.
    pub vmid: u32,
    /// Its size in bytes.
    pub size: u64,
}

impl Client {
    /// Lists the templates on a storage: through the API, by pveam(1), or as the standalone node lists them.
    ///
    /// # Errors
    /// `NotFound` for a storage that the node does not know; `Unsupported` for a standalone node at the other end of ssh;
    /// when the program cannot be run.
    pub async fn stored_templates(&self, storage: &str) -> Result<Vec<StoredTemplate>> {
        if let Some(api) = self.api() {
            let volumes = api.content(storage, "vztmpl").await?.into_iter();
            return Ok(volumes.map(|one| StoredTemplate { volid: one.volid, size: one.size }).collect());
        }
        if let Place::Standalone { root, node } = self.place() {
            return self.standalone_list("templates", (root, node), storage).await;
        }
        Ok(parse_templates(&self.template_table(storage).await?))
    }

    /// Returns the table of `pveam list`, as pveam(1) prints it.
    ///
    /// # Errors
    /// As [`Client::stored_templates`]; `Unsupported` where there is no pveam.
    pub async fn template_table(&self, storage: &str) -> Result<String> {
        self.pveam(&["list", storage], TimeClass::Read).await
    }

    /// Removes a template from a storage: by pveam(1), or as the standalone node does it.
    ///
    /// # Errors
    /// `NotFound` for a template that does not exist; `Unsupported` through the API, and for a standalone node at the
    /// other end of ssh; when the program cannot be run.
    pub async fn remove_template(&self, volume: &VolumeId) -> Result<()> {
        match self.place() {
            Place::Api { .. } => Err(not_through_api()),
            Place::Standalone { root, node } => self.standalone_remove((root, node), volume).await,
            _ => self.pveam(&["remove", volume.as_str()], TimeClass::Long).await.map(drop),
        }
    }

    /// Returns the command line that does what [`Client::remove_template`] does, program first.
    ///
    /// # Errors
    /// `Unsupported` in the same cases.
    pub fn remove_template_line(&self, volume: &VolumeId) -> Result<Vec<String>> {
        let words: Vec<String> = match self.place() {
            Place::Api { .. } => return Err(not_through_api()),
            Place::Standalone { root, .. } => {
                let (program, root) = (self.program().display().to_string(), root.display().to_string());
                vec![program, "--root".to_owned(), root, "template".to_owned()]
            }
            _ => {
                self.refuse_far_standalone("templates", "template")?;
                let pveam = PctConfig {
                    program: "pveam".into(),
                    prefix_args: Vec::new(),
                    ..self.node.config.clone()
                };
                return Ok(pveam.command_line(vec!["remove".to_owned(), volume.to_string()]));
            }
        };
        Ok(words.into_iter().chain(["remove".to_owned(), volume.to_string()]).collect())
    }

    async fn pveam(&self, words: &[&str], class: TimeClass) -> Result<String> {
        self.refuse_far_standalone("templates", "template")?;
        if let Place::Standalone { .. } = self.place() {
            let what = "a standalone node has no pveam".to_owned();
            return Err(Error::Unsupported { what, vmid: None });
        }
        let done = self.way.run_other("pveam", words, class).await?;
        text_of(&done, "pveam", words).map_err(|run| {
            let (kind, message) = meaning("pveam", &run, ErrorKind::PctOperationFailed);
            Error::Failed { kind, message, vmid: None, run: Box::new(run) }
        })
    }

    /// Lists the backups of containers on a storage: by pvesm(1), or as the standalone node lists them.
    ///
    /// # Errors
    /// `NotFound` for a storage that the node does not know; `Unsupported` for a standalone node at the other end of ssh;
    /// when the program cannot be run.
    pub async fn stored_backups(&self, storage: &str) -> Result<Vec<StoredBackup>> {
        if let Place::Standalone { root, node } = self.place() {
            return self.standalone_list("backups", (root, node), storage).await;
        }
        self.refuse_far_standalone("backups", "backup")?;
        let words = ["list", storage, "--content", "backup"];
        let done = self.run_other("pvesm", &words).await?;
        let table = text_of(&done, "pvesm", &words).map_err(|run| {
            let (kind, message) = meaning("pvesm", &run, ErrorKind::PctCommandFailed);
            Error::Failed { kind, message, vmid: None, run: Box::new(run) }
        })?;
        Ok(parse_backups(&table))
    }

    /// At the other end of ssh, pveam and pvesm belong to the machine, not to its standalone node.
    fn refuse_far_standalone(&self, what: &str, command: &str) -> Result<()> {
        let Place::Far { root: Some(_), destination, .. } = self.place() else { return Ok(()) };
        let what = format!(
            "the {what} of a standalone node are managed with 'pvect {command}' on that node, at {destination}"
        );
        Err(Error::Unsupported { what, vmid: None })
    }
}

fn not_through_api() -> Error {
    let what = "through the API templates can only be listed: run pvect on the node, or use --node NAME";
    Error::Unsupported { what: what.to_owned(), vmid: None }
}
