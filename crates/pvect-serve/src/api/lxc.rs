//! `/nodes/{node}/lxc` and below.

use pvect_core::schema::{Format, Kind};
use pvect_core::{Call, ContainerConfig, Status, Verb, Vmid};
use pvect_node::storage::snapshot;
use pvect_node::store::{self, Stored};
use pvect_node::vmids;
use pvect_node::{Failure, FailureKind, Node, Output, runtime, verbs};
use secrecy::ExposeSecret;
use serde_json::{Map, Value, json};

use super::{Answer, Asked, Reply, Row, permission};
use crate::params::{TEXT, optional, required};
use crate::refusal::Refusal;

pub(super) const ENDPOINTS: &[Row] = &[
    ("GET", "/nodes/{node}/lxc/{vmid}/interfaces", interfaces),
    ("GET", "/nodes/{node}/lxc/{vmid}/feature", feature),
    ("GET", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}", |asked| {
        asked.params.check(&[])?;
        Ok(Reply::Data(json!([{ "cmd": "rollback" }, { "cmd": "config" }])))
    }),
    ("GET", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/config", snapshot_config),
    ("PUT", "/nodes/{node}/lxc/{vmid}/snapshot/{snapname}/config", set_snapshot_config),
];

/// The endpoint of a verb: reads are answered, everything else is done by a worker.
pub(super) fn verb(asked: &Asked, verb: Verb) -> Answer {
    permission::of_verb(asked, verb)?;
    asked.check_node()?;
    match verb {
        Verb::List => list(asked),
        Verb::Status => status(asked),
        Verb::Config => config(asked),
        Verb::Pending => pending(asked),
        Verb::Listsnapshot => snapshots(asked),
        _ => work(asked, verb),
    }
}

/// The longest password of a container's root, bytes. The time to hash one grows with the square of its length.
const LONGEST_PASSWORD: usize = 511;

fn work(asked: &Asked, verb: Verb) -> Answer {
    let mut params = asked.params.clone();
    for name in ["vmid", "snapname"] {
        if let Some(value) = asked.place.get(name) {
            params.set(name, value.clone());
        }
    }
    let verb = if verb == Verb::Create && params.is_on("restore") { Verb::Restore } else { verb };
    if verb == Verb::Restore {
        params.remove("restore");
    }
    let call = params.call(verb)?;
    let password = call.get_secret("password").map_or(0, |password| password.expose_secret().len());
    if password > LONGEST_PASSWORD {
        return Err(Refusal::parameter(
            "password",
            "crypt(3) takes no password that is longer than 511 bytes",
        ));
    }
    let makes = matches!(verb, Verb::Create | Verb::Restore);
    let config = match call.vmid() {
        Some(vmid) if !makes && verb == Verb::Set => Some(load(asked.node(), vmid)?.config),
        _ => None,
    };
    permission::of_call(asked, &call, config.as_ref())?;
    Ok(Reply::Work(call))
}

fn load(node: &Node, vmid: Vmid) -> Result<Stored, Refusal> {
    store::load(node, vmid).map_err(|failure| Refusal::of_failure(&failure))
}

/// One record, as `vmstatus` has it: numbers and not truth values.
pub(super) fn record(status: &Status) -> Map<String, Value> {
    let mut record = match serde_json::to_value(status) {
        Ok(Value::Object(record)) => record,
        _ => Map::new(),
    };
    // CPU usage needs two measurements, so the first one is 0.
    record.insert("cpu".to_owned(), 0.into());
    if status.template {
        record.insert("template".to_owned(), 1.into());
    }
    if let Some(cpus) = status.cpus.filter(|cpus| cpus.fract() == 0.0) {
        record.insert("cpus".to_owned(), (cpus as u64).into());
    }
    record
}

/// The containers that somebody may see, with their records.
pub(super) fn visible(asked: &Asked) -> Result<Vec<Status>, Refusal> {
    let rights = asked.rights()?;
    let node = asked.node();
    let vmids = vmids::all(node).map_err(|failure| Refusal::of_failure(&failure))?;
    let mut found = Vec::new();
    for vmid in vmids {
        if !rights.may(&asked.who, &format!("/vms/{vmid}"), "VM.Audit") {
            continue;
        }
        let config = match store::load(node, vmid) {
            Ok(stored) => stored.config,
            // It may have gone meanwhile; one that cannot be read is shown with what there is.
            Err(Failure { kind: FailureKind::NoContainer { .. }, .. }) => continue,
            Err(_) => ContainerConfig::default(),
        };
        found.push(verbs::status_record(node, vmid, &config));
    }
    Ok(found)
}

fn list(asked: &Asked) -> Answer {
    asked.params.check(&[])?;
    let list = visible(asked)?.iter().map(|status| Value::Object(record(status))).collect();
    Ok(Reply::Data(list))
}

fn status(asked: &Asked) -> Answer {
    let vmid = asked.vmid()?;
    asked.params.check(&[])?;
    let stored = load(asked.node(), vmid)?;
    let mut record = record(&verbs::status_record(asked.node(), vmid, &stored.config));
    record.insert("ha".to_owned(), json!({ "managed": 0 }));
    Ok(Reply::Data(record.into()))
}

fn config(asked: &Asked) -> Answer {
    let vmid = asked.vmid()?;
    asked.params.check(&[
        optional("current", Kind::Boolean),
        optional("snapshot", Kind::Text(Format::SnapshotName)),
    ])?;
    let mut call = Call::on(Verb::Config, vmid);
    if asked.params.get("current").is_some() {
        call = call.flag("current", asked.params.is_on("current"));
    }
    if let Some(name) = asked.params.get("snapshot") {
        call = call.option("snapshot", name);
    }
    config_json(asked.node(), &call).map(Reply::Data)
}

fn config_json(node: &Node, call: &Call) -> Result<Value, Refusal> {
    let (mut out, mut err) = (Vec::new(), std::io::sink());
    let mut output = Output::new(&mut out, &mut err);
    verbs::dispatch_json(node, call, &mut output).map_err(|failure| Refusal::of_failure(&failure))?;
    serde_json::from_slice(&out).map_err(|error| Refusal::failed(error.to_string()))
}

fn pending(asked: &Asked) -> Answer {
    let vmid = asked.vmid()?;
    asked.params.check(&[])?;
    let stored = load(asked.node(), vmid)?;
    let mut items: Vec<Value> = stored
        .config
        .pending_items()
        .into_iter()
        .map(|item| {
            let mut one = json!({ "key": item.key });
            if let Some(value) = item.value {
                one["value"] = verbs::typed(&item.key, &value);
            }
            if let Some(pending) = item.pending {
                one["pending"] = verbs::typed(&item.key, &pending);
            }
            if item.delete {
                one["delete"] = 1.into();
            }
            one
        })
        .collect();
    items.push(json!({ "key": "digest", "value": stored.digest }));
    Ok(Reply::Data(items.into()))
}

fn snapshots(asked: &Asked) -> Answer {
    let vmid = asked.vmid()?;
    asked.params.check(&[])?;
    let stored = load(asked.node(), vmid)?;
    let mut list = Vec::new();
    for (name, section) in &stored.config.snapshots {
        let mut one = json!({
            "name": name,
            "description": section.description.clone().unwrap_or_default(),
        });
        if let Some(time) = section.options.get("snaptime").and_then(|time| time.parse::<u64>().ok()) {
            one["snaptime"] = time.into();
        }
        if let Some(parent) = section.options.get("parent") {
            one["parent"] = parent.clone().into();
        }
        list.push(one);
    }
    let mut current = json!({
        "name": "current",
        "description": "You are here!",
        "digest": stored.digest,
        "running": u8::from(runtime::is_running(asked.node(), vmid)),
    });
    if let Some(parent) = stored.config.main.options.get("parent") {
        current["parent"] = parent.clone().into();
    }
    list.push(current);
    Ok(Reply::Data(list.into()))
}

fn snapshot_config(asked: &Asked) -> Answer {
    let privileges = ["VM.Snapshot", "VM.Snapshot.Rollback", "VM.Audit"];
    asked.check_any(&format!("/vms/{}", asked.part("vmid")), &privileges)?;
    asked.check_node()?;
    asked.params.check(&[])?;
    let call = Call::on(Verb::Config, asked.vmid()?).option("snapshot", asked.part("snapname"));
    let mut data = config_json(asked.node(), &call)?;
    if let Value::Object(record) = &mut data {
        record.remove("digest");
    }
    Ok(Reply::Data(data))
}

fn set_snapshot_config(asked: &Asked) -> Answer {
    asked.check(&format!("/vms/{}", asked.part("vmid")), "VM.Snapshot")?;
    asked.check_node()?;
    asked.params.check(&[optional("description", TEXT)])?;
    let (node, vmid) = (asked.node(), asked.vmid()?);
    let change = || {
        let (mut out, mut err) = (std::io::sink(), std::io::sink());
        let mut output = Output::new(&mut out, &mut err);
        let _held = store::lock(node, vmid, store::LOCK_SECONDS, &mut output)?;
        let mut config = store::load(node, vmid)?.config;
        if let Some(lock) = config.lock() {
            return Err(Failure::locked(&lock));
        }
        let name = asked.part("snapname");
        let Some(section) = config.snapshots.get_mut(name) else {
            return Err(Failure::new(format!("snapshot '{name}' does not exist")));
        };
        if let Some(text) = asked.params.get("description") {
            section.set("description", text);
        }
        store::save(node, vmid, &config)
    };
    change().map_err(|failure| Refusal::of_failure(&failure))?;
    Ok(Reply::Data(Value::Null))
}

fn interfaces(asked: &Asked) -> Answer {
    asked.check(&format!("/vms/{}", asked.part("vmid")), "VM.Audit")?;
    asked.check_node()?;
    asked.params.check(&[])?;
    let vmid = asked.vmid()?;
    load(asked.node(), vmid)?;
    if runtime::reader(asked.node()).init_pid(vmid).is_none() {
        return Ok(Reply::Data(Value::Null));
    }
    let addresses =
        runtime::addresses(asked.node(), vmid).map_err(|failure| Refusal::of_failure(&failure))?;
    let list: Value = serde_json::from_str(&addresses).unwrap_or(Value::Null);
    let interfaces = list.as_array().into_iter().flatten().map(interface).collect();
    Ok(Reply::Data(interfaces))
}

/// From what `ip -j address` shows.
fn interface(one: &Value) -> Value {
    let infos: Vec<&Value> = one["addr_info"].as_array().into_iter().flatten().collect();
    let addresses: Vec<Value> = infos
        .iter()
        .map(|info| {
            json!({
                "ip-address": info["local"], "ip-address-type": info["family"], "prefix": info["prefixlen"],
            })
        })
        .collect();
    let mut interface = json!({
        "name": one["ifname"],
        "hwaddr": one["address"],
        "hardware-address": one["address"],
        "ip-addresses": addresses,
    });
    for family in ["inet", "inet6"] {
        if let Some(info) = infos.iter().find(|info| info["family"] == *family) {
            let address = info["local"].as_str().unwrap_or_default();
            interface[family] = format!("{address}/{}", info["prefixlen"]).into();
        }
    }
    interface
}

/// Whether all volumes of a container, or of its snapshot, can be snapshotted, cloned by sharing blocks, or copied.
/// Bind mounts and devices cannot.
fn feature(asked: &Asked) -> Answer {
    asked.check(&format!("/vms/{}", asked.part("vmid")), "VM.Audit")?;
    asked.check_node()?;
    asked.params.check(&[
        required("feature", Kind::Enum(&["snapshot", "clone", "copy"])),
        optional("snapname", Kind::Text(Format::SnapshotName)),
    ])?;
    let vmid = asked.vmid()?;
    let config = load(asked.node(), vmid)?.config;
    let section = match asked.params.get("snapname") {
        Some(name) => config
            .snapshots
            .get(name)
            .ok_or_else(|| Refusal::failed(format!("snapshot '{name}' does not exist")))?,
        None => &config.main,
    };
    let feature = asked.params.get("feature").unwrap_or_default();
    let has = section.volumes().into_iter().all(|(_, mount)| {
        let pvect_core::property::MountSource::Volume(text) = mount.fs.source else { return false };
        let Ok(volume) = text.parse() else { return false };
        match feature {
            "copy" => true,
            "clone" => snapshot::can_link(asked.node(), &volume) == Ok(true),
            _ => snapshot::can_snapshot(asked.node(), &volume) == Ok(true),
        }
    });
    Ok(Reply::Data(json!({ "hasFeature": has })))
}
