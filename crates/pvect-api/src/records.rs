//! What the API's records become.

use pvect_core::config::{PendingItem, SnapshotEntry};
use pvect_core::{ContainerConfig, Listing, Lock, Result, RunState, SnapshotName, Status, Vmid};
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::task::parse;

/// Reads a number that may be in quotes: the API is written in Perl.
pub(crate) fn number<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> std::result::Result<Option<u64>, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    })
}

/// A volume of a storage.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Volume {
    /// Its id, such as `local:vztmpl/a.tar.zst`.
    pub volid: String,
    /// Its size, bytes.
    #[serde(default)]
    pub size: u64,
}

/// The text of a value, as pct shows it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Bool(on) => u8::from(*on).to_string(),
        other => other.to_string(),
    }
}

#[derive(Deserialize)]
struct Entry {
    #[serde(default, deserialize_with = "number")]
    vmid: Option<u64>,
    status: String,
    name: Option<String>,
    lock: Option<String>,
}

/// Reads the list of a node.
pub(crate) fn listings(data: Value) -> Result<Vec<Listing>> {
    let entries: Vec<Entry> = parse(data)?;
    let mut list: Vec<Listing> = entries
        .into_iter()
        .filter_map(|one| {
            let vmid = Vmid::try_from(u32::try_from(one.vmid?).ok()?).ok()?;
            Some(Listing {
                vmid,
                status: RunState::from(one.status),
                lock: one.lock.filter(|lock| !lock.is_empty()).map(Lock::from),
                name: one.name.unwrap_or_else(|| format!("CT{vmid}")),
                node: None,
            })
        })
        .collect();
    list.sort_by_key(|one| one.vmid);
    Ok(list)
}

/// Reads a status record. Fields that both pct and the API have use the same names and units.
pub(crate) fn status(data: Value, vmid: Vmid) -> Result<Status> {
    let record: Map<String, Value> = parse(data)?;
    let whole = |key: &str| match record.get(key)? {
        Value::Number(number) => number.as_u64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let real = |key: &str| match record.get(key)? {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    };
    let word = |key: &str| record.get(key).map(text).filter(|text| !text.is_empty());
    const KNOWN: [&str; 19] = [
        "vmid",
        "status",
        "name",
        "lock",
        "tags",
        "template",
        "cpus",
        "mem",
        "maxmem",
        "swap",
        "maxswap",
        "disk",
        "maxdisk",
        "diskread",
        "diskwrite",
        "netin",
        "netout",
        "uptime",
        "pid",
    ];
    Ok(Status {
        vmid,
        status: RunState::from(word("status").unwrap_or_else(|| "unknown".to_owned())),
        name: word("name"),
        lock: word("lock").map(Lock::from),
        tags: word("tags"),
        template: whole("template") == Some(1) || record.get("template") == Some(&Value::Bool(true)),
        cpus: real("cpus"),
        mem: whole("mem"),
        maxmem: whole("maxmem"),
        swap: whole("swap"),
        maxswap: whole("maxswap"),
        disk: whole("disk"),
        maxdisk: whole("maxdisk"),
        diskread: whole("diskread"),
        diskwrite: whole("diskwrite"),
        netin: whole("netin"),
        netout: whole("netout"),
        uptime: whole("uptime"),
        pid: whole("pid").and_then(|pid| u32::try_from(pid).ok()),
        other: record
            .iter()
            .filter(|(key, value)| !KNOWN.contains(&key.as_str()) && !value.is_object())
            .map(|(key, value)| (key.clone(), text(value)))
            .collect(),
    })
}

/// Reads a configuration: a flat object, raw lines under `lxc`.
pub(crate) fn config(data: Value) -> Result<ContainerConfig> {
    let record: Map<String, Value> = parse(data)?;
    let mut config = ContainerConfig::default();
    for (key, value) in &record {
        match (key.as_str(), value) {
            ("digest", _) => {}
            ("lxc", Value::Array(lines)) => {
                config.main.raw = lines
                    .iter()
                    .filter_map(|line| Some((line.get(0)?.as_str()?.to_owned(), text(line.get(1)?))))
                    .collect();
            }
            // pct prints it without the newline that the file's comments end with.
            ("description", value) => config.main.set("description", text(value)),
            (key, value) => config.main.set(key, text(value)),
        }
    }
    Ok(config)
}

/// Reads the pending changes.
pub(crate) fn pending(data: Value) -> Result<Vec<PendingItem>> {
    let items: Vec<Map<String, Value>> = parse(data)?;
    Ok(items
        .into_iter()
        .filter_map(|item| {
            let get = |key: &str| item.get(key).map(text);
            let key = get("key").filter(|key| key != "digest")?;
            let delete = get("delete").is_some_and(|text| text != "0" && !text.is_empty());
            Some(PendingItem { key, value: get("value"), pending: get("pending"), delete })
        })
        .collect())
}

#[derive(Deserialize)]
struct Snapshot {
    name: String,
    parent: Option<String>,
    #[serde(default, deserialize_with = "number")]
    snaptime: Option<u64>,
    description: Option<String>,
}

/// Reads the snapshots and puts parents first.
pub(crate) fn snapshots(data: Value) -> Result<Vec<SnapshotEntry>> {
    let list: Vec<Snapshot> = parse(data)?;
    let mut entries: Vec<SnapshotEntry> = list
        .into_iter()
        .filter_map(|one| {
            Some(SnapshotEntry {
                name: one.name.parse::<SnapshotName>().ok().filter(|name| name.as_str() != "current")?,
                parent: one.parent.filter(|parent| !parent.is_empty()),
                snaptime: one.snaptime.and_then(|time| i64::try_from(time).ok()),
                description: one.description.filter(|text| !text.is_empty()),
            })
        })
        .collect();
    let mut sorted: Vec<SnapshotEntry> = Vec::with_capacity(entries.len());
    // Each round takes the entries whose parents are placed already; those without a known parent come first.
    while !entries.is_empty() {
        let open: Vec<String> = entries.iter().map(|one| one.name.as_str().to_owned()).collect();
        let is_ready = |one: &SnapshotEntry| one.parent.as_ref().is_none_or(|parent| !open.contains(parent));
        let (mut ready, rest): (Vec<_>, Vec<_>) = entries.into_iter().partition(is_ready);
        let stuck = ready.is_empty();
        ready.sort_by(|a, b| (a.snaptime, a.name.as_str()).cmp(&(b.snaptime, b.name.as_str())));
        sorted.extend(ready);
        entries = rest;
        if stuck {
            // Entries that are each other's parents: keep them in their order.
            sorted.append(&mut entries);
        }
    }
    Ok(sorted)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quoted_numbers_are_numbers() {
        let list = listings(json!([
            {"vmid": "102", "status": "stopped", "name": "b", "type": "lxc"},
            {"vmid": 101, "status": "running", "lock": "backup"},
        ]))
        .unwrap();
        let shown: Vec<String> = list
            .iter()
            .map(|one| format!("{} {} {} {:?}", one.vmid, one.name, one.status, one.lock))
            .collect();
        assert_eq!(shown, ["101 CT101 running Some(Backup)", "102 b stopped None"]);
    }

    #[test]
    fn a_status_keeps_what_it_does_not_know() {
        let vmid = "101".parse().unwrap();
        let status = status(
            json!({"vmid": 101, "status": "running", "mem": "4096", "cpus": 2, "cpu": 0.5, "ha": {"managed": 0}, "type": "lxc"}),
            vmid,
        )
        .unwrap();
        assert_eq!((status.mem, status.cpus), (Some(4096), Some(2.0)));
        let other: Vec<String> = status.other.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(other, ["cpu=0.5", "type=lxc"]);
    }

    #[test]
    fn a_configuration_has_its_raw_lines() {
        let config = config(json!({
            "digest": "x", "hostname": "web", "memory": 512, "unprivileged": 1,
            "lxc": [["lxc.idmap", "u 0 100000 65536"]], "description": "two\nlines\n",
        }))
        .unwrap();
        assert_eq!(config.main.get("memory").as_deref(), Some("512"));
        assert_eq!(config.main.raw, [("lxc.idmap".to_owned(), "u 0 100000 65536".to_owned())]);
        assert_eq!(config.main.get("digest"), None);
    }

    #[test]
    fn snapshots_come_after_their_parents() {
        let list = snapshots(json!([
            {"name": "current", "parent": "bb"},
            {"name": "bb", "parent": "aa", "snaptime": 5},
            {"name": "aa", "snaptime": "9", "description": ""},
            {"name": "x1", "parent": "x2"}, {"name": "x2", "parent": "x1"},
        ]))
        .unwrap();
        let names: Vec<&str> = list.iter().map(|one| one.name.as_str()).collect();
        assert_eq!(names, ["aa", "bb", "x1", "x2"]);
    }
}
