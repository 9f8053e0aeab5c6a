//! `pct delsnapshot`: removes a snapshot of a container.

use pvect_core::config::Section;
use pvect_core::{Call, ContainerConfig, Lock, SnapshotName, Vmid};

use crate::config_volumes::{add_unused, in_use};
use crate::interrupt::Interrupt;
use crate::storage::snapshot;
use crate::{Failure, Node, NodeResult, Output, locked, store, task};

/// Removes a snapshot. Returns the exit status.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let (vmid, name) = (super::vmid(call)?, super::snapshot_name(call)?);
    let force = super::is_on(call, "force");
    task::run(node, "vzdelsnapshot", &vmid.to_string(), output, |_, output| {
        let _interrupt = Interrupt::watch();
        delete(node, vmid, &name, force, output)
    })?;
    Ok(0)
}

/// Returns the section of a snapshot.
///
/// # Errors
/// `snapshot '<name>' does not exist`.
pub(super) fn section<'a>(
    config: &'a mut ContainerConfig,
    name: &SnapshotName,
) -> NodeResult<&'a mut Section> {
    let missing = || Failure::new(format!("snapshot '{name}' does not exist"));
    config.snapshots.get_mut(name.as_str()).ok_or_else(missing)
}

/// Removes a whole snapshot; with `force` also when that of a volume cannot be removed.
pub(crate) fn delete(
    node: &Node,
    vmid: Vmid,
    name: &SnapshotName,
    force: bool,
    output: &mut Output<'_>,
) -> NodeResult<()> {
    lock(node, vmid, name, output)?;
    Removal { node, vmid, name, force, lock: Lock::SnapshotDelete, taken: None }.run(output)
}

/// Sets the lock, when there is such a snapshot.
fn lock(node: &Node, vmid: Vmid, name: &SnapshotName, output: &mut Output<'_>) -> NodeResult<()> {
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let mut config = store::load_telling(node, vmid, output)?.config;
    section(&mut config, name)?;
    locked::check(&config)?;
    if config.is_set("template") {
        return Err(Failure::new("you can't delete a snapshot if vm is a template"));
    }
    locked::set(node, vmid, &Lock::SnapshotDelete, output).map(|_| ())
}

/// The removal of a snapshot: of those of the volumes, one by one, then of the section.
pub(super) struct Removal<'a> {
    pub(super) node: &'a Node,
    pub(super) vmid: Vmid,
    pub(super) name: &'a SnapshotName,
    /// Whether it goes on when a volume's snapshot cannot be removed.
    pub(super) force: bool,
    /// The lock that is set.
    pub(super) lock: Lock,
    /// The keys of the volumes that were snapshotted, when that was cut short; all when it was not.
    pub(super) taken: Option<&'a [String]>,
}

impl Removal<'_> {
    /// Removes the snapshot and the lock.
    pub(super) fn run(&self, output: &mut Output<'_>) -> NodeResult<()> {
        let Self { node, vmid, name, .. } = *self;
        let mut config = self.change(output, &|config| {
            section(config, name)?.set("snapstate", "delete");
            Ok(())
        })?;
        let mut removed = Vec::new();
        for (key, volume) in in_use(section(&mut config, name)?) {
            if self.taken.is_none_or(|taken| taken.contains(&key)) {
                match snapshot::remove(node, &volume, name) {
                    Ok(()) => removed.push(volume),
                    Err(failure) if self.force => output.warn(failure.text),
                    Err(failure) => return Err(failure),
                }
            }
            self.change(output, &|config| {
                section(config, name)?.remove(&key);
                Ok(())
            })?;
        }
        self.change(output, &|config| {
            remove_section(config, name)?;
            removed.iter().try_for_each(|volume| add_unused(config, volume))
        })?;
        let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
        locked::remove(node, vmid, &self.lock, output)
    }

    /// Changes the configuration, as long as the lock is ours.
    fn change(
        &self,
        output: &mut Output<'_>,
        change: &dyn Fn(&mut ContainerConfig) -> NodeResult<()>,
    ) -> NodeResult<ContainerConfig> {
        let _held = store::lock(self.node, self.vmid, store::LOCK_SECONDS, output)?;
        let mut config = store::load_telling(self.node, self.vmid, output)?.config;
        if config.lock().as_ref() != Some(&self.lock) {
            return Err(Failure::new(format!("encountered invalid lock, expected '{}'", self.lock)));
        }
        change(&mut config)?;
        store::save(self.node, self.vmid, &config)?;
        Ok(config)
    }
}

/// Removes a snapshot's section; what came after it comes after its parent.
fn remove_section(config: &mut ContainerConfig, name: &SnapshotName) -> NodeResult<()> {
    let parent = section(config, name)?.options.get("parent").cloned();
    config.snapshots.remove(name.as_str());
    for section in std::iter::once(&mut config.main).chain(config.snapshots.values_mut()) {
        if section.options.get("parent").is_some_and(|known| known == name.as_str()) {
            match &parent {
                Some(parent) => section.set("parent", parent.clone()),
                None => {
                    section.remove("parent");
                }
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use pvect_core::config::ParseMode;

    use super::*;

    fn parsed(text: &str) -> ContainerConfig {
        ContainerConfig::parse(text.as_bytes(), ParseMode::Lenient).unwrap().0
    }

    #[test]
    fn what_came_after_a_snapshot_comes_after_its_parent() {
        let name = |text: &str| text.parse::<SnapshotName>().unwrap();
        let mut config =
            parsed("parent: s2\n\n[s1]\nsnaptime: 1\n\n[s2]\nparent: s1\nsnaptime: 2\n\n[s3]\nparent: s2\n");
        remove_section(&mut config, &name("s2")).unwrap();
        assert_eq!(config.to_text().unwrap(), "parent: s1\n\n[s1]\nsnaptime: 1\n\n[s3]\nparent: s1\n");
        remove_section(&mut config, &name("s1")).unwrap();
        assert_eq!(config.to_text().unwrap(), "\n[s3]\n");
        assert_eq!(
            remove_section(&mut config, &name("s1")).unwrap_err().text,
            "snapshot 's1' does not exist"
        );
    }
}
