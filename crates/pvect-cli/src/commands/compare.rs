//! `pvect compare`: the same reads through every available backend, and what differs.

use std::collections::{BTreeMap, BTreeSet};

use pvect::settings::Backend;
use pvect::{Client, Inspect};
use pvect_core::backend::ConfigView;
use pvect_core::{Error, ErrorKind, Listing, Result, Vmid};
use serde::Serialize;
use serde_json::Value;

use super::inspect::flat;
use crate::app::App;
use crate::args::Form;
use crate::render;

/// Fields that change between two reads, and by how much.
const MOVING: &[(&str, f64)] = &[
    ("mem", 4e6),
    ("swap", 4e6),
    ("disk", 4e6),
    ("diskread", 4e6),
    ("diskwrite", 4e6),
    ("netin", 1e5),
    ("netout", 1e5),
    ("uptime", 5.0),
];

/// How often a read that differs is repeated.
const TRIES: usize = 5;

/// One difference.
#[derive(Debug, PartialEq, Serialize)]
struct Difference {
    read: String,
    field: String,
    first: String,
    #[serde(rename = "first-value")]
    first_value: String,
    second: String,
    #[serde(rename = "second-value")]
    second_value: String,
}

/// The result of one read: fields by path, or the kind of failure.
type Fields = BTreeMap<String, String>;

/// Runs the command: 0 when nothing differs, 1 when something does.
///
/// # Errors
/// When there are fewer than two backends, or a container does not exist.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("compare", words)?;
    let mut clients = Vec::new();
    for (name, backend) in [("pct", Backend::Pct), ("native", Backend::Native), ("api", Backend::Api)] {
        match reachable(app, backend).await {
            Ok(client) => clients.push((name, client)),
            Err(error) => app.ui.note(&format!("without {name}: {error}")),
        }
    }
    let [(first, by), others @ ..] = clients.as_slice() else { return Err(too_few()) };
    if others.is_empty() {
        return Err(too_few());
    }
    let named: Vec<&String> = matches.get_many("ct").into_iter().flatten().collect();
    let mut vmids = Vec::new();
    for word in &named {
        vmids.push(by.resolve(word).await?);
    }
    if named.is_empty() {
        vmids = by.list().await?.into_iter().map(|one| one.vmid).collect();
    }
    let mut found = Vec::new();
    let mut reads = 0;
    for (second, other) in others {
        for (what, vmid) in everything(&vmids) {
            reads += 1;
            found.extend(compare((first, by), (second, other), what, vmid).await);
        }
    }
    if found.is_empty() {
        let names: Vec<&str> = clients.iter().map(|(name, _)| *name).collect();
        app.ui.note(&format!("{} agree in {reads} comparisons", names.join(", ")));
    }
    let form = app.form(Form::Table);
    if !found.is_empty() || form != Form::Table {
        let columns = ["read", "field", "first", "first-value", "second", "second-value"];
        app.ui.print(render::records(&app.ui.globals, form, &columns, &found)?)?;
    }
    Ok(u8::from(!found.is_empty()))
}

/// The reads: the list, then four parts of each container.
fn everything(vmids: &[Vmid]) -> impl Iterator<Item = (&'static str, Option<Vmid>)> {
    let parts = |vmid: &Vmid| {
        let vmid = Some(*vmid);
        ["status", "config", "pending", "listsnapshot"].map(|what| (what, vmid))
    };
    std::iter::once(("list", None)).chain(vmids.iter().flat_map(parts))
}

/// Compares one read. If the answers differ, it reads once more through the first backend. If that gives the same
/// answer as before, the second backend differs; if not, the node has changed meanwhile. A busy node changes all the
/// time, so this is repeated.
async fn compare(
    (first, by): (&str, &Client),
    (second, other): (&str, &Client),
    what: &str,
    vmid: Option<Vmid>,
) -> Vec<Difference> {
    let name = vmid.map_or_else(|| what.to_owned(), |vmid| format!("{what} {vmid}"));
    let mut before = fields(&read(by, what, vmid).await);
    let mut found = Vec::new();
    for _ in 0..TRIES {
        let between = fields(&read(other, what, vmid).await);
        found = differences(&name, (first, &before, &before), (second, &between));
        if found.is_empty() {
            break;
        }
        let after = fields(&read(by, what, vmid).await);
        found = differences(&name, (first, &before, &after), (second, &between));
        if found.is_empty() {
            break;
        }
        before = after;
    }
    found
}

fn too_few() -> Error {
    let what = "there is only one way to read here: `pvect doctor` says what is missing".to_owned();
    Error::Unsupported { what, vmid: None }
}

async fn reachable(app: &App, backend: Backend) -> Result<Client> {
    let client = app.connect_by(backend)?;
    if backend != Backend::Native {
        client.probe().await?;
    }
    Ok(client)
}

async fn list(client: &Client) -> Result<Value> {
    let list = client.list().await?;
    // One field for each container, so that a missing container is one difference. The node is reported by lists of
    // several nodes only.
    let entries =
        list.into_iter().map(|one| Ok((one.vmid.to_string(), value(&Listing { node: None, ..one })?)));
    Ok(Value::Object(entries.collect::<Result<_>>()?))
}

async fn read(client: &Client, what: &str, vmid: Option<Vmid>) -> Result<Value> {
    let Some(vmid) = vmid else { return list(client).await };
    match what {
        "status" => value(&client.status(vmid).await?),
        "config" => Ok(Value::Object(flat(&client.config(vmid, &ConfigView::Current).await?))),
        "pending" => {
            let items = client.pending(vmid).await?;
            let entries = items.into_iter().map(|item| Ok((item.key.clone(), value(&item)?)));
            Ok(Value::Object(entries.collect::<Result<_>>()?))
        }
        _ => value(&client.snapshots(vmid).await?),
    }
}

fn value(record: &impl Serialize) -> Result<Value> {
    serde_json::to_value(record).map_err(|error| Error::InvalidOutput {
        what: format!("a record cannot be shown: {error}"),
        run: Box::default(),
    })
}

fn fields(read: &Result<Value>) -> Fields {
    let mut fields = Fields::new();
    match read {
        Ok(value) => flatten("", value, &mut fields),
        Err(error) => {
            let kind: ErrorKind = error.kind();
            fields.insert("error".to_owned(), kind.to_string());
        }
    }
    fields
}

/// Adds the leaves of a record by their paths; unset values are left out.
fn flatten(path: &str, value: &Value, fields: &mut Fields) {
    let below = |key: &str| if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    match value {
        Value::Null => {}
        Value::Object(object) => object.iter().for_each(|(key, value)| flatten(&below(key), value, fields)),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, value)| flatten(&below(&n.to_string()), value, fields));
        }
        Value::String(text) => drop(fields.insert(path.to_owned(), text.clone())),
        other => drop(fields.insert(path.to_owned(), other.to_string())),
    }
}

/// Returns the fields of `two` that are in neither of the two answers given before and after it, nor between them.
fn differences(read: &str, one: (&str, &Fields, &Fields), two: (&str, &Fields)) -> Vec<Difference> {
    let (first, before, after) = one;
    let (second, between) = two;
    let keys: BTreeSet<&String> = before.keys().chain(between.keys()).collect();
    let text = |fields: &Fields, key: &String| fields.get(key).cloned().unwrap_or_else(|| "-".to_owned());
    let mut found = Vec::new();
    for key in keys {
        let values = [before.get(key), between.get(key), after.get(key)];
        let same = values[1] == values[0] || values[1] == values[2];
        if same || (read.starts_with("status") && has_only_moved(key, values)) {
            continue;
        }
        found.push(Difference {
            read: read.to_owned(),
            field: key.clone(),
            first: first.to_owned(),
            first_value: text(before, key),
            second: second.to_owned(),
            second_value: text(between, key),
        });
    }
    found
}

fn has_only_moved(key: &str, values: [Option<&String>; 3]) -> bool {
    let name = key.rsplit('.').next().unwrap_or_default();
    if name == "cpu" {
        // A rate since the last measurement, which only the API has.
        return true;
    }
    if name.starts_with("pressure") {
        return values[0].is_some() == values[1].is_some();
    }
    let numbers = values.map(|text| text.and_then(|text| text.parse::<f64>().ok()));
    match (MOVING.iter().find(|(known, _)| *known == name), numbers) {
        (Some((_, step)), [Some(before), Some(between), Some(after)]) => {
            before.min(after) - step <= between && between <= before.max(after) + step
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(read: &str, one: Value, two: Value) -> Vec<String> {
        found_between(read, one.clone(), two, one)
    }

    fn found_between(read: &str, before: Value, between: Value, after: Value) -> Vec<String> {
        let [before, between, after] = [before, between, after].map(|value| fields(&Ok(value)));
        let list = differences(read, ("pct", &before, &after), ("api", &between));
        list.into_iter()
            .map(|one| format!("{} {}: {} / {}", one.read, one.field, one.first_value, one.second_value))
            .collect()
    }

    #[test]
    fn what_changed_meanwhile_is_no_difference() {
        let status = |disk: u64, state: &str| json!({"disk": disk, "status": state});
        let between = |disk, state| {
            found_between(
                "status 101",
                status(1_000_000_000, "stopped"),
                status(disk, state),
                status(3_000_000_000, "running"),
            )
        };
        assert_eq!(between(2_000_000_000, "running"), [""; 0]);
        assert_eq!(between(2_000_000_000, "stopped"), [""; 0]);
        assert_eq!(between(4_000_000_000, "running"), ["status 101 disk: 1000000000 / 4000000000"]);
        assert_eq!(between(2_000_000_000, "frozen"), ["status 101 status: stopped / frozen"]);
    }

    #[test]
    fn each_field_is_compared_and_what_moves_may_move() {
        let one = json!({"status": "running", "mem": 1000, "uptime": 5, "pid": 7, "lock": null, "cpus": 2});
        let two = json!({"status": "stopped", "mem": 9000, "uptime": 500, "pid": 7, "name": "web"});
        assert_eq!(
            found("status 101", one, two),
            [
                "status 101 cpus: 2 / -",
                "status 101 name: - / web",
                "status 101 status: running / stopped",
                "status 101 uptime: 5 / 500",
            ]
        );
        assert_eq!(found("config 101", json!({"mem": 1}), json!({"mem": 2})), ["config 101 mem: 1 / 2"]);
        assert_eq!(
            found(
                "status 101",
                json!({"other": {"pressurecpusome": "0.1"}}),
                json!({"other": {"pressurecpusome": "7"}})
            ),
            [""; 0]
        );
        assert_eq!(
            found("listsnapshot 101", json!([{"name": "a"}]), json!([])),
            ["listsnapshot 101 0.name: a / -"]
        );
    }
}
