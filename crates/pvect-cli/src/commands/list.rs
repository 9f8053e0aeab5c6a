//! `pvect list`: the containers of the node.

use std::collections::BTreeSet;

use pvect::columns::{Cells, Column};
use pvect::select::Selector;
use pvect::{Client, Operate};
use pvect_core::{Listing, Result};
use serde::Serialize;
use serde_json::Value;

use crate::app::App;
use crate::args::{Form, Globals, PctLine};
use crate::commands::{chosen, operate};
use crate::progress::{LogTo, Progress};
use crate::render::{self, Shape, human};

/// The columns of the table.
pub const COLUMNS: &[&str] = &["vmid", "status", "lock", "name"];
/// The same for containers of several nodes.
const COLUMNS_OF_NODES: &[&str] = &["vmid", "node", "status", "lock", "name"];
/// What stands for all columns.
const ALL: &str = "all";
/// What a terminal shows besides, the first that fits.
const WIDE: [&[Column]; 3] =
    [&[Column::Ip, Column::Ip6, Column::Tags], &[Column::Ip, Column::Tags], &[Column::Ip]];
/// On a terminal of fewer columns nothing is shown besides.
const WIDE_ENOUGH: usize = 80;
/// More addresses are counted in a cell of a table.
const MOST_IN_A_CELL: usize = 3;
/// More characters of a description are not shown in a table.
const MOST_OF_A_TEXT: usize = 40;

/// A line of the list.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    listing: &'a Listing,
    #[serde(flatten)]
    cells: &'a Cells,
}

/// Runs the command.
pub async fn run(app: &App, line: &PctLine) -> Result<u8> {
    if line.args.is_empty() {
        return all(app, line).await;
    }
    let selector = Selector::parse(&line.args)?;
    let mut line = line.clone();
    line.args.clear();
    some(app, &line, &selector).await
}

/// Lists every container of the node.
async fn all(app: &App, line: &PctLine) -> Result<u8> {
    let (client, call) = operate::begin(app, line).await?;
    if app.ui.globals.dry_run {
        return operate::dry_run(app, &client, &call);
    }
    let form = app.form(Form::Table);
    let globals = &app.ui.globals;
    let untouched = globals.is_unshaped() && !globals.no_header;
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
    let list = list(app, &client).await?;
    print(app, form, &[(&client, list)]).await
}

/// Lists the containers that a selector chooses, on every node that it names.
async fn some(app: &App, line: &PctLine, selector: &Selector) -> Result<u8> {
    let call = operate::checked(app, operate::assemble(line.verb, &line.args, &line.rest))?;
    let clients = chosen::clients(app, selector).await?;
    if app.ui.globals.dry_run {
        return clients.values().try_fold(0, |_, client| operate::dry_run(app, client, &call));
    }
    let chosen = chosen::candidates(&clients, selector, false).await?;
    let mut parts = Vec::new();
    for (node, client) in &clients {
        let mut found = list(app, client).await?;
        found.retain(|entry| chosen.iter().any(|one| one.vmid == entry.vmid && one.node == *node));
        if clients.len() > 1 {
            found.iter_mut().for_each(|entry| entry.node = Some(node.clone()));
        }
        parts.push((client, found));
    }
    let form = app.form(Form::Table);
    if form == Form::Plain && app.ui.globals.is_unshaped() && !app.ui.globals.no_header {
        app.ui.print(Listing::table(&together(&parts)))?;
        return Ok(0);
    }
    print(app, form, &parts).await
}

/// The containers of one node, and the client that reads more of them.
type Part<'a> = (&'a Client, Vec<Listing>);

fn together(parts: &[Part<'_>]) -> Vec<Listing> {
    parts.iter().flat_map(|(_, list)| list.iter().cloned()).collect()
}

async fn print(app: &App, form: Form, parts: &[Part<'_>]) -> Result<u8> {
    let (globals, wanted) = asked(app, parts)?;
    let list = together(parts);
    if form == Form::Plain && globals.is_unshaped() {
        // pct's layout without its header.
        let lines = list.into_iter().map(|entry| {
            let lock = entry.lock.map(String::from).unwrap_or_default();
            format!("{:<10} {:<10} {lock:<12} {:<20}\n", entry.vmid.get(), entry.status.as_str(), entry.name)
        });
        app.ui.print(lines.collect::<String>())?;
        return Ok(0);
    }
    let width = app.ui.width().filter(|width| *width >= WIDE_ENOUGH && !list.is_empty());
    let is_native = parts.iter().all(|(client, _)| client.reads_natively());
    let text = match width {
        Some(width) if form == Form::Table && globals.columns.is_none() && is_native => {
            wide(app, parts, &globals, (&list, wanted), width).await?
        }
        _ => {
            let cells = read(app, parts, &wanted).await?;
            shown(&globals, form, columns(&list), &list, &cells)?
        }
    };
    app.ui.print(text)?;
    Ok(0)
}

/// The options with every column named, and which of the columns have to be read.
///
/// # Errors
/// For a column that does not exist, or that cannot be had from here.
fn asked(app: &App, parts: &[Part<'_>]) -> Result<(Globals, BTreeSet<Column>)> {
    let mut globals = app.ui.globals.clone();
    let has = |column| parts.iter().all(|(client, _)| client.has_column(column));
    if let Some(names) = &mut globals.columns {
        let are_all = names.iter().any(|name| name == ALL);
        if are_all {
            let (all, missing): (Vec<Column>, Vec<Column>) =
                Column::ALL.iter().copied().partition(|column| has(*column));
            *names =
                COLUMNS.iter().copied().chain(all.iter().map(|one| one.name())).map(str::to_owned).collect();
            if !missing.is_empty() {
                let missing: Vec<&str> = missing.iter().map(|column| column.name()).collect();
                app.ui.warning(&format!(
                    "left out, as only pvect on the node itself, as root, can read them: {}",
                    missing.join(", ")
                ));
            }
        }
    }
    let known: Vec<String> = known().into_iter().map(str::to_owned).collect();
    let sort = globals.sort.as_deref().map(|name| name.strip_prefix('-').unwrap_or(name));
    if let Some(name) = sort {
        render::check("sort", name, &known)?;
    }
    let named = globals.columns.iter().flatten();
    named.clone().try_for_each(|name| render::check("columns", name, &known))?;
    let wanted: BTreeSet<Column> =
        named.map(String::as_str).chain(sort).filter_map(Column::from_name).collect();
    parts.iter().try_for_each(|(client, _)| client.check_columns(&wanted))?;
    Ok((globals, wanted))
}

fn known() -> Vec<&'static str> {
    COLUMNS.iter().copied().chain(Column::ALL.iter().map(|column| column.name())).collect()
}

/// Reads the columns that have to be.
async fn read(app: &App, parts: &[Part<'_>], wanted: &BTreeSet<Column>) -> Result<Vec<Cells>> {
    let mut cells = Vec::new();
    for (client, list) in parts {
        if wanted.is_empty() {
            cells.resize(cells.len() + list.len(), Cells::default());
            continue;
        }
        let read = client.columns(list, wanted).await?;
        read.warnings.iter().for_each(|line| app.ui.warning(line));
        cells.extend(read.cells);
    }
    Ok(cells)
}

/// The table with addresses and tags, as far as there are any and the terminal has room for them.
async fn wide(
    app: &App,
    parts: &[Part<'_>],
    globals: &Globals,
    (list, mut wanted): (&[Listing], BTreeSet<Column>),
    width: usize,
) -> Result<String> {
    wanted.extend(WIDE[0]);
    let cells = read(app, parts, &wanted).await?;
    let is_shown = |column: &Column| {
        cells.iter().any(|one| match column {
            Column::Ip => one.ip.as_ref().is_none_or(|list| !list.is_empty()),
            Column::Ip6 => one.ip6.as_ref().is_none_or(|list| !list.is_empty()),
            _ => one.tags.is_some(),
        })
    };
    let base = columns(list);
    for more in WIDE {
        let more = more.iter().filter(|column| is_shown(column)).map(|column| column.name());
        let columns: Vec<&str> = base.iter().copied().chain(more).collect();
        let text = shown(globals, Form::Table, &columns, list, &cells)?;
        if text.lines().all(|line| line.chars().count() <= width) {
            return Ok(text);
        }
    }
    shown(globals, Form::Table, base, list, &cells)
}

fn shown(
    globals: &Globals,
    form: Form,
    columns: &[&str],
    list: &[Listing],
    cells: &[Cells],
) -> Result<String> {
    let lines: Vec<Line<'_>> =
        list.iter().zip(cells).map(|(listing, cells)| Line { listing, cells }).collect();
    render::shaped(globals, form, &Shape { columns, known: &known(), cell }, &lines)
}

/// How a value is shown where that is not the usual way.
fn cell(form: Form, column: &str, value: &Value) -> Option<String> {
    match (form, column, value) {
        (_, "ip" | "ip6", Value::Array(list)) => {
            let texts: Vec<&str> = list.iter().filter_map(Value::as_str).collect();
            match texts.get(..MOST_IN_A_CELL) {
                Some(first) if form == Form::Table && texts.len() > MOST_IN_A_CELL => {
                    Some(format!("{} +{}", first.join(" "), texts.len() - MOST_IN_A_CELL))
                }
                _ => Some(texts.join(" ")),
            }
        }
        (Form::Table, "memory" | "maxmemory" | "disk" | "maxdisk", value) => value.as_f64().map(human::size),
        (Form::Table, "uptime", value) => value.as_u64().map(human::age),
        (Form::Table, _, Value::Bool(is_so)) => Some(if *is_so { "yes" } else { "no" }.to_owned()),
        (Form::Table, "description", Value::String(text)) => {
            let first = text.lines().next().unwrap_or_default();
            let short: String = first.chars().take(MOST_OF_A_TEXT).collect();
            Some(if short.len() < text.trim_end().len() { short + " ..." } else { short })
        }
        _ => None,
    }
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
    use serde_json::json;

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

    #[test]
    fn cells_are_for_people_in_tables_and_for_programs_elsewhere() {
        let ips = json!(["10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]);
        for (form, column, value, expected) in [
            (Form::Table, "ip", json!([]), Some("")),
            (Form::Table, "ip", json!(["10.0.0.1", "10.0.0.2"]), Some("10.0.0.1 10.0.0.2")),
            (Form::Table, "ip", ips.clone(), Some("10.0.0.1 10.0.0.2 10.0.0.3 +2")),
            (Form::Csv, "ip", ips, Some("10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4 10.0.0.5")),
            (Form::Table, "memory", json!(536_870_912), Some("512M")),
            (Form::Csv, "memory", json!(536_870_912), None),
            (Form::Table, "uptime", json!(3661), Some("1h1m")),
            (Form::Table, "onboot", json!(true), Some("yes")),
            (Form::Csv, "onboot", json!(true), None),
            (Form::Table, "description", json!("one\n"), Some("one")),
            (Form::Table, "description", json!("one\ntwo\n"), Some("one ...")),
            (Form::Table, "name", json!("web"), None),
        ] {
            assert_eq!(cell(form, column, &value).as_deref(), expected, "{column} {value}");
        }
    }
}
