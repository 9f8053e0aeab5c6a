//! `pvect list`: the containers of the node.

use pvect::Operate;
use pvect_core::Result;

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
    if form == Form::Plain && untouched {
        let outcome = client.operate(&call, &mut Progress::new(&app.ui, &call, LogTo::Nowhere)).await?;
        app.ui.print(&outcome.stdout)?;
        return Ok(0);
    }
    let list = client.list().await?;
    app.ui.print(render::records(globals, form, COLUMNS, &list)?)?;
    Ok(0)
}
