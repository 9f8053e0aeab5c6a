//! Frames that are printed one after the other: as text, or as one JSON document a line.

use jiff::Timestamp;
use pvect_core::{Error, Result};
use serde_json::{Map, Value, json};

use super::rows::{COLUMNS, Row, WORDS, cells};
use crate::args::{Form, Globals};
use crate::render;
use crate::visible::printable;

/// How frames are printed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frames {
    json: bool,
    header: bool,
    /// The columns, by their places in [`COLUMNS`].
    columns: Vec<usize>,
}

impl Frames {
    /// Reads the options; `None` when neither `batch` nor a form asks for printed frames.
    ///
    /// # Errors
    /// For what top cannot print, and for columns of a view of the terminal.
    pub(super) fn read(globals: &Globals, batch: bool) -> Result<Option<Self>> {
        let json = match globals.output {
            None | Some(Form::Table | Form::Plain) => false,
            Some(Form::Json) => true,
            Some(Form::Yaml | Form::Csv) => {
                return Err(Error::bad_option("output", "top prints table, plain and json"));
            }
        };
        let shapes = [("columns", globals.columns.is_some()), ("no-header", globals.no_header)];
        if let Some((name, _)) = shapes.into_iter().find(|(_, given)| *given && !batch && !json) {
            return Err(Error::bad_option(name, "is for printed frames: add --count N, --batch or -o json"));
        }
        if !batch && !json {
            return Ok(None);
        }
        let columns = match &globals.columns {
            None => (0..COLUMNS.len()).collect(),
            Some(names) => names.iter().map(|name| column(name)).collect::<Result<_>>()?,
        };
        Ok(Some(Self { json, header: !globals.no_header, columns }))
    }

    /// One frame.
    ///
    /// # Errors
    /// When it cannot be written as JSON.
    pub(super) fn frame(&self, node: &str, rows: &[Row], is_first: bool) -> Result<String> {
        if self.json {
            return self.document(node, rows, &Timestamp::now());
        }
        let mut text = if is_first { String::new() } else { "\n".to_owned() };
        if self.header {
            text += &self.line(&COLUMNS.map(|(name, _)| name.to_owned()));
        }
        for row in rows {
            text += &printable(&self.line(&cells(row)));
        }
        Ok(text)
    }

    fn line(&self, cells: &[String]) -> String {
        let padded = self.columns.iter().map(|at| format!("{:<1$}", cells[*at], usize::from(COLUMNS[*at].1)));
        padded.collect::<Vec<_>>().join(" ").trim_end().to_owned() + "\n"
    }

    /// One line of JSON.
    fn document(&self, node: &str, rows: &[Row], time: &Timestamp) -> Result<String> {
        let containers = rows.iter().map(|row| {
            let values = self.columns.iter().flat_map(|at| values(row, WORDS[*at]));
            Value::Object(values.map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
        });
        let document = json!({
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            "node": node,
            "containers": containers.collect::<Vec<_>>(),
        });
        let failed = |source: serde_json::Error| Error::Io {
            what: "the frame cannot be printed".to_owned(),
            source: source.into(),
        };
        serde_json::to_string(&document).map(|line| line + "\n").map_err(failed)
    }
}

fn column(name: &str) -> Result<usize> {
    render::check("columns", name, &WORDS.map(str::to_owned))?;
    Ok(WORDS.iter().position(|word| *word == name).unwrap_or_default())
}

/// What a column has for programs: sizes in bytes, rates in bytes a second, `cpu` in CPUs. Those of a container that
/// does not run are zero.
fn values(row: &Row, word: &str) -> Vec<(&'static str, Value)> {
    let (sample, rates) = (&row.sample, &row.rates);
    let details = sample.details.clone().unwrap_or_default();
    let status = if sample.running { "running" } else { "stopped" };
    match word {
        "vmid" => vec![("vmid", sample.vmid.get().into())],
        "name" => vec![("name", sample.name.clone().into())],
        "state" => vec![("status", status.into()), ("lock", sample.lock.clone().into())],
        "cpu" => vec![("cpu", rates.cpu.into()), ("cpus", sample.cpus.into())],
        "mem" => vec![("mem", sample.mem.into()), ("maxmem", sample.maxmem.into())],
        "swap" => vec![("swap", sample.swap.into()), ("maxswap", sample.maxswap.into())],
        "disk" => vec![("disk", details.disk.into()), ("maxdisk", details.maxdisk.into())],
        "net" => vec![("netin", rates.netin.into()), ("netout", rates.netout.into())],
        "io" => vec![("diskread", rates.diskread.into()), ("diskwrite", rates.diskwrite.into())],
        "pressure" => vec![
            ("pressurecpu", details.pressure_cpu.into()),
            ("pressureio", details.pressure_io.into()),
            ("pressurememory", details.pressure_mem.into()),
        ],
        _ => vec![("uptime", details.uptime.into())],
    }
}

#[cfg(test)]
mod tests {
    use super::super::rows::{rows, tests::frames};
    use super::*;

    fn globals(output: Option<Form>, columns: &[&str]) -> Globals {
        let columns = (!columns.is_empty()).then(|| columns.iter().map(|name| (*name).to_owned()).collect());
        Globals { output, columns, ..Globals::default() }
    }

    #[test]
    fn columns_are_chosen_in_text_and_json() {
        let (before, now) = frames();
        let rows = rows(&now, Some(&before));
        let text = Frames::read(&globals(None, &["name", "vmid"]), true).unwrap().unwrap();
        let first = text.frame("vm", &rows, true).unwrap();
        assert!(first.starts_with("NAME             VMID\n"), "{first}");
        assert_eq!(text.frame("vm", &rows, false).unwrap(), format!("\n{first}"));
        let json = Frames::read(&globals(Some(Form::Json), &["vmid", "mem"]), false).unwrap().unwrap();
        let line = json.frame("vm", &rows, false).unwrap();
        assert_eq!(line.matches('\n').count(), 1, "{line}");
        let document: Value = serde_json::from_str(&line).unwrap();
        let one = &rows[0].sample;
        assert_eq!(
            document["containers"][0],
            json!({"vmid": one.vmid.get(), "mem": one.mem, "maxmem": one.maxmem})
        );
        assert_eq!(document["containers"].as_array().unwrap().len(), rows.len());
    }

    #[test]
    fn every_column_has_values() {
        let (_, now) = frames();
        let row = &rows(&now, None)[0];
        let keys: Vec<_> = WORDS.iter().flat_map(|word| values(row, word)).map(|(key, _)| key).collect();
        let different: std::collections::BTreeSet<_> = keys.iter().collect();
        assert_eq!((keys.len(), different.len()), (20, 20), "{keys:?}");
    }

    #[test]
    fn what_top_cannot_print_is_refused() {
        let error = |globals: &Globals, batch| Frames::read(globals, batch).unwrap_err().to_string();
        assert_eq!(error(&globals(Some(Form::Csv), &[]), true), "--output: top prints table, plain and json");
        assert_eq!(
            error(&globals(None, &["name"]), false),
            "--columns: is for printed frames: add --count N, --batch or -o json"
        );
        assert_eq!(
            error(&globals(None, &["memory"]), true),
            "--columns: there is no column 'memory'; did you mean 'mem'? The columns are: vmid, name, state, cpu, mem, swap, disk, net, io, \
             pressure, uptime"
        );
        assert_eq!(Frames::read(&globals(None, &[]), false).unwrap(), None);
    }
}
