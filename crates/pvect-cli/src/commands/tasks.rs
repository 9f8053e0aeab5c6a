//! `pvect tasks [CT|UPID]`: what was done on the node, and the log of one task.

use jiff::Timestamp;
use pvect::logs::{TaskRecord, Wanted};
use pvect_core::upid::Upid;
use pvect_core::{Error, Result};
use serde::Serialize;

use super::log;
use crate::app::App;
use crate::args::Form;
use crate::render;

/// How many tasks are listed unless another number is asked for.
const LISTED: usize = 50;
/// The columns of the table.
const COLUMNS: &[&str] = &["start", "end", "type", "vmid", "user", "status", "upid"];

/// One task.
#[derive(Debug, Serialize)]
struct Record {
    start: String,
    end: Option<String>,
    r#type: String,
    vmid: Option<u32>,
    user: String,
    status: String,
    upid: String,
}

/// Runs the command.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("tasks", words)?;
    let lines = log::lines(&matches)?;
    let client = app.client()?;
    let word = matches.get_one::<String>("task");
    if let Some(upid) = word.filter(|word| word.starts_with("UPID:")) {
        let upid: Upid = upid.parse().map_err(|_| {
            Error::bad_argument(
                "task",
                format!("'{upid}' is not a UPID; `pvect tasks` shows those that there are"),
            )
        })?;
        return log::of_file(app, &client.task_log(&upid)?, lines.unwrap_or(usize::MAX));
    }
    let vmid = match word {
        Some(word) => Some(client.resolve(word).await?),
        None => None,
    };
    let wanted = Wanted { vmid, errors: matches.get_flag("errors"), running: matches.get_flag("running") };
    let tasks = client.tasks(&wanted)?;
    let list: Vec<Record> = tasks.into_iter().take(lines.unwrap_or(LISTED)).map(record).collect();
    app.ui.print(render::records(&app.ui.globals, app.form(Form::Table), COLUMNS, &list)?)?;
    Ok(0)
}

fn record(task: TaskRecord) -> Record {
    let TaskRecord { upid, end } = task;
    let (end, status) = match end {
        Some((end, status)) => (Some(time(end)), status),
        None => (None, "running".to_owned()),
    };
    Record {
        start: time(u64::from(upid.starttime)),
        end,
        r#type: upid.worker.clone(),
        vmid: upid.id.parse().ok(),
        user: upid.user.clone(),
        status,
        upid: upid.to_string(),
    }
}

/// Seconds since 1970 as `pvect watch` shows times.
pub(super) fn time(seconds: u64) -> String {
    let time = i64::try_from(seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
    time.map_or_else(|| seconds.to_string(), |time| time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_becomes_a_line() {
        let upid: Upid = "UPID:vm:FFFFFFF0:0001E240:65540AF0:vzstart:202:root@pam:".parse().unwrap();
        let shown = |end| serde_json::to_string(&record(TaskRecord { upid: upid.clone(), end })).unwrap();
        assert_eq!(
            shown(Some((0x6554_0af1, "it broke".to_owned()))),
            r#"{"start":"2023-11-15T00:04:00Z","end":"2023-11-15T00:04:01Z","type":"vzstart","vmid":202,"user":"root@pam","status":"it broke","upid":"UPID:vm:FFFFFFF0:0001E240:65540AF0:vzstart:202:root@pam:"}"#
        );
        assert!(shown(None).contains(r#""end":null,"#) && shown(None).contains(r#""status":"running""#));
        assert_eq!(time(u64::MAX), u64::MAX.to_string());
    }
}
