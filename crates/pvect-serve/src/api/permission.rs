//! Who may do which verb, and who may set what. Source: the permissions of pve-container's API and
//! `check_ct_modify_config_perm`.

use pvect_core::property::{Features, MountPoint, MountSource, NetInterface, RootFs};
use pvect_core::schema::split_list;
use pvect_core::{Call, ContainerConfig, Verb};

use super::Asked;
use crate::refusal::Refusal;
use crate::users::ROOT;

const CONFIG: [&str; 5] =
    ["VM.Config.Disk", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"];

/// Refuses who may not do a verb at all: found before the parameters are looked at.
pub(super) fn of_verb(asked: &Asked, verb: Verb) -> Result<(), Refusal> {
    let needed: &[&str] = match verb {
        Verb::Status | Verb::Config | Verb::Pending | Verb::Listsnapshot => &["VM.Audit"],
        Verb::Set => &CONFIG,
        Verb::Start | Verb::Stop | Verb::Shutdown | Verb::Reboot | Verb::Suspend | Verb::Resume => {
            &["VM.PowerMgmt"]
        }
        Verb::Destroy | Verb::Template => &["VM.Allocate"],
        Verb::Clone => &["VM.Clone"],
        Verb::Migrate | Verb::RemoteMigrate => &["VM.Migrate"],
        Verb::MoveVolume | Verb::Resize => &["VM.Config.Disk"],
        Verb::Snapshot | Verb::Delsnapshot => &["VM.Snapshot"],
        Verb::Rollback => &["VM.Snapshot", "VM.Snapshot.Rollback"],
        // The list shows what each may see; create depends on its parameters.
        _ => return Ok(()),
    };
    asked.check_any(&format!("/vms/{}", asked.part("vmid")), needed)
}

/// Refuses what only some may ask for, by the parameters. `config` is the container's, where there is one.
pub(super) fn of_call(asked: &Asked, call: &Call, config: Option<&ContainerConfig>) -> Result<(), Refusal> {
    if asked.who == ROOT {
        return Ok(());
    }
    if call.get("skiplock") == Some("1") {
        return Err(Refusal::parameter("skiplock", "Only root may use this option."));
    }
    let argument = |index: usize| call.args().get(index).map_or("", String::as_str);
    match call.verb() {
        Verb::Create | Verb::Restore => {
            let path = format!("/vms/{}", argument(0));
            if !asked.rights()?.may(&asked.who, &path, "VM.Allocate") {
                return Err(Refusal::forbidden(""));
            }
            let storage = call.get("storage").unwrap_or("local");
            asked.check(&format!("/storage/{storage}"), "Datastore.AllocateSpace")?;
            if let Some((storage, _)) = argument(1).split_once(':') {
                let needed = ["Datastore.AllocateSpace", "Datastore.Audit"];
                asked.check_any(&format!("/storage/{storage}"), &needed)?;
            }
            let is_unprivileged = call.get("unprivileged") != Some("0");
            options(asked, &path, call, config, is_unprivileged)
        }
        Verb::Set => {
            let is_unprivileged = config.is_some_and(ContainerConfig::is_unprivileged);
            options(asked, &format!("/vms/{}", argument(0)), call, config, is_unprivileged)
        }
        Verb::Clone => {
            asked.check(&format!("/vms/{}", argument(1)), "VM.Allocate")?;
            match call.get("storage") {
                Some(storage) => asked.check(&format!("/storage/{storage}"), "Datastore.AllocateSpace"),
                None => Ok(()),
            }
        }
        Verb::MoveVolume => {
            if !argument(2).is_empty() {
                asked.check(&format!("/storage/{}", argument(2)), "Datastore.AllocateSpace")?;
            }
            match argument(3) {
                "" => Ok(()),
                target => asked.check(&format!("/vms/{target}"), "VM.Config.Disk"),
            }
        }
        _ => Ok(()),
    }
}

fn options(
    asked: &Asked,
    path: &str,
    call: &Call,
    config: Option<&ContainerConfig>,
    is_unprivileged: bool,
) -> Result<(), Refusal> {
    let set = call.options().iter().map(|(name, _)| (name.as_str(), call.get(name)));
    let deleted = split_list(call.get("delete").unwrap_or_default()).into_iter().map(|name| (name, None));
    let reverted = split_list(call.get("revert").unwrap_or_default()).into_iter().map(|name| (name, None));
    for (name, value) in set.chain(deleted).chain(reverted) {
        let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
        match stem {
            "cores" | "cpuunits" | "cpulimit" => asked.check(path, "VM.Config.CPU")?,
            "memory" | "swap" => asked.check(path, "VM.Config.Memory")?,
            "nameserver" | "searchdomain" | "hostname" => asked.check(path, "VM.Config.Network")?,
            "rootfs" | "mp" => {
                asked.check(path, "VM.Config.Disk")?;
                if let Some(value) = value {
                    volume(asked, name, value)?;
                }
            }
            "net" => {
                asked.check(path, "VM.Config.Network")?;
                let old = config.and_then(|config| config.main.get(name));
                bridge(asked, name, old.as_deref())?;
                bridge(asked, name, value)?;
            }
            "dev" => return Err(only_root("configuring device passthrough is only allowed for root@pam")),
            "hookscript" => return Err(only_root("changing the hookscript is only allowed for root@pam")),
            "features" => {
                let old = config.and_then(|config| config.main.get(name));
                features(asked, path, old.as_deref(), value, is_unprivileged)?;
            }
            // What is not of the container itself.
            "delete"
            | "revert"
            | "digest"
            | "storage"
            | "password"
            | "ssh-public-keys"
            | "start"
            | "force"
            | "restore"
            | "unique"
            | "bwlimit"
            | "ignore-unpack-errors"
            | "pool"
            | "ha-managed"
            | "unprivileged" => {}
            _ => asked.check(path, "VM.Config.Options")?,
        }
    }
    Ok(())
}

fn only_root(text: &str) -> Refusal {
    Refusal::forbidden(text)
}

fn volume(asked: &Asked, name: &str, value: &str) -> Result<(), Refusal> {
    let source = match name {
        "rootfs" => RootFs::parse(value).map(|fs| fs.source),
        _ => MountPoint::parse(name, value).map(|point| point.fs.source),
    };
    let kind = match source {
        Ok(MountSource::Bind(_)) => "bind",
        Ok(MountSource::Device(_)) => "device",
        Ok(MountSource::Allocate { storage, .. }) => {
            return asked.check(&format!("/storage/{storage}"), "Datastore.AllocateSpace");
        }
        // A volume that is there: who may have it is who may manage the storage.
        Ok(MountSource::Volume(text)) => {
            return match text.split_once(':') {
                Some((storage, _)) => asked.check(&format!("/storage/{storage}"), "Datastore.AllocateSpace"),
                None => Ok(()),
            };
        }
        Err(_) => return Ok(()),
    };
    Err(only_root(&format!("mount point type {kind} is only allowed for root@pam")))
}

fn bridge(asked: &Asked, name: &str, value: Option<&str>) -> Result<(), Refusal> {
    let net = value.and_then(|value| NetInterface::parse(name, value).ok());
    match net.and_then(|net| net.bridge) {
        Some(bridge) => asked.check(&format!("/sdn/zones/localnetwork/{bridge}"), "SDN.Use"),
        None => Ok(()),
    }
}

fn features(
    asked: &Asked,
    path: &str,
    old: Option<&str>,
    new: Option<&str>,
    is_unprivileged: bool,
) -> Result<(), Refusal> {
    if !is_unprivileged {
        return Err(only_root(
            "changing feature flags for privileged container is only allowed for root@pam",
        ));
    }
    let parse = |text: Option<&str>| text.map_or(Ok(Features::default()), Features::parse);
    let (Ok(old), Ok(new)) = (parse(old), parse(new)) else { return Ok(()) };
    let nesting = new.nesting;
    if (Features { nesting, ..old.clone() }) != new {
        return Err(only_root("changing feature flags (except nesting) is only allowed for root@pam"));
    }
    if old.nesting == nesting { Ok(()) } else { asked.check(path, "VM.Allocate") }
}
