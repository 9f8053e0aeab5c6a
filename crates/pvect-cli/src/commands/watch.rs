//! `pvect watch`: what happens to the containers of the node, as it happens.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use pvect::live::{Change, Event};
use pvect::select::{self, Selector};
use pvect::{Client, ConfigView, Inspect};
use pvect_core::{Error, Result, Vmid};
use serde::Serialize;

use crate::app::App;
use crate::args::Form;
use crate::visible::printable;

/// The longest single wait.
const STEP: Duration = Duration::from_secs(60);

/// One event, for programs.
#[derive(Debug, Serialize)]
struct Record {
    time: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    vmid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    upid: Option<String>,
}

/// Runs the command until it is ended, or has reported as many events as were asked for.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("watch", words)?;
    let client = app.builder().connect()?;
    let mut watcher = client.watch()?;
    let mut left = match matches.get_one::<String>("count") {
        None => u64::MAX,
        Some(text) => match text.parse() {
            Ok(count) if count > 0 => count,
            _ => return Err(Error::bad_option("count", format!("'{text}' is not a whole number above 0"))),
        },
    };
    let words: Vec<&String> = matches.get_many::<String>("container").unwrap_or_default().collect();
    let wanted: Option<Vec<Vmid>> = if words.is_empty() {
        None
    } else {
        let selector = Selector::parse(&words)?;
        let all = select::candidates(&client, &selector, false).await?;
        Some(selector.choose(&all)?.into_iter().map(|one| one.vmid).collect())
    };
    app.ui.note("watching; Ctrl-C ends it");
    let mut names = BTreeMap::new();
    while left > 0 {
        for event in watcher.wait(STEP)? {
            let vmid = vmid_of(&event);
            if left == 0
                || wanted.as_ref().is_some_and(|wanted| vmid.is_none_or(|vmid| !wanted.contains(&vmid)))
            {
                continue;
            }
            left -= 1;
            let record = record(&event, vmid, name(&client, vmid, &mut names).await);
            app.ui.print(shown(app, &record)?)?;
        }
    }
    Ok(0)
}

fn vmid_of(event: &Event) -> Option<Vmid> {
    match event {
        Event::State { vmid, .. } | Event::Config { vmid, .. } => Some(*vmid),
        Event::TaskBegan { upid } | Event::TaskEnded { upid, .. } => upid.id.parse().ok(),
    }
}

/// The name of a container; for one that is gone, its last name.
async fn name(client: &Client, vmid: Option<Vmid>, known: &mut BTreeMap<Vmid, String>) -> Option<String> {
    let vmid = vmid?;
    if let Ok(config) = client.config(vmid, &ConfigView::Current).await {
        known.insert(vmid, config.name(vmid));
    }
    known.get(&vmid).cloned()
}

fn record(event: &Event, vmid: Option<Vmid>, name: Option<String>) -> Record {
    let mut record = Record {
        time: Timestamp::now().strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        event: "",
        vmid: vmid.map(Vmid::get),
        name,
        task: None,
        status: None,
        upid: None,
    };
    match event {
        Event::State { running: true, .. } => record.event = "running",
        Event::State { running: false, .. } => record.event = "stopped",
        Event::Config { change, .. } => {
            record.event = match change {
                Change::Made => "config-made",
                Change::Changed => "config-changed",
                Change::Removed => "config-removed",
            };
        }
        Event::TaskBegan { upid } => {
            record.event = "task-began";
            (record.task, record.upid) = (Some(upid.worker.clone()), Some(upid.to_string()));
        }
        Event::TaskEnded { upid, status } => {
            record.event = "task-ended";
            (record.task, record.upid) = (Some(upid.worker.clone()), Some(upid.to_string()));
            record.status.clone_from(status);
        }
    }
    record
}

/// One line: JSON, or words for people.
fn shown(app: &App, record: &Record) -> Result<String> {
    if app.form(Form::Table) == Form::Json {
        let failed = |source: serde_json::Error| Error::Io {
            what: "the event cannot be printed".to_owned(),
            source: source.into(),
        };
        return serde_json::to_string(record).map(|line| line + "\n").map_err(failed);
    }
    let vmid = record.vmid.map(|vmid| vmid.to_string()).unwrap_or_default();
    let name = record.name.clone().unwrap_or_default();
    let rest = [record.task.as_deref(), record.status.as_deref()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join(" ");
    let line = format!("{}  {vmid:<9} {name:<16} {:<15} {rest}", record.time, record.event);
    Ok(printable(line.trim_end()) + "\n")
}
