//! What holds for every container that is being made, by create, restore or clone: who may make it, which options are
//! not its own, what is found out about its guest, and what is undone when it fails.

use pvect_core::{ContainerConfig, Vmid, VolumeId};

use crate::rights::Asker;
use crate::rights::judge::{self, Target};
use crate::setup::Guest;
use crate::{Failure, Node, NodeResult, storage, store};

/// Judges the options of a new container, volumes aside.
pub(super) fn judge_new(
    asker: &Asker,
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    is_unprivileged: bool,
) -> NodeResult<()> {
    if !is_unprivileged {
        judge::privileged(asker, node)?;
    }
    let target = Target { vmid, is_unprivileged };
    for key in config.main.keys().into_iter().filter(|key| *key != "unprivileged") {
        judge::option(asker, target, key, None, config.main.get(key).as_deref())?;
    }
    Ok(())
}

/// Judges the volumes of a new container.
pub(super) fn judge_volumes(asker: &Asker, vmid: Vmid, volumes: &[(String, String)]) -> NodeResult<()> {
    let target = Target { vmid, is_unprivileged: true };
    for (key, text) in volumes {
        judge::option(asker, target, key, None, Some(text))?;
    }
    Ok(())
}

/// Options of create that are not options of a container.
pub(super) const OWN_OPTIONS: [&str; 13] = [
    "bwlimit",
    "force",
    "ha-managed",
    "ignore-unpack-errors",
    "password",
    "pool",
    "restore",
    "ssh-public-keys",
    "start",
    "storage",
    super::TRUST_CONFIG,
    "unique",
    "unprivileged",
];

/// A file of public keys that was read but not checked yet.
pub(super) struct Keys<'a> {
    path: &'a str,
    content: String,
}

/// Reads a file of public keys.
pub(super) fn read_keys(path: &str) -> NodeResult<Keys<'_>> {
    let failed =
        |error| Failure::with_exit(format!("can't open '{path}' - {}", crate::error::os_text(&error)), 2);
    std::fs::read_to_string(path).map(|content| Keys { path, content }).map_err(failed)
}

impl Keys<'_> {
    /// Checks each line. The real pct does so when it knows that the number is free.
    pub(super) fn checked(self) -> NodeResult<String> {
        let is_key = |line: &str| {
            let mut words = line.split_ascii_whitespace();
            let kinds = ["ssh-", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-"];
            // Options may come before the type.
            line.starts_with('#') || words.any(|word| kinds.iter().any(|kind| word.starts_with(kind)))
        };
        match self.content.lines().map(str::trim).find(|line| !line.is_empty() && !is_key(line)) {
            Some(_) => Err(Failure::with_exit(
                format!("SSH public key validation error: '{}' has a line that is not a key", self.path),
                2,
            )),
            None => Ok(self.content),
        }
    }
}

/// Finds the distribution and the architecture and puts them into the configuration. `log` gets lines, and whether each is
/// a warning.
pub(super) fn detect_guest(
    guest: &Guest<'_>,
    config: &mut ContainerConfig,
    log: &mut dyn FnMut(&str, bool),
) -> NodeResult<()> {
    let (ostype, arch) = guest.detect(log)?;
    config.main.set("ostype", ostype);
    if let Some(arch) = arch {
        config.main.set("arch", arch);
    }
    Ok(())
}

/// Removes what a create, a clone or a restore made, even after a panic.
pub(super) struct Undo<'a> {
    node: &'a Node,
    vmid: Vmid,
    /// The configuration to restore; without one the container is removed.
    pub(super) old: Option<ContainerConfig>,
    /// What was made so far.
    pub(super) volumes: Vec<VolumeId>,
    armed: bool,
}

impl<'a> Undo<'a> {
    /// For a container whose configuration was just made.
    pub(super) fn of(node: &'a Node, vmid: Vmid) -> Self {
        Self::over(node, vmid, None)
    }

    /// For a container that replaces an old one, if there was one.
    pub(super) fn over(node: &'a Node, vmid: Vmid, old: Option<ContainerConfig>) -> Self {
        Self { node, vmid, old, volumes: Vec::new(), armed: true }
    }

    /// The container is complete: nothing is removed any more.
    pub(super) fn disarm(&mut self) {
        self.armed = false;
    }

    /// Removes it now; `log` gets what cannot be removed.
    pub(super) fn now(&mut self, log: &mut dyn FnMut(&str)) {
        if !std::mem::take(&mut self.armed) {
            return;
        }
        for volume in self.volumes.drain(..).rev() {
            if let Err(failure) = storage::free(self.node, &volume) {
                log(&failure.text);
            }
        }
        let _ = std::fs::remove_dir(self.node.layout.rootfs(self.vmid));
        let _ = std::fs::remove_dir(self.node.layout.container(self.vmid));
        let undone = match &self.old {
            Some(old) => store::save(self.node, self.vmid, old),
            None => store::remove(self.node, self.vmid),
        };
        if let Err(failure) = undone {
            log(&failure.text);
        }
    }
}

impl Drop for Undo<'_> {
    fn drop(&mut self) {
        let vmid = self.vmid;
        self.now(&mut |text| tracing::error!(%vmid, "undoing a new container: {text}"));
    }
}
