//! `/nodes/{node}/storage` and below.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use pvect_core::schema::{Format, Kind, split_list};
use pvect_core::{Vmid, VolumeId};
use pvect_node::backup::prune;
use pvect_node::storage::{self, Storage, Storages};
use pvect_node::vmids;
use pvect_node::worker::{self, Job};
use serde_json::{Value, json};

use super::{Answer, Asked, Reply, Row};
use crate::params::{COUNT, TEXT, Wanted, many, optional};
use crate::refusal::Refusal;
use crate::users::UserConfig;

pub(super) const ENDPOINTS: &[Row] = &[
    ("GET", "/nodes/{node}/storage", list),
    ("GET", "/nodes/{node}/storage/{storage}/status", status),
    ("GET", "/nodes/{node}/storage/{storage}/content", content),
    ("GET", "/nodes/{node}/storage/{storage}/content/{volume}", volume),
    ("DELETE", "/nodes/{node}/storage/{storage}/content/{volume}", remove),
    ("POST", "/nodes/{node}/vzdump", vzdump),
    ("GET", "/storage", configured),
];

fn storages(asked: &Asked) -> Result<Storages, Refusal> {
    Storages::load(&asked.node().layout).map_err(|failure| Refusal::of_failure(&failure))
}

/// The node's storages that the user may see, with their contents and how full they are.
pub(super) fn summaries(asked: &Asked) -> Result<Vec<Value>, Refusal> {
    let rights = asked.rights()?;
    let storages = storages(asked)?;
    Ok(storages.of_this_node().filter(|storage| sees(asked, &rights, storage)).map(summary).collect())
}

fn sees(asked: &Asked, rights: &UserConfig, storage: &Storage) -> bool {
    let path = format!("/storage/{}", storage.name);
    ["Datastore.Audit", "Datastore.AllocateSpace"]
        .iter()
        .any(|privilege| rights.may(&asked.who, &path, privilege))
}

fn contents(storage: &Storage) -> &str {
    storage.get("content").unwrap_or("images,rootdir")
}

fn summary(storage: &Storage) -> Value {
    let mut one = json!({
        "storage": storage.name,
        "type": storage.kind,
        "content": contents(storage),
        "enabled": u8::from(!storage.disabled()),
        "shared": u8::from(storage.is_shared()),
        "active": 0,
        "total": 0,
        "used": 0,
        "avail": 0,
    });
    let room = storage.present().ok().and_then(|path| rustix::fs::statvfs(path).ok());
    if let Some(room) = room.filter(|_| !storage.disabled()) {
        let total = room.f_blocks * room.f_frsize;
        let used = room.f_blocks.saturating_sub(room.f_bfree) * room.f_frsize;
        one["active"] = 1.into();
        one["total"] = total.into();
        one["used"] = used.into();
        one["avail"] = (room.f_bavail * room.f_frsize).into();
        one["used_fraction"] = (used as f64 / total.max(1) as f64).into();
    }
    one
}

fn list(asked: &Asked) -> Answer {
    asked.check_node()?;
    asked.params.check(&[
        optional("storage", Kind::Text(Format::StorageId)),
        optional("content", TEXT),
        optional("enabled", Kind::Boolean),
        optional("target", Kind::Text(Format::Node)),
        optional("format", Kind::Boolean),
    ])?;
    let wanted = |one: &Value| {
        let holds = |content: &str| {
            let held = one["content"].as_str().unwrap_or_default();
            content.split([',', ';', ' ', '\0']).any(|wanted| held.split(',').any(|held| held == wanted))
        };
        asked.params.get("storage").is_none_or(|name| one["storage"] == name)
            && asked.params.get("content").is_none_or(holds)
            && (!asked.params.is_on("enabled") || one["enabled"] == 1)
    };
    Ok(Reply::Data(summaries(asked)?.into_iter().filter(wanted).collect()))
}

fn configured(asked: &Asked) -> Answer {
    asked.params.check(&[optional("type", TEXT)])?;
    let rights = asked.rights()?;
    let storages = storages(asked)?;
    let lines = storages.all().iter().filter(|storage| sees(asked, &rights, storage)).map(|storage| {
        json!({
            "storage": storage.name,
            "type": storage.kind,
            "content": contents(storage),
            "shared": u8::from(storage.is_shared()),
        })
    });
    Ok(Reply::Data(lines.collect()))
}

/// The storage of the path.
pub(super) fn find(asked: &Asked) -> Result<Storage, Refusal> {
    let storages = storages(asked)?;
    let storage = storages.find(asked.part("storage")).map_err(|failure| Refusal::of_failure(&failure))?;
    Ok(storage.clone())
}

fn check_audit(asked: &Asked) -> Result<(), Refusal> {
    let path = format!("/storage/{}", asked.part("storage"));
    asked.check_any(&path, &["Datastore.Audit", "Datastore.AllocateSpace"])
}

fn status(asked: &Asked) -> Answer {
    check_audit(asked)?;
    asked.check_node()?;
    asked.params.check(&[])?;
    let mut one = summary(&find(asked)?);
    if let Value::Object(record) = &mut one {
        record.remove("storage");
        record.remove("used_fraction");
    }
    Ok(Reply::Data(one))
}

fn content(asked: &Asked) -> Answer {
    check_audit(asked)?;
    asked.check_node()?;
    asked.params.check(&[optional("content", TEXT), optional("vmid", COUNT)])?;
    let storage = find(asked)?;
    let failed = |failure: pvect_node::Failure| Refusal::of_failure(&failure);
    storage.present().map_err(failed)?;
    let backups = storage.directories().map_err(failed)?.of("backup");
    let mut list = Vec::new();
    let templates = storage::templates(asked.node()).map_err(failed)?;
    for one in templates.into_iter().filter(|one| one.volume.storage() == storage.name) {
        let format = match one.path.extension().and_then(|end| end.to_str()) {
            Some("gz") => "tgz",
            Some("xz") => "txz",
            Some("zst") => "tzst",
            _ => "tar",
        };
        let volume = one.volume.as_str();
        list.push(json!({
            "volid": volume, "content": "vztmpl", "format": format, "size": one.size, "ctime": changed(&one.path),
        }));
    }
    for vmid in vmids::all(asked.node()).map_err(failed)? {
        for volume in storage::volumes_of(asked.node(), vmid).map_err(failed)? {
            list.extend(image(asked, &storage, vmid, &volume));
        }
    }
    for one in prune::archives(&backups).map_err(failed)? {
        let Some(name) = one.path.file_name().and_then(|name| name.to_str()) else { continue };
        let size = one.path.metadata().map_or(0, |meta| meta.len());
        let format =
            name.rsplit_once(".tar").map_or("tar", |(_, end)| if end.is_empty() { "tar" } else { "tar.x" });
        let format = match (format, name.rsplit('.').next()) {
            ("tar.x", Some(end)) => format!("tar.{end}"),
            _ => "tar".to_owned(),
        };
        list.push(json!({
            "volid": format!("{}:backup/{name}", storage.name), "content": "backup", "format": format,
            "size": size, "ctime": changed(&one.path), "vmid": one.vmid.get(), "subtype": "lxc",
            "protected": u8::from(one.protected),
        }));
    }
    let wanted = |one: &Value| {
        asked.params.get("content").is_none_or(|content| one["content"] == content)
            && asked.params.number("vmid").is_none_or(|vmid| one["vmid"] == vmid)
    };
    Ok(Reply::Data(list.into_iter().filter(wanted).collect()))
}

/// One volume, with its path.
fn volume(asked: &Asked) -> Answer {
    check_audit(asked)?;
    asked.check_node()?;
    asked.params.check(&[])?;
    find(asked)?;
    let volume = named(asked)?;
    let path =
        storage::volume_path(asked.node(), &volume).map_err(|failure| Refusal::of_failure(&failure))?;
    let meta = path.metadata().map_err(|error| Refusal::failed(error.to_string()))?;
    Ok(Reply::Data(json!({
        "path": path.to_string_lossy(),
        "size": if meta.is_dir() { 0 } else { meta.len() },
        "used": meta.blocks() * 512,
        "format": if meta.is_dir() { "subvol" } else { "raw" },
    })))
}

/// The volume of the path, with or without its storage in its name.
fn named(asked: &Asked) -> Result<VolumeId, Refusal> {
    let (storage, given) = (asked.part("storage"), asked.part("volume"));
    let name = if given.contains(':') { given.to_owned() } else { format!("{storage}:{given}") };
    let volume = name.parse().ok().filter(|volume: &VolumeId| volume.storage() == storage);
    volume.ok_or_else(|| Refusal::parameter("volume", format!("unable to parse volume ID '{name}'")))
}

fn changed(path: &Path) -> i64 {
    path.metadata().map_or(0, |meta| meta.ctime())
}

fn image(asked: &Asked, storage: &Storage, vmid: Vmid, volume: &VolumeId) -> Option<Value> {
    if volume.storage() != storage.name {
        return None;
    }
    let path = storage::volume_path(asked.node(), volume).ok()?;
    let meta = path.metadata().ok()?;
    Some(json!({
        "volid": volume.as_str(),
        "content": "rootdir",
        "format": if meta.is_dir() { "subvol" } else { "raw" },
        "size": if meta.is_dir() { 0 } else { meta.len() },
        "used": meta.blocks() * 512,
        "ctime": meta.ctime(),
        "vmid": vmid.get(),
    }))
}

/// Removes a volume that does not belong to a container, in a task.
fn remove(asked: &Asked) -> Answer {
    asked.check_node()?;
    asked.params.check(&[optional("delay", COUNT)])?;
    let storage = asked.part("storage");
    let volume = named(asked)?;
    let path = format!("/storage/{storage}");
    match volume.volume().split('/').next() {
        Some("vztmpl") => asked.check_any(&path, &["Datastore.Allocate", "Datastore.AllocateTemplate"])?,
        _ => asked.check(&path, "Datastore.Allocate")?,
    }
    find(asked)?;
    Ok(Reply::Job(Job::named(asked.who.clone(), worker::REMOVE, vec![volume.to_string()])))
}

/// The parameters of vzdump, by the full names that its own parser has. `vmid` is not among its options.
const VZDUMP: &[Wanted] = &[
    optional("all", Kind::Boolean),
    optional("bwlimit", COUNT),
    optional("compress", Kind::Enum(&["0", "1", "gzip", "lzo", "zstd"])),
    optional("dumpdir", TEXT),
    many("exclude", TEXT),
    many("exclude-path", TEXT),
    optional("fleecing", TEXT),
    optional("ionice", Kind::Integer { min: Some(0), max: Some(8) }),
    optional("job-id", TEXT),
    optional("lockwait", COUNT),
    optional("mailnotification", Kind::Enum(&["always", "failure"])),
    optional("mailto", TEXT),
    optional("mode", Kind::Enum(&["snapshot", "suspend", "stop"])),
    optional("notes-template", TEXT),
    optional("notification-mode", TEXT),
    optional("pbs-change-detection-mode", TEXT),
    optional("performance", TEXT),
    optional("pigz", COUNT),
    optional("pool", TEXT),
    optional("protected", Kind::Boolean),
    optional("prune-backups", TEXT),
    optional("quiet", Kind::Boolean),
    optional("remove", Kind::Boolean),
    optional("script", TEXT),
    optional("stdexcludes", Kind::Boolean),
    optional("stop", Kind::Boolean),
    optional("stopwait", COUNT),
    optional("storage", Kind::Text(Format::StorageId)),
    optional("tmpdir", TEXT),
    many("vmid", TEXT),
    optional("zstd", COUNT),
];

/// Parameters that only root may use.
const OF_ROOT: [&str; 6] = ["bwlimit", "dumpdir", "ionice", "performance", "script", "tmpdir"];

/// The containers that a parameter names.
fn vmids(asked: &Asked, name: &str) -> Result<Vec<Vmid>, Refusal> {
    let texts = asked.params.get(name).unwrap_or_default().split('\0').flat_map(split_list);
    texts
        .map(|id| {
            let text = "invalid format - value does not look like a valid VM ID\n";
            id.parse().map_err(|_| Refusal::parameter(name, text))
        })
        .collect()
}

/// Makes a backup; the parameters become the words of vzdump.
fn vzdump(asked: &Asked) -> Answer {
    asked.check_node()?;
    asked.params.check(VZDUMP)?;
    let (ids, excluded) = (vmids(asked, "vmid")?, vmids(asked, "exclude")?);
    for vmid in &ids {
        asked.check(&format!("/vms/{vmid}"), "VM.Backup")?;
    }
    if ids.is_empty() {
        // All containers: who may back all of them up.
        asked.check("/vms", "VM.Backup")?;
    }
    let given = |name: &str| asked.params.get(name).is_some();
    if let Some(name) = OF_ROOT.iter().find(|name| given(name) && asked.who != crate::users::ROOT) {
        return Err(Refusal::parameter(*name, "Only root may set this option."));
    }
    let storage = format!("/storage/{}", asked.params.get("storage").unwrap_or("local"));
    asked.check(&storage, "Datastore.AllocateSpace")?;
    // That removes other backups, including those of other users.
    if given("prune-backups") {
        asked.check(&storage, "Datastore.Allocate")?;
    }
    let mut words: Vec<String> = ids.iter().map(ToString::to_string).collect();
    for one in VZDUMP.iter().filter(|one| !matches!(one.name, "vmid" | "exclude")) {
        for value in asked.params.get(one.name).into_iter().flat_map(|value| value.split('\0')) {
            words.extend([format!("--{}", one.name), value.to_owned()]);
        }
    }
    if !excluded.is_empty() {
        let list: Vec<String> = excluded.iter().map(ToString::to_string).collect();
        words.extend(["--exclude".to_owned(), list.join(",")]);
    }
    Ok(Reply::Job(Job::named(asked.who.clone(), worker::VZDUMP, words)))
}
