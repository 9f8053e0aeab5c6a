//! Applies pending changes: at once if the container is stopped, by hotplug if it runs.
//!
//! `pct set` writes every change to `[pve:pending]` first and then applies what it may; a start applies the rest.
//! Source: `change_rules` of pve-container's `PVE::LXC::Config`.

use std::collections::{BTreeMap, BTreeSet};

use pvect_core::config::Section;
use pvect_core::property::{MountPoint, MountSource};
use pvect_core::schema::check;
use pvect_core::size::DiskSize;
use pvect_core::{ContainerConfig, Vmid, VolumeId};

use crate::idmap::IdMap;
use crate::storage::dir;
use crate::{Failure, Node, NodeResult, Output, config_volumes, runtime, storage};

/// Options that need nothing but the new text, even while the container runs.
const IMMEDIATE: [&str; 8] =
    ["description", "hookscript", "hostname", "lock", "onboot", "protection", "startup", "tags"];

/// Options besides `net[n]`, `mp[n]`, `dev[n]` and `unused[n]` that a running container can take.
const LIMITS: [&str; 5] = ["cores", "cpulimit", "cpuunits", "memory", "swap"];

/// Pending changes on their way into the main section of a configuration in memory; the caller saves it.
pub struct Changes<'a> {
    node: &'a Node,
    vmid: Vmid,
    config: &'a mut ContainerConfig,
    only: Option<&'a BTreeSet<String>>,
    made: Vec<VolumeId>,
    mounted: Vec<(String, MountPoint)>,
    errors: BTreeMap<String, String>,
}

/// The result of applying pending changes.
#[derive(Debug)]
pub struct Changed {
    /// Volumes that were made, to be removed if the configuration cannot be saved.
    pub made: Vec<VolumeId>,
    /// What was mounted in the running container, to be unmounted again in that case.
    pub mounted: Vec<(String, MountPoint)>,
    /// What failed, by option; these changes are still pending.
    pub errors: BTreeMap<String, String>,
}

impl Changed {
    /// Takes away what was mounted and made, as the configuration is not saved. What cannot be taken away is a warning each:
    /// why the configuration was not saved is for the caller to say.
    pub fn undo(&self, node: &Node, vmid: Vmid, output: &mut Output<'_>) {
        let mut still_mounted = Vec::new();
        for (key, point) in self.mounted.iter().rev() {
            if let Err(failure) = runtime::unplug_mount(node, vmid, key, point) {
                output.warn(format!("{key} stays mounted: {}", failure.text));
                still_mounted.push(point.fs.source.clone());
            }
        }
        for volume in &self.made {
            if still_mounted.contains(&MountSource::Volume(volume.to_string())) {
                output.warn(format!("volume '{volume}' is left: it is still mounted"));
            } else if let Err(failure) = storage::free(node, volume) {
                output.warn(format!("volume '{volume}' is left: {}", failure.text));
            }
        }
    }
}

impl<'a> Changes<'a> {
    /// Prepares the pending changes of `config`; with `only`, just these.
    pub fn new(
        node: &'a Node,
        vmid: Vmid,
        config: &'a mut ContainerConfig,
        only: Option<&'a BTreeSet<String>>,
    ) -> Self {
        Self { node, vmid, config, only, made: Vec::new(), mounted: Vec::new(), errors: BTreeMap::new() }
    }

    /// Applies them to a container that does not run. Failures go to stderr, too. With `only`, an option that is to be
    /// deleted but also has a pending value gets that value.
    pub fn apply(mut self, output: &mut Output<'_>) -> Changed {
        for key in self.deletions() {
            match self.delete(&key, output) {
                Ok(()) => self.deleted(&key),
                Err(failure) => self.failed("apply pending change", &key, " :", &failure, Some(output)),
            }
        }
        self.config.cleanup_pending();
        for (key, value) in self.values() {
            let applied =
                if is_family(&key, "mp") { self.mount_point(&key, &value, output) } else { Ok(value) };
            match applied {
                Ok(value) => self.changed(&key, value),
                Err(failure) => self.failed("apply pending change", &key, " :", &failure, Some(output)),
            }
        }
        self.done()
    }

    /// Applies those that a running container can take; the others stay pending. Output of mkfs and similar programs
    /// goes to stdout.
    pub fn hotplug(mut self, output: &mut Output<'_>) -> Changed {
        for (key, value) in self.values() {
            if IMMEDIATE.contains(&key.as_str()) {
                self.changed(&key, value);
            }
        }
        for key in self.deletions() {
            let done = if IMMEDIATE.contains(&key.as_str()) {
                Ok(true)
            } else if is_family(&key, "unused") {
                self.delete(&key, output).map(|()| true)
            } else if LIMITS.contains(&key.as_str()) || is_family(&key, "net") {
                self.unplug(&key)
            } else {
                Ok(false)
            };
            match done {
                Ok(true) => self.deleted(&key),
                Ok(false) => {}
                Err(failure) => self.failed("hotplug", &key, ":", &failure, None),
            }
        }
        for (key, value) in self.values() {
            match self.plug(&key, &value, output) {
                Ok(Some(value)) => self.changed(&key, value),
                Ok(None) => {}
                Err(failure) => self.failed("hotplug", &key, ":", &failure, None),
            }
        }
        self.done()
    }

    /// Takes a limit or an interface from a running container; `false` when that has to wait for the next start.
    fn unplug(&self, key: &str) -> NodeResult<bool> {
        match self.config.main.get(key) {
            Some(text) if is_family(key, "net") => check_stored(key, &text)?,
            _ => {}
        }
        runtime::hotplug(self.node, self.vmid, self.config, key, None)
    }

    /// Brings one value into a running container; `None` when it has to wait for the next start.
    fn plug(&mut self, key: &str, value: &str, output: &mut Output<'_>) -> NodeResult<Option<String>> {
        let is_new = self.config.main.get(key).is_none();
        if is_new && is_family(key, "mp") {
            return self.plug_mount(key, value, output).map(Some);
        }
        let lives = LIMITS.contains(&key) || is_family(key, "net") || is_new && is_family(key, "dev");
        if !lives {
            return Ok(None);
        }
        let plugged = runtime::hotplug(self.node, self.vmid, self.config, key, Some(value))?;
        Ok(plugged.then(|| value.to_owned()))
    }

    /// Makes the volume of a new mount point where one is asked for, and mounts it. On failure the volume is removed.
    fn plug_mount(&mut self, key: &str, value: &str, output: &mut Output<'_>) -> NodeResult<String> {
        let made = self.made.len();
        let value = self.mount_point(key, value, output)?;
        if let Err(failure) = runtime::hotplug(self.node, self.vmid, self.config, key, Some(&value)) {
            for volume in self.made.drain(made..) {
                storage::free(self.node, &volume)?;
            }
            return Err(failure);
        }
        if let Ok(point) = MountPoint::parse(key, &value) {
            self.mounted.push((key.to_owned(), point));
        }
        Ok(value)
    }

    fn is_wanted(&self, key: &str) -> bool {
        self.only.is_none_or(|only| only.contains(key))
    }

    fn deletions(&self) -> Vec<String> {
        let pending = self.config.pending.iter().flat_map(|pending| &pending.delete);
        let mut keys: Vec<String> = pending.map(|entry| entry.key.clone()).collect();
        keys.retain(|key| self.is_wanted(key));
        keys.sort();
        keys
    }

    fn values(&self) -> Vec<(String, String)> {
        let Some(pending) = &self.config.pending else { return Vec::new() };
        let wanted = pending.keys().into_iter().filter(|key| self.is_wanted(key));
        wanted.filter_map(|key| Some((key.to_owned(), pending.get(key)?.into_owned()))).collect()
    }

    fn deleted(&mut self, key: &str) {
        self.config.main.remove(key);
        if let Some(pending) = &mut self.config.pending {
            pending.remove_delete(key);
        }
    }

    fn changed(&mut self, key: &str, value: String) {
        self.config.main.set(key, value);
        if let Some(pending) = &mut self.config.pending {
            pending.remove(key);
        }
    }

    fn failed(
        &mut self,
        what: &str,
        key: &str,
        colon: &str,
        failure: &Failure,
        output: Option<&mut Output<'_>>,
    ) {
        let text = format!("unable to {what} {key}{colon} {}", failure.text);
        if let Some(output) = output {
            output.warn(&text);
        }
        // pct's error texts end with a line break.
        self.errors.insert(key.to_owned(), text + "\n");
    }

    fn done(self) -> Changed {
        if self.config.pending.as_ref().is_some_and(Section::is_empty) {
            self.config.pending = None;
        }
        Changed { made: self.made, mounted: self.mounted, errors: self.errors }
    }

    /// What deleting an option does besides: the volume of a mount point becomes unused, an unused one is removed.
    fn delete(&mut self, key: &str, output: &mut Output<'_>) -> NodeResult<()> {
        let Some(text) = self.config.main.get(key).map(std::borrow::Cow::into_owned) else { return Ok(()) };
        if is_family(key, "mp") {
            check_stored(key, &text)?;
            let source = MountPoint::parse(key, &text).map(|point| point.fs.source);
            if let Ok(MountSource::Volume(volume)) = source {
                self.retire(key, &volume)?;
            }
        } else if is_family(key, "net") {
            check_stored(key, &text)?;
        } else if is_family(key, "unused") {
            let volume = config_volumes::unused_volume(&text);
            if !self.is_in_use(volume) {
                let volume = volume_id(volume)?;
                storage::free_own(self.node, self.vmid, &volume, &mut |line| output.warn(line))?;
            }
        }
        Ok(())
    }

    /// Makes what a new value of `mp[n]` needs; returns the value to store.
    fn mount_point(&mut self, key: &str, value: &str, output: &mut Output<'_>) -> NodeResult<String> {
        let parse = |text: &str| MountPoint::parse(key, text).ok();
        let mut new =
            parse(value).ok_or_else(|| Failure::new(format!("unable to parse the value '{value}'")))?;
        match &new.fs.source {
            MountSource::Allocate { storage, size } => {
                let (size, owner) = (*size, IdMap::of(self.config).root());
                let mut log = |line: &str| output.line(line);
                let volume = storage::allocate(self.node, storage, self.vmid, size, owner, &mut log)?;
                self.made.push(volume.clone());
                new.fs.source = MountSource::Volume(volume.to_string());
                new.fs.size = Some(size);
            }
            MountSource::Volume(volume) => match self.size_of(volume) {
                Ok(None) => {}
                Ok(size) => new.fs.size = size,
                Err(failure) => output.warn(format!("Could not rescan volume size - {}\n", failure.text)),
            },
            MountSource::Device(_) | MountSource::Bind(_) => {}
        }
        let old = self.config.main.get(key).and_then(|old| parse(&old)).map(|old| old.fs.source);
        if let Some(MountSource::Volume(old)) = old.filter(|old| *old != new.fs.source) {
            self.retire(key, &old)?;
        }
        Ok(new.to_string())
    }

    /// The size of an image; a directory has none.
    fn size_of(&self, volume: &str) -> NodeResult<Option<DiskSize>> {
        let volume = volume_id(volume)?;
        let path = storage::volume_path(self.node, &volume)?;
        if !matches!(dir::Volume::parse(volume.volume())?, dir::Volume::Image { .. }) {
            return Ok(None);
        }
        let meta = std::fs::metadata(&path).map_err(|error| Failure::io("can't read", &path, &error))?;
        Ok(Some(DiskSize(meta.len())))
    }

    /// Lists a volume as unused, unless another option has it.
    fn retire(&mut self, key: &str, volume: &str) -> NodeResult<()> {
        let main = &self.config.main;
        let elsewhere = main
            .volumes()
            .into_iter()
            .any(|(other, point)| other != key && point.fs.source == MountSource::Volume(volume.to_owned()));
        if elsewhere || main.family("unused").into_iter().any(|(_, _, known)| known == volume) {
            return Ok(());
        }
        config_volumes::list_as_unused(self.config, volume).map(drop)
    }

    /// Whether a mount point has the volume, now, pending, or in a snapshot.
    fn is_in_use(&self, volume: &str) -> bool {
        let sections = [&self.config.main].into_iter().chain(&self.config.pending);
        sections.chain(self.config.snapshots.values()).any(|section| {
            let mut volumes = section.volumes().into_iter();
            volumes.any(|(_, point)| point.fs.source == MountSource::Volume(volume.to_owned()))
        })
    }
}

/// Refuses a stored value that cannot be parsed.
fn check_stored(key: &str, text: &str) -> NodeResult<()> {
    check::stored(key, text).map(drop).map_err(Failure::new)
}

fn volume_id(text: &str) -> NodeResult<VolumeId> {
    text.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{text}'")))
}

/// Returns whether a key is of a family: `mp0` of `mp`.
pub fn is_family(key: &str, family: &str) -> bool {
    key.strip_prefix(family)
        .is_some_and(|index| !index.is_empty() && index.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests;
