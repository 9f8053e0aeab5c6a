//! `pvect list`: the containers of the node.

use std::collections::BTreeSet;

use pvect::{Client, Operate};
use pvect_core::{Listing, Result};

use crate::app::App;
use crate::args::{Form, PctLine};
use crate::commands::operate;
use crate::progress::{LogTo, Progress};
use crate::render;

/// The columns of the table.
pub const COLUMNS: &[&str] = &["vmid", "status", "lock", "name"];
/// The same for containers of several nodes.
const COLUMNS_OF_NODES: &[&str] = &["vmid", "node", "status", "lock", "name"];

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
        app.ui.print(Listing::table(&list(app, &client).await?))?;
        return Ok(0);
    }
    if form == Form::Plain && untouched {
        let outcome = client.operate(&call, &mut Progress::new(&app.ui, &call, LogTo::Nowhere)).await?;
        app.ui.print(&outcome.stdout)?;
        operate::finish(app, &call, &outcome)?;
        return Ok(0);
    }
    let mut list = list(app, &client).await?;
    if form == Form::Plain && globals.columns.is_none() && globals.sort.is_none() {
        // pct's layout without its header.
        let lines = list.drain(..).map(|entry| {
            let lock = entry.lock.map(String::from).unwrap_or_default();
            format!("{:<10} {:<10} {lock:<12} {:<20}\n", entry.vmid.get(), entry.status.as_str(), entry.name)
        });
        app.ui.print(lines.collect::<String>())?;
        return Ok(0);
    }
    app.ui.print(render::records(globals, form, columns(&list), &list)?)?;
    Ok(0)
}

/// The containers. Lines that cannot be parsed are worth a word, and so is one whose command socket somebody else
/// listens on: it does not run.
async fn list(app: &App, client: &Client) -> Result<Vec<Listing>> {
    let survey = client.survey().await?;
    survey.foreign.iter().for_each(|one| app.ui.warning(&one.to_string()));
    survey.warnings.iter().for_each(|line| app.ui.warning(line));
    Ok(survey.list)
}

fn columns(list: &[Listing]) -> &'static [&'static str] {
    let nodes: BTreeSet<_> = list.iter().filter_map(|entry| entry.node.as_ref()).collect();
    if nodes.len() > 1 { COLUMNS_OF_NODES } else { COLUMNS }
}

#[cfg(test)]
mod tests {
    use pvect_core::RunState;

    use super::*;

    #[test]
    fn nodes_are_shown_where_there_are_several() {
        let entry = |vmid: &str, node: Option<&str>| Listing {
            vmid: vmid.parse().unwrap(),
            status: RunState::Running,
            lock: None,
            name: "web".to_owned(),
            node: node.map(|node| node.parse().unwrap()),
        };
        assert_eq!(columns(&[entry("101", None), entry("102", None)]), COLUMNS);
        assert_eq!(columns(&[entry("101", Some("pve1")), entry("102", Some("pve1"))]), COLUMNS);
        assert_eq!(columns(&[entry("101", Some("pve1")), entry("102", Some("pve2"))]), COLUMNS_OF_NODES);
    }
}
