//! `pvect df`, `pvect cpusets`: pct's own tables, or typed records where another form is asked for.

use pvect::Client;
use pvect_core::{Result, Verb, Vmid};
use serde::Serialize;

use crate::app::App;
use crate::args::{Form, PctLine};
use crate::commands::{careful, operate};
use crate::render;

#[derive(Debug, Serialize)]
struct Cpus {
    vmid: u32,
    cpus: Vec<u32>,
}

/// Runs the verb. Without an output form or columns, prints pct's table.
pub async fn run(app: &App, line: &PctLine) -> Result<u8> {
    let globals = &app.ui.globals;
    let shaped = globals.columns.is_some() || globals.sort.is_some();
    let form = app.form(if shaped { Form::Table } else { Form::Plain });
    if form == Form::Plain || globals.dry_run {
        return operate::run(app, line).await;
    }
    let (line, manner) = careful::prepare(app, line)?;
    let (client, call) = operate::begin(app, &line).await?;
    let text = match (line.verb, call.vmid()) {
        (Verb::Df, Some(vmid)) => df(app, &client, vmid, manner.mount, form).await?,
        _ => cpusets(app, &client, form).await?,
    };
    app.ui.print(text)?;
    Ok(0)
}

async fn df(app: &App, client: &Client, vmid: Vmid, mount: bool, form: Form) -> Result<String> {
    let columns = ["volume", "source", "size", "used", "available", "percent", "path"];
    render::records(&app.ui.globals, form, &columns, &client.df(vmid, mount).await?)
}

async fn cpusets(app: &App, client: &Client, form: Form) -> Result<String> {
    let found = client.cpusets().await?.into_iter();
    let rows: Vec<Cpus> = found.map(|(vmid, cpus)| Cpus { vmid: vmid.get(), cpus }).collect();
    render::records(&app.ui.globals, form, &["vmid", "cpus"], &rows)
}
