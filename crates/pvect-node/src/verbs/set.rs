//! `pct set`: changes options of a container.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use pvect_core::call::Value;
use pvect_core::call::rules;
use pvect_core::property::{DeviceEntry, MountPoint, MountSource, NetInterface, RootFs};
use pvect_core::schema::{Reason, Violation, split_list};
use pvect_core::{Call, ContainerConfig, Verb, Vmid, VolumeId};

use super::AFTER_LOAD_EXIT;
use crate::change::{Changes, is_family};
use crate::rights::Asker;
use crate::rights::judge::{self, Target};
use crate::storage::{self, Storages, dir};
use crate::usage::report::{USAGE_EXIT, refused};
use crate::{Failure, Node, NodeResult, Output, options, runtime, store};

/// Where the kernel lists the network interfaces.
const INTERFACES: &str = "/sys/class/net";

/// Changes options of a container. Returns the exit status.
///
/// What a running container cannot take stays pending. The written configuration is read again and checked as for a
/// start. A failure then says what is missing, although the change is stored.
///
/// # Errors
/// The text and status that pct ends with.
pub fn run(node: &Node, call: &Call, output: &mut Output<'_>) -> NodeResult<u8> {
    let vmid = super::vmid(call)?;
    if let Some(violation) = rules::before_load(call).first() {
        return Err(Failure::with_exit(violation.pct_text(), USAGE_EXIT));
    }
    let _held = store::lock(node, vmid, store::LOCK_SECONDS, output)?;
    let stored = store::load_telling(node, vmid, output)?;
    let mut config = stored.config;
    if let Some(lock) = config.lock() {
        return Err(Failure::locked(&lock).exiting(AFTER_LOAD_EXIT));
    }
    if call.get("digest").is_some_and(|digest| !digest.is_empty() && digest != stored.digest) {
        let text = "detected modified configuration - file changed by other user? Try again.";
        return Err(Failure::with_exit(text, AFTER_LOAD_EXIT));
    }
    check_lists(call)?;
    let before = config.clone();
    let modified = note(node, vmid, call, &mut config, output)?;
    judge(node, vmid, &before, &config)?;
    config.cleanup_pending();
    let changes = Changes::new(node, vmid, &mut config, Some(&modified));
    let changed =
        if runtime::is_running(node, vmid) { changes.hotplug(output) } else { changes.apply(output) };
    let saved = if changed.errors.is_empty() {
        store::save(node, vmid, &config)
    } else {
        let other = |(name, pct): (&String, &String)| {
            Violation::option(name, Reason::Other { pct: pct.clone(), text: pct.clone() })
        };
        let violations: Vec<Violation> = changed.errors.iter().map(other).collect();
        Err(refused(Verb::Set, &violations).exiting(255))
    };
    if saved.is_err() {
        changed.undo(node, vmid, output);
    }
    saved?;
    let written = store::load_telling(node, vmid, output)?.config;
    runtime::check_startable(node, &written)?;
    Ok(0)
}

/// Judges the changed configuration, whichever options led to it.
fn judge(node: &Node, vmid: Vmid, before: &ContainerConfig, after: &ContainerConfig) -> NodeResult<()> {
    let asker = Asker::of_this_process(node)?;
    let target = Target { vmid, is_unprivileged: before.is_unprivileged() };
    let wanted = |config: &ContainerConfig, key: &str| -> Option<String> {
        let pending = config.pending.as_ref();
        if pending.is_some_and(|pending| pending.delete.iter().any(|entry| entry.key == key)) {
            return None;
        }
        let pending = pending.and_then(|pending| pending.get(key));
        pending.or_else(|| config.main.get(key)).map(std::borrow::Cow::into_owned)
    };
    let sections = [before, after].into_iter().flat_map(|config| config.pending.iter().chain([&config.main]));
    let keys: BTreeSet<&str> = sections
        .flat_map(|section| {
            section.keys().into_iter().chain(section.delete.iter().map(|entry| entry.key.as_str()))
        })
        .collect();
    for key in keys {
        let (old, new) = (wanted(before, key), wanted(after, key));
        if old != new {
            judge::option(&asker, target, key, old.as_deref(), new.as_deref())?;
        }
    }
    Ok(())
}

/// Checks `--delete` and `--revert` against each other and the other options.
fn check_lists(call: &Call) -> NodeResult<()> {
    // Read-only options are reported with the values.
    let mut found = rules::after_load(call).into_iter();
    match found.find(|violation| !matches!(violation.reason, Reason::Alone { .. })) {
        Some(violation) => Err(refused(Verb::Set, &[violation]).exiting(AFTER_LOAD_EXIT)),
        None => Ok(()),
    }
}

/// Writes the changes to the pending section; returns the options that they are about.
fn note(
    node: &Node,
    vmid: Vmid,
    call: &Call,
    config: &mut ContainerConfig,
    output: &mut Output<'_>,
) -> NodeResult<BTreeSet<String>> {
    let mut modified = BTreeSet::new();
    for option in split_list(call.get("revert").unwrap_or_default()) {
        if let Some(pending) = &mut config.pending {
            pending.remove(option);
            pending.remove_delete(option);
        }
    }
    for option in split_list(call.get("delete").unwrap_or_default()) {
        let is_pending = config.pending.as_ref().is_some_and(|pending| pending.get(option).is_some());
        if config.main.get(option).is_none() && !is_pending {
            output.warn(format!("cannot delete '{option}' - not set in current configuration!"));
            continue;
        }
        check_deletion(vmid, config, option)?;
        modified.insert(option.to_owned());
        // A pending value of it stays, and is the one that is applied in the end.
        config.pending.get_or_insert_default().add_delete(option, false);
    }
    let values: BTreeMap<&str, &str> = call
        .options()
        .iter()
        .filter_map(|(name, value)| match value {
            Value::Text(text) if !matches!(name.as_str(), "delete" | "revert" | "digest") => {
                Some((name.as_str(), text.as_str()))
            }
            _ => None,
        })
        .collect();
    for (option, text) in values {
        check_value(node, vmid, config, option, text)?;
        modified.insert(option.to_owned());
        let pending = config.pending.get_or_insert_default();
        pending.set(option, options::stored(option, text)?);
        pending.remove_delete(option);
    }
    Ok(modified)
}

fn check_deletion(vmid: Vmid, config: &ContainerConfig, option: &str) -> NodeResult<()> {
    match option {
        "memory" | "rootfs" | "ostype" => {
            Err(Failure::new(format!("unable to delete required option '{option}'")))
        }
        "unprivileged" => Err(Failure::new("unable to delete read-only option: 'unprivileged'")),
        _ if is_family(option, "mp") || is_family(option, "unused") => {
            check_protection(config, &format!("can't remove CT {vmid} drive '{option}'"))
        }
        _ => Ok(()),
    }
}

fn check_protection(config: &ContainerConfig, what: &str) -> NodeResult<()> {
    if config.is_set("protection") {
        return Err(Failure::new(format!("{what} - protection mode enabled")));
    }
    Ok(())
}

/// Checks what the table of options cannot check: the host, the storages, the container.
fn check_value(
    node: &Node,
    vmid: Vmid,
    config: &ContainerConfig,
    option: &str,
    text: &str,
) -> NodeResult<()> {
    match option {
        "unprivileged" => Err(Failure::new("unable to modify read-only option: 'unprivileged'")),
        "hookscript" => check_hookscript(node, text),
        "rootfs" => {
            check_protection(config, &format!("can't update CT {vmid} drive '{option}'"))?;
            match RootFs::parse(text) {
                // The real pct stores this text, and the container does not start any more.
                Ok(RootFs { source: MountSource::Allocate { .. }, .. }) => {
                    Err(Failure::new("a container keeps its rootfs: give the volume that it has"))
                }
                Ok(fs) => check_mount(node, config, option, &fs),
                Err(violations) => Err(refused(Verb::Set, &violations)),
            }
        }
        _ if is_family(option, "mp") => {
            check_protection(config, &format!("can't update CT {vmid} drive '{option}'"))?;
            match MountPoint::parse(option, text) {
                Ok(point) => check_mount(node, config, option, &point.fs),
                Err(violations) => Err(refused(Verb::Set, &violations)),
            }
        }
        _ if is_family(option, "net") => match NetInterface::parse(option, text) {
            Ok(net) => check_net(Path::new(INTERFACES), option, &net),
            Err(violations) => Err(refused(Verb::Set, &violations)),
        },
        _ if is_family(option, "dev") => match DeviceEntry::parse(option, text) {
            Ok(device) => check_device(Path::new(&device.path)),
            Err(violations) if violations.iter().any(has_no_path) => {
                Err(Failure::new("Path has to be defined"))
            }
            Err(violations) => Err(refused(Verb::Set, &violations)),
        },
        _ => Ok(()),
    }
}

fn has_no_path(violation: &Violation) -> bool {
    violation.name.ends_with(".path") && violation.reason == Reason::Missing
}

fn check_mount(node: &Node, config: &ContainerConfig, option: &str, fs: &RootFs) -> NodeResult<()> {
    // Otherwise only the next start would fail.
    storage::check_mount(config, option, fs)?;
    check_source(node, &fs.source)
}

fn check_source(node: &Node, source: &MountSource) -> NodeResult<()> {
    let storage = match source {
        MountSource::Device(_) | MountSource::Bind(_) => return Ok(()),
        MountSource::Allocate { storage, .. } => storage.clone(),
        MountSource::Volume(text) => volume_id(text)?.storage().to_owned(),
    };
    if Storages::load(&node.layout)?.find(&storage)?.holds("rootdir") {
        return Ok(());
    }
    Err(Failure::new(format!("storage '{storage}' does not allow content type 'rootdir' (Container)")))
}

fn volume_id(text: &str) -> NodeResult<VolumeId> {
    text.parse().map_err(|_| Failure::new(format!("unable to parse volume ID '{text}'")))
}

/// Checks a changed interface except for its bridge, which is checked when everything is written.
fn check_net(interfaces: &Path, option: &str, net: &NetInterface) -> NodeResult<()> {
    if let Some(mtu) = net.mtu {
        runtime::check_mtu(interfaces, option, net.bridge.as_deref(), Some(mtu))?;
    }
    let slaac = net.ip6 == Some(pvect_core::property::Ipv6Config::Auto);
    if net.host_managed && slaac && !net.link_down {
        return Err(Failure::new(format!(
            "{option}: SLAAC is not supported for host-managed network configuration."
        )));
    }
    Ok(())
}

fn check_device(path: &Path) -> NodeResult<()> {
    let shown = path.display();
    let kind = match std::fs::metadata(path) {
        Ok(meta) => meta.file_type(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(Failure::with_exit(format!("Device {shown} does not exist"), 2));
        }
        Err(_) => return Err(Failure::new(format!("Error accessing device {shown}"))),
    };
    if kind.is_block_device() || kind.is_char_device() {
        return Ok(());
    }
    Err(Failure::new(format!("{shown} is not a device")))
}

fn check_hookscript(node: &Node, text: &str) -> NodeResult<()> {
    let volume = volume_id(text)?;
    let storages = Storages::load(&node.layout)?;
    let directories = storages.find(volume.storage())?.directories()?;
    let parsed = dir::Volume::parse(volume.volume())?;
    if !matches!(parsed, dir::Volume::File { content: "snippets", .. }) {
        return Err(Failure::new(format!("'{text}' is not in the snippets directory")));
    }
    match std::fs::metadata(parsed.path(&directories)) {
        Ok(meta) if meta.is_file() && meta.permissions().mode() & 0o111 != 0 => Ok(()),
        Ok(meta) if meta.is_file() => Err(Failure::new(format!("script '{text}' is not executable"))),
        _ => Err(Failure::with_exit(format!("script '{text}' does not exist"), 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_looked_at() {
        let sys = tempfile::tempdir().unwrap();
        std::fs::create_dir(sys.path().join("vmbr0")).unwrap();
        std::fs::write(sys.path().join("vmbr0/mtu"), "1500\n").unwrap();
        let check = |text: &str| {
            let net = NetInterface::parse("net0", text).unwrap();
            check_net(sys.path(), "net0", &net).map_err(|failure| (failure.text, failure.exit))
        };
        assert_eq!(check("name=eth0,bridge=vmbr0,mtu=1500"), Ok(()));
        // It is stored anyway.
        assert_eq!(check("name=eth0,bridge=nosuch"), Ok(()));
        for (text, words, exit) in [
            ("name=eth0,bridge=nosuch,mtu=1500", "bridge 'nosuch' does not exist", 2),
            (
                "name=eth0,bridge=vmbr0,mtu=9000",
                "net0: MTU size '9000' is bigger than bridge MTU '1500'",
                255,
            ),
            (
                "name=eth0,bridge=vmbr0,host-managed=1,ip6=auto",
                "net0: SLAAC is not supported for host-managed network configuration.",
                255,
            ),
        ] {
            assert_eq!(check(text), Err((words.to_owned(), exit)), "{text}");
        }
    }

    #[test]
    fn devices_are_looked_at() {
        assert!(check_device(Path::new("/dev/null")).is_ok());
        let text = |path: &str| check_device(Path::new(path)).unwrap_err().text;
        assert_eq!(text("/dev/nosuch"), "Device /dev/nosuch does not exist");
        assert_eq!(text("/dev"), "/dev is not a device");
    }
}
