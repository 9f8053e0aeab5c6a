//! Results in the form that was asked for.

use std::cmp::Ordering;

use pvect_core::{Error, Result};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::args::{Form, Globals};
use crate::visible::printable;

/// A row: values by column.
pub type Row = Map<String, Value>;

/// Renders a list of typed records; `columns` are those of the table.
///
/// # Errors
/// For a column that does not exist.
pub fn records<T: Serialize>(globals: &Globals, form: Form, columns: &[&str], list: &[T]) -> Result<String> {
    let mut rows = list.iter().map(row).collect::<Result<Vec<Row>>>()?;
    let mut known: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    for key in rows.iter().flat_map(Map::keys) {
        if !known.contains(key) {
            known.push(key.clone());
        }
    }
    if let Some(sort) = &globals.sort {
        let (name, down) = sort.strip_prefix('-').map_or((sort.as_str(), false), |name| (name, true));
        check("sort", name, &known)?;
        rows.sort_by(|a, b| {
            let order = compare(a.get(name), b.get(name));
            if down { order.reverse() } else { order }
        });
    }
    let mut shown: Vec<String> = columns.iter().map(|name| (*name).to_owned()).collect();
    if let Some(chosen) = &globals.columns {
        chosen.iter().try_for_each(|name| check("columns", name, &known))?;
        shown.clone_from(chosen);
        for row in &mut rows {
            let mut all = std::mem::take(row);
            row.extend(shown.iter().filter_map(|name| all.remove(name).map(|value| (name.clone(), value))));
        }
    }
    match form {
        Form::Json => json(&rows),
        Form::Yaml => yaml(&rows),
        Form::Csv => csv(&rows, &shown, !globals.no_header),
        Form::Table | Form::Plain => Ok(table(&rows, &shown, !globals.no_header)),
    }
}

/// Renders one typed record: an object, or a table of keys and values.
///
/// # Errors
/// For a column that does not exist.
pub fn record<T: Serialize>(globals: &Globals, form: Form, value: &T) -> Result<String> {
    let mut object = row(value)?;
    if let Some(chosen) = &globals.columns {
        let known: Vec<String> = object.keys().cloned().collect();
        chosen.iter().try_for_each(|name| check("columns", name, &known))?;
        let mut all = std::mem::take(&mut object);
        object.extend(chosen.iter().filter_map(|name| all.remove(name).map(|value| (name.clone(), value))));
    }
    match form {
        Form::Json => json(&object),
        Form::Yaml => yaml(&object),
        Form::Plain => Ok(object.iter().map(|(key, value)| format!("{key}: {}\n", cell(value))).collect()),
        Form::Table | Form::Csv => {
            let pairs = object.into_iter().map(|(key, value)| {
                Row::from_iter([("key".to_owned(), Value::String(key)), ("value".to_owned(), value)])
            });
            let own = Globals { columns: None, ..globals.clone() };
            records(&own, form, &["key", "value"], &pairs.collect::<Vec<_>>())
        }
    }
}

fn row<T: Serialize>(value: &T) -> Result<Row> {
    match serde_json::to_value(value) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(other) => Ok(Row::from_iter([("value".to_owned(), other)])),
        Err(error) => Err(unprintable(error)),
    }
}

fn unprintable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Io { what: "the result cannot be printed".to_owned(), source: std::io::Error::other(error) }
}

fn check(option: &str, name: &str, known: &[String]) -> Result<()> {
    if known.iter().any(|column| column == name) {
        return Ok(());
    }
    let near = pvect::nearest(name, known.iter().map(String::as_str));
    let near = near.map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
    let text = format!("there is no column '{name}'{near} The columns are: {}", known.join(", "));
    let text = if near.is_empty() { text.replacen(" The", "; the", 1) } else { text };
    Err(Error::bad_option(option, text))
}

/// Compares numbers as numbers and everything else as text; missing values come first.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let number = |value: Option<&Value>| value.and_then(Value::as_f64);
    match (number(a), number(b)) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => a.map(cell).cmp(&b.map(cell)),
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    serde_json::to_string_pretty(value).map(|text| text + "\n").map_err(unprintable)
}

fn yaml(value: &impl Serialize) -> Result<String> {
    serde_yaml_ng::to_string(value).map_err(unprintable)
}

fn csv(rows: &[Row], columns: &[String], header: bool) -> Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    if header {
        writer.write_record(columns).map_err(unprintable)?;
    }
    for row in rows {
        writer
            .write_record(columns.iter().map(|name| row.get(name).map(cell).unwrap_or_default()))
            .map_err(unprintable)?;
    }
    let bytes = writer.into_inner().map_err(|error| unprintable(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn table(rows: &[Row], columns: &[String], header: bool) -> String {
    use comfy_table::{Cell, Table};
    let mut table = Table::new();
    table.load_preset(comfy_table::presets::NOTHING);
    if header {
        table.set_header(columns.iter().map(|name| name.to_uppercase()));
    }
    for row in rows {
        table.add_row(columns.iter().map(|name| {
            let value = row.get(name).unwrap_or(&Value::Null);
            let text = printable(&cell(value)).replace(['\n', '\t'], " ");
            Cell::new(text)
        }));
    }
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The text of a value in a cell.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows() -> Vec<Value> {
        vec![
            serde_json::json!({"vmid": 101, "status": "running", "name": "web1"}),
            serde_json::json!({"vmid": 1000, "status": "stopped", "lock": "backup", "name": "a,\"b\""}),
            serde_json::json!({"vmid": 99_999, "status": "stopped", "name": "two\nlines"}),
        ]
    }

    const COLUMNS: &[&str] = &["vmid", "status", "lock", "name"];

    fn shown(globals: &Globals, form: Form) -> String {
        records(globals, form, COLUMNS, &rows()).unwrap()
    }

    #[test]
    fn each_form_shows_the_same() {
        let globals = Globals::default();
        insta::assert_snapshot!(shown(&globals, Form::Table), @r#"
        VMID   STATUS   LOCK    NAME
        101    running          web1
        1000   stopped  backup  a,"b"
        99999  stopped          two lines
        "#);
        insta::assert_snapshot!(shown(&globals, Form::Csv), @r#"
        vmid,status,lock,name
        101,running,,web1
        1000,stopped,backup,"a,""b"""
        99999,stopped,,"two
        lines"
        "#);
        insta::assert_snapshot!(shown(&globals, Form::Yaml), @r#"
        - vmid: 101
          status: running
          name: web1
        - vmid: 1000
          status: stopped
          lock: backup
          name: a,"b"
        - vmid: 99999
          status: stopped
          name: |-
            two
            lines
        "#);
        let back: Value = serde_json::from_str(&shown(&globals, Form::Json)).unwrap();
        assert_eq!(back, Value::Array(rows()));
    }

    #[test]
    fn nothing_is_an_empty_list() {
        let globals = Globals::default();
        let none: [Value; 0] = [];
        assert_eq!(records(&globals, Form::Json, COLUMNS, &none).unwrap(), "[]\n");
        assert_eq!(records(&globals, Form::Yaml, COLUMNS, &none).unwrap(), "[]\n");
        assert_eq!(records(&globals, Form::Csv, COLUMNS, &none).unwrap(), "vmid,status,lock,name\n");
        assert_eq!(records(&globals, Form::Table, COLUMNS, &none).unwrap(), "VMID  STATUS  LOCK  NAME\n");
    }

    #[test]
    fn columns_are_chosen_and_sorted() {
        let globals = Globals {
            columns: Some(vec!["name".into(), "vmid".into()]),
            sort: Some("-vmid".into()),
            no_header: true,
            ..Globals::default()
        };
        insta::assert_snapshot!(shown(&globals, Form::Csv), @r#"
        "two
        lines",99999
        "a,""b""",1000
        web1,101
        "#);
        let globals = Globals { columns: Some(vec!["nam".into()]), ..Globals::default() };
        let error = records(&globals, Form::Csv, COLUMNS, &rows()).unwrap_err().to_string();
        assert_eq!(
            error,
            "--columns: there is no column 'nam'; did you mean 'name'? The columns are: vmid, status, lock, name"
        );
    }
}
