//! `/cluster`, `/pools`.

use pvect_core::Vmid;
use pvect_core::schema::{Format, Kind};
use pvect_node::vmids;
use serde_json::{Value, json};

use super::{Answer, Asked, Reply, Row, lxc, node, storage};
use crate::params::optional;
use crate::refusal::Refusal;

pub(super) const ENDPOINTS: &[Row] = &[
    ("GET", "/cluster/resources", resources),
    ("GET", "/cluster/nextid", next_id),
    ("GET", "/cluster/status", status),
    ("GET", "/pools", |asked| {
        asked.params.check(&[])?;
        Ok(Reply::Data(json!([])))
    }),
];

fn resources(asked: &Asked) -> Answer {
    asked.params.check(&[optional("type", Kind::Enum(&["vm", "storage", "node", "sdn", "network"]))])?;
    let kind = asked.params.get("type").map(str::to_owned);
    let wants = |name: &str| kind.as_deref().is_none_or(|kind| kind == name);
    let name = asked.node().name.to_string();
    let mut list = Vec::new();
    if wants("vm") {
        for status in lxc::visible(asked)? {
            let mut one = lxc::record(&status);
            one.remove("pid");
            one.remove("swap");
            one.remove("maxswap");
            if let Some(cpus) = one.remove("cpus") {
                one.insert("maxcpu".to_owned(), cpus);
            }
            one.insert("id".to_owned(), format!("lxc/{}", status.vmid).into());
            one.insert("node".to_owned(), name.clone().into());
            one.insert("template".to_owned(), u8::from(status.template).into());
            one.insert("type".to_owned(), "lxc".into());
            list.push(Value::Object(one));
        }
    }
    if wants("node") {
        list.push(node::summary(asked));
    }
    if wants("storage") {
        for mut one in storage::summaries(asked)? {
            let id = one["storage"].as_str().unwrap_or_default().to_owned();
            list.push(json!({
                "id": format!("storage/{name}/{id}"),
                "type": "storage",
                "storage": id,
                "node": name,
                "status": if one["active"] == 1 { "available" } else { "unknown" },
                "plugintype": one["type"].take(),
                "content": one["content"].take(),
                "shared": 0,
                "disk": one["used"].take(),
                "maxdisk": one["total"].take(),
            }));
        }
    }
    Ok(Reply::Data(list.into()))
}

/// The first free vmid from 100 on, as text, like the real API.
fn next_id(asked: &Asked) -> Answer {
    asked.params.check(&[optional("vmid", Kind::Text(Format::Vmid))])?;
    let taken = vmids::all(asked.node()).map_err(|failure| Refusal::of_failure(&failure))?;
    if let Some(text) = asked.params.get("vmid") {
        return match text.parse::<Vmid>() {
            Ok(vmid) if !taken.contains(&vmid) => Ok(Reply::Data(text.into())),
            _ => Err(Refusal::parameter("vmid", format!("VM {text} already exists"))),
        };
    }
    let taken: std::collections::BTreeSet<u32> = taken.into_iter().map(u32::from).collect();
    let free = (100..=999_999_999_u32).find(|number| !taken.contains(number));
    match free {
        Some(free) => Ok(Reply::Data(free.to_string().into())),
        None => Err(Refusal::failed("unable to get any free VMID")),
    }
}

fn status(asked: &Asked) -> Answer {
    asked.check("/", "Sys.Audit")?;
    asked.params.check(&[])?;
    let name = asked.node().name.to_string();
    Ok(Reply::Data(json!([{
        "type": "node", "id": format!("node/{name}"), "name": name, "nodeid": 0, "local": 1, "online": 1,
        "ip": asked.shared.options.listen.ip().to_string(), "level": "",
    }])))
}
