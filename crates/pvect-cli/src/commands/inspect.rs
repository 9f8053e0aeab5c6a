//! `pvect status`, `config`, `pending`, `listsnapshot`: what is known of one container.
//!
//! Their default form is pct's own text, byte for byte; the other forms are made from typed records.

use pvect::{Client, Inspect, Operate, Place};
use pvect_core::backend::ConfigView;
use pvect_core::config::pending_output;
use pvect_core::schema::{Kind, options::config_option};
use pvect_core::{Call, CheckedCall, ContainerConfig, Error, Result, SnapshotName, Verb, Vmid};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::app::App;
use crate::args::{Form, PctLine};
use crate::commands::operate;
use crate::progress::{LogTo, Progress};
use crate::render;

/// The short status.
#[derive(Debug, Serialize)]
struct State {
    vmid: u32,
    status: String,
}

/// `pvect status`.
pub async fn status(app: &App, line: &PctLine) -> Result<u8> {
    let Typed::Call(client, call, vmid, form) = begin(app, line).await? else { return Ok(0) };
    let status = client.status(vmid).await?;
    warn(app, &client, vmid);
    let text = if call.get("verbose") == Some("1") {
        render::record(&app.ui.globals, form, &status)?
    } else {
        let state = State { vmid: vmid.get(), status: status.status.to_string() };
        render::record(&app.ui.globals, form, &state)?
    };
    app.ui.print(text)?;
    Ok(0)
}

/// `pvect config`.
pub async fn config(app: &App, line: &PctLine) -> Result<u8> {
    let Typed::Call(client, call, vmid, form) = begin(app, line).await? else { return Ok(0) };
    let config = client.config(vmid, &view(&call, vmid)?).await?;
    warn(app, &client, vmid);
    app.ui.print(render::record(&app.ui.globals, form, &flat(&config))?)?;
    Ok(0)
}

/// `pvect pending`.
pub async fn pending(app: &App, line: &PctLine) -> Result<u8> {
    let Typed::Call(client, _, vmid, form) = begin(app, line).await? else { return Ok(0) };
    let items = client.pending(vmid).await?;
    warn(app, &client, vmid);
    app.ui.print(render::records(&app.ui.globals, form, &["key", "value", "pending", "delete"], &items)?)?;
    Ok(0)
}

/// `pvect listsnapshot`.
pub async fn snapshots(app: &App, line: &PctLine) -> Result<u8> {
    let Typed::Call(client, _, vmid, form) = begin(app, line).await? else { return Ok(0) };
    let list = client.snapshots(vmid).await?;
    warn(app, &client, vmid);
    let columns = ["name", "parent", "snaptime", "description"];
    app.ui.print(render::records(&app.ui.globals, form, &columns, &list)?)?;
    Ok(0)
}

/// What remains to be done after the common part.
enum Typed {
    /// Everything was printed.
    Printed,
    /// Typed records are asked for.
    Call(Box<Client>, CheckedCall, Vmid, Form),
}

async fn begin(app: &App, line: &PctLine) -> Result<Typed> {
    let (client, call) = operate::begin(app, line).await?;
    if app.ui.globals.dry_run {
        operate::dry_run(app, &client, &call)?;
        return Ok(Typed::Printed);
    }
    let globals = &app.ui.globals;
    let shaped = globals.columns.is_some() || globals.sort.is_some();
    let form = app.form(if shaped { Form::Table } else { Form::Plain });
    match call.vmid() {
        Some(vmid) if form != Form::Plain || shaped => Ok(Typed::Call(Box::new(client), call, vmid, form)),
        // pct itself draws the tree of snapshots, and the API is not pct.
        Some(vmid) if matches!(client.place(), Place::Api { .. }) && call.verb() == Verb::Listsnapshot => {
            Ok(Typed::Call(Box::new(client), call, vmid, Form::Table))
        }
        Some(vmid) if client.reads_records() && has_plain_twin(&call) => {
            let text = plain(&client, &call, vmid).await?;
            warn(app, &client, vmid);
            app.ui.print(text)?;
            Ok(Typed::Printed)
        }
        _ => {
            let outcome = client.operate(&call, &mut Progress::new(&app.ui, &call, LogTo::Nowhere)).await?;
            app.ui.print(&outcome.stdout)?;
            operate::finish(app, &call, &outcome)?;
            Ok(Typed::Printed)
        }
    }
}

/// Shows what pct says of lines that cannot be parsed: on stderr, whatever the form of the results is.
fn warn(app: &App, client: &Client, vmid: Vmid) {
    client.warnings(vmid).iter().for_each(|line| app.ui.warning(line));
}

/// Whether the verb's text can be made from typed records; the tree of snapshots is drawn by pct itself.
fn has_plain_twin(call: &Call) -> bool {
    matches!(call.verb(), Verb::Status | Verb::Config | Verb::Pending)
}

/// pct's text, made without a pct.
async fn plain(client: &Client, call: &Call, vmid: Vmid) -> Result<String> {
    Ok(match call.verb() {
        Verb::Status => {
            let status = client.status(vmid).await?;
            match call.get("verbose") {
                Some("1") => status.to_output(),
                _ => format!("status: {}\n", status.status),
            }
        }
        Verb::Pending => pending_output(&client.pending(vmid).await?),
        _ => client.config(vmid, &view(call, vmid)?).await?.main.to_output(),
    })
}

/// The view of the configuration that was asked for.
fn view(call: &Call, vmid: Vmid) -> Result<ConfigView> {
    Ok(match call.get("snapshot") {
        Some(name) => ConfigView::Snapshot(
            name.parse::<SnapshotName>()
                .map_err(|error| Error::NotFound { what: error.to_string(), vmid: Some(vmid) })?,
        ),
        None if call.get("current") == Some("1") => ConfigView::Current,
        None => ConfigView::Pending,
    })
}

/// One flat object, as the API has it: numbers as numbers, switches as booleans, raw lines under `lxc`.
pub fn flat(config: &ContainerConfig) -> Map<String, Value> {
    let section = &config.main;
    let mut object = Map::new();
    for key in section.keys() {
        let text = section.get(key).unwrap_or_default().into_owned();
        let value = match key {
            "env" => Value::from(section.env.clone()),
            _ => typed(key, text),
        };
        object.insert(key.to_owned(), value);
    }
    if !section.raw.is_empty() {
        let lines = section.raw.iter().map(|(key, value)| Value::from(vec![key.clone(), value.clone()]));
        object.insert("lxc".to_owned(), lines.collect());
    }
    object
}

fn typed(key: &str, text: String) -> Value {
    let kind = config_option(key).map(|(option, _)| option.kind);
    let number = match kind {
        Some(Kind::Integer { .. }) => text.parse::<i64>().ok().map(Value::from),
        Some(Kind::Number { .. }) => {
            let whole = text.parse::<i64>().ok().map(Value::from);
            whole.or_else(|| text.parse::<f64>().ok().map(Value::from))
        }
        Some(Kind::Boolean) => pvect_core::property::boolean(&text).map(Value::from),
        _ => None,
    };
    number.unwrap_or(Value::String(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_becomes_a_flat_object() {
        let mut config = ContainerConfig::default();
        for (key, value) in
            [("memory", "512"), ("cpulimit", "1.5"), ("onboot", "1"), ("hostname", "5"), ("x", "y")]
        {
            config.main.set(key, value);
        }
        config.main.raw.push(("lxc.apparmor.profile".into(), "unconfined".into()));
        assert_eq!(
            serde_json::to_string(&flat(&config)).unwrap(),
            r#"{"cpulimit":1.5,"hostname":"5","memory":512,"onboot":true,"x":"y","lxc":[["lxc.apparmor.profile","unconfined"]]}"#
        );
    }
}
