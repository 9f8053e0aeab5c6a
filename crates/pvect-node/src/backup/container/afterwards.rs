//! What follows once the archive is there: notes, the mark of protection, and older backups that go.

use std::path::{Path, PathBuf};

use pvect_core::ContainerConfig;

use super::{ARCHIVE_MODE, Backup};
use crate::backup::journal::Journal;
use crate::backup::options::notes::notes;
use crate::backup::prune::{NOTES, PROTECTED, archives};
use crate::{Failure, NodeResult, files};

impl Backup<'_> {
    /// Writes notes and the mark of protection.
    pub(super) fn describe(
        &self,
        config: &ContainerConfig,
        target: &Path,
        journal: &mut Journal<'_, '_>,
    ) -> NodeResult<()> {
        let beside = |end: &str| {
            let mut path = target.as_os_str().to_owned();
            path.push(end);
            PathBuf::from(path)
        };
        if let Some(template) = self.plan.options.notes_template.as_deref().filter(|text| !text.is_empty()) {
            journal.info("adding notes to backup");
            let text = notes(template, &config.name(self.vmid), self.node.name.as_str(), self.vmid);
            if let Err(error) = files::replace(&beside(NOTES), text.as_bytes(), ARCHIVE_MODE) {
                journal.warn(format!("unable to add notes - {error}"));
            }
        }
        if self.plan.options.protected {
            journal.info("marking backup as protected");
            self.check_protected()?;
            let path = beside(PROTECTED);
            files::replace(&path, b"", ARCHIVE_MODE)
                .map_err(|error| Failure::new(format!("unable to set protected flag - {error}")))?;
        }
        Ok(())
    }

    /// Refuses one protected backup more than the storage lets a container have.
    fn check_protected(&self) -> NodeResult<()> {
        let Some((storage, most)) = &self.plan.most_protected else { return Ok(()) };
        let all = archives(&self.plan.directory)?;
        if all.iter().filter(|archive| archive.vmid == self.vmid && archive.protected).count() < *most {
            return Ok(());
        }
        Err(Failure::new(format!(
            "unable to set protected flag - The number of protected backups per guest is limited to {most} on storage \
             '{storage}'"
        )))
    }

    pub(super) fn prune(&self, journal: &mut Journal<'_, '_>) -> NodeResult<()> {
        let Some(keep) = self.plan.keep.as_ref().filter(|keep| self.plan.options.remove && !keep.keeps_all())
        else {
            return Ok(());
        };
        journal.info(format!("prune older backups with retention: {}", keep.text()));
        let mut own = archives(&self.plan.directory)?;
        own.retain(|archive| archive.vmid == self.vmid);
        let superfluous = keep.superfluous(&own);
        for archive in &superfluous {
            journal.info(format!("delete old backup '{}'", archive.path.display()));
            archive.remove()?;
        }
        let why = if superfluous.is_empty() { "" } else { " not covered by keep-retention policy" };
        journal.info(format!("pruned {} backup(s){why}", superfluous.len()));
        Ok(())
    }
}
