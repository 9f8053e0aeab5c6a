//! `/nodes/{node}/tasks` and below, `/cluster/tasks`.

use std::time::Duration;

use pvect_core::schema::Kind;
use pvect_core::upid::Upid;
use pvect_node::history::{self, Record};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Answer, Asked, Reply, Row};
use crate::params::{COUNT, TEXT, optional};
use crate::refusal::Refusal;

pub(super) const ENDPOINTS: &[Row] = &[
    ("GET", "/cluster/tasks", |asked| list(asked, 25)),
    ("GET", "/nodes/{node}/tasks", |asked| list(asked, 50)),
    ("GET", "/nodes/{node}/tasks/{upid}/status", status),
    ("GET", "/nodes/{node}/tasks/{upid}/log", log),
    ("DELETE", "/nodes/{node}/tasks/{upid}", stop),
];

/// The fields of a UPID.
fn fields(upid: &Upid) -> Value {
    let (user, token) = match upid.user.split_once('!') {
        Some((user, token)) => (user, Some(token)),
        None => (upid.user.as_str(), None),
    };
    let mut fields = json!({
        "upid": upid.to_string(),
        "node": upid.node.as_str(),
        "pid": upid.pid,
        "pstart": upid.pstart,
        "starttime": upid.starttime,
        "type": upid.worker,
        "id": upid.id,
        "user": user,
    });
    if let Some(token) = token {
        fields["tokenid"] = token.into();
    }
    fields
}

fn list(asked: &Asked, default_limit: u64) -> Answer {
    asked.check_node()?;
    asked.params.check(&[
        optional("start", COUNT),
        optional("limit", COUNT),
        optional("errors", Kind::Boolean),
        optional("vmid", COUNT),
        optional("userfilter", TEXT),
        optional("typefilter", TEXT),
        optional("statusfilter", TEXT),
        optional("since", COUNT),
        optional("until", COUNT),
        optional("source", Kind::Enum(&["archive", "active", "all"])),
    ])?;
    let sees_all = asked.rights()?.may(&asked.who, "/nodes", "Sys.Audit");
    let fits = |record: &Record| {
        let (upid, params) = (&record.upid, &asked.params);
        let status = record.end.as_ref().map(|(_, status)| status.as_str());
        (sees_all || is_own(asked, upid))
            && params.get("vmid").is_none_or(|vmid| vmid == upid.id)
            && params.get("typefilter").is_none_or(|kind| kind == upid.worker)
            && params.get("userfilter").is_none_or(|user| upid.user.contains(user))
            && params.number("since").is_none_or(|since| u64::from(upid.starttime) >= since)
            && params.number("until").is_none_or(|until| u64::from(upid.starttime) <= until)
            && (!params.is_on("errors") || status.is_some_and(|status| status != "OK"))
            && params.get("statusfilter").is_none_or(|wanted| {
                let kind = match status {
                    Some("OK") => "ok",
                    Some(text) if text.starts_with("WARNINGS: ") => "warning",
                    Some("unexpected status") | None => "unknown",
                    Some(_) => "error",
                };
                wanted.split([',', ';', ' ', '\0']).any(|one| one == kind)
            })
            && match params.get("source").unwrap_or("archive") {
                "active" => status.is_none(),
                "archive" => status.is_some(),
                _ => true,
            }
    };
    let all: Vec<Record> = history::tasks(asked.node()).into_iter().filter(fits).collect();
    let start = usize::try_from(asked.params.number("start").unwrap_or(0)).unwrap_or(usize::MAX);
    let limit = asked.params.number("limit").unwrap_or(default_limit);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let shown = all.iter().skip(start).take(limit).map(|record| {
        let mut one = fields(&record.upid);
        if let Some((time, status)) = &record.end {
            one["endtime"] = (*time).into();
            one["status"] = status.clone().into();
        }
        one
    });
    Ok(Reply::Total(shown.collect(), all.len() as u64))
}

/// Whether a task is of who asks: a token's are its user's too.
fn is_own(asked: &Asked, upid: &Upid) -> bool {
    upid.user == asked.who || upid.user.split('!').next() == Some(asked.who.as_str())
}

/// The task of the path, if the user may see it.
fn task(asked: &Asked, privilege: &str) -> Result<Upid, Refusal> {
    asked.check_node()?;
    let upid: Upid =
        asked.part("upid").parse().map_err(|_| Refusal::parameter("upid", "unable to parse worker upid"))?;
    if !is_own(asked, &upid) {
        asked.check(&format!("/nodes/{}", asked.node().name), privilege)?;
    }
    if !history::log_file(asked.node(), &upid).is_file() {
        return Err(Refusal::parameter("upid", "no such task"));
    }
    Ok(upid)
}

fn status(asked: &Asked) -> Answer {
    asked.params.check(&[])?;
    let upid = task(asked, "Sys.Audit")?;
    let mut fields = fields(&upid);
    if history::is_running(&upid) {
        fields["status"] = "running".into();
    } else {
        fields["status"] = "stopped".into();
        fields["exitstatus"] = history::exit_status(asked.node(), &upid).into();
    }
    Ok(Reply::Data(fields))
}

fn log(asked: &Asked) -> Answer {
    asked.params.check(&[
        optional("start", COUNT),
        optional("limit", COUNT),
        optional("download", Kind::Boolean),
    ])?;
    let upid = task(asked, "Sys.Audit")?;
    let number = |name: &str, default: u64| {
        usize::try_from(asked.params.number(name).unwrap_or(default)).unwrap_or(usize::MAX)
    };
    // 0 is all; what one answer takes is bounded, in lines here and in bytes below.
    let limit = match number("limit", 50) {
        0 => MOST_LINES,
        limit => limit.min(MOST_LINES),
    };
    let (lines, total) = history::log(asked.node(), &upid, number("start", 0), limit)
        .map_err(|error| Refusal::failed(format!("can't read the log - {error}")))?;
    let mut list: Vec<Value> = lines.into_iter().map(|(n, t)| json!({ "n": n, "t": t })).collect();
    if total == 0 {
        list.push(json!({ "n": 1, "t": "no content" }));
    }
    Ok(Reply::Total(list.into(), total.max(1) as u64))
}

/// The most lines in one answer.
const MOST_LINES: usize = 50_000;
/// How long to wait for a task after it was told to end.
const GRACE: Duration = Duration::from_secs(5);

fn stop(asked: &Asked) -> Answer {
    asked.params.check(&[])?;
    let upid = task(asked, "Sys.Modify")?;
    let pid = i32::try_from(upid.pid).ok().and_then(Pid::from_raw);
    // The file's name was made by this node, but its number may be another process's by now: same start, or none.
    if let Some(pid) = pid.filter(|_| history::is_running(&upid)) {
        let _ = kill_process(pid, Signal::TERM);
        let until = std::time::Instant::now() + GRACE;
        while history::is_running(&upid) && std::time::Instant::now() < until {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    Ok(Reply::Data(Value::Null))
}
