//! `pvect list`: the containers of the node.

use pvect::Operate;
use pvect_core::{Listing, Result};

use crate::app::App;
use crate::args::{Form, PctLine};
use crate::commands::operate;
use crate::progress::{LogTo, Progress};
use crate::render;

/// The columns of the table.
pub const COLUMNS: &[&str] = &["vmid", "status", "lock", "name"];

/// Runs the command.
pub async fn run(app: &App, line: &PctLine) -> Result<u8> {
    let (client, call) = operate::begin(app, line).await?;
    if app.ui.globals.dry_run {
        return operate::dry_run(app, &client, &call);
    }
    let form = app.form(Form::Table);
    let globals = &app.ui.globals;
    let untouched = globals.columns.is_none() && globals.sort.is_none() && !globals.no_header;
    if form == Form::Plain && untouched && client.reads_records() {
        app.ui.print(Listing::table(&client.list().await?))?;
        return Ok(0);
    }
    if form == Form::Plain && untouched {
        let outcome = client.operate(&call, &mut Progress::new(&app.ui, &call, LogTo::Nowhere)).await?;
        app.ui.print(&outcome.stdout)?;
        return Ok(0);
    }
    let mut list = client.list().await?;
    if form == Form::Plain && globals.columns.is_none() && globals.sort.is_none() {
        // pct's layout without its header.
        let lines = list.drain(..).map(|entry| {
            let lock = entry.lock.map(String::from).unwrap_or_default();
            format!("{:<10} {:<10} {lock:<12} {:<20}\n", entry.vmid.get(), entry.status.as_str(), entry.name)
        });
        app.ui.print(lines.collect::<String>())?;
        return Ok(0);
    }
    app.ui.print(render::records(globals, form, COLUMNS, &list)?)?;
    Ok(0)
}
