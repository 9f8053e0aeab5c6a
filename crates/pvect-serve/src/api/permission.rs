//! Who may do which verb, and who may set what. Source: the permissions of pve-container's API and
//! `check_ct_modify_config_perm`.

use pvect_core::schema::split_list;
use pvect_core::{Call, ContainerConfig, Verb};
use pvect_node::rights::judge::{self, Content, Target};
use pvect_node::rights::{Asker, Denied};

use super::Asked;
use crate::refusal::Refusal;
use crate::users::ROOT;

const CONFIG: [&str; 5] =
    ["VM.Config.Disk", "VM.Config.CPU", "VM.Config.Memory", "VM.Config.Network", "VM.Config.Options"];

/// Refuses users who may not use a verb at all, before its parameters are checked.
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
        // list shows what the user may see; create depends on its parameters.
        _ => return Ok(()),
    };
    asked.check_any(&format!("/vms/{}", asked.part("vmid")), needed)
}

/// Refuses what only some users may ask for, by the parameters. `config` is the container's, if it exists.
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
            let asker = Asker::new(&asked.who, asked.rights()?);
            let vmid = call.vmid().ok_or_else(|| Refusal::forbidden(&path))?;
            let content = if call.verb() == Verb::Restore { Content::Backup } else { Content::Template };
            judge::archive(&asker, vmid, argument(1), content).map_err(refused)?;
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
    let asker = Asker::new(&asked.who, asked.rights()?);
    let vmid = path.trim_start_matches("/vms/").parse().map_err(|_| Refusal::forbidden(path))?;
    let target = Target { vmid, is_unprivileged };
    for (name, value) in set.chain(deleted).chain(reverted) {
        if NOT_OF_THE_CONTAINER.contains(&name) {
            continue;
        }
        let old = config.and_then(|config| config.main.get(name));
        judge::option(&asker, target, name, old.as_deref(), value).map_err(refused)?;
    }
    Ok(())
}

fn refused(denied: Denied) -> Refusal {
    Refusal::new(403, denied.0)
}

/// Options of the verbs that do not change the container by themselves.
const NOT_OF_THE_CONTAINER: [&str; 15] = [
    "bwlimit",
    "delete",
    "digest",
    "force",
    "ha-managed",
    "ignore-unpack-errors",
    "password",
    "pool",
    "restore",
    "revert",
    "ssh-public-keys",
    "start",
    "storage",
    "unique",
    "unprivileged",
];
