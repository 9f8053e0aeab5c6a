//! `pvect doctor`.

use std::io::{BufRead, IsTerminal};

use pvect::Client;
use pvect::doctor::{self, Verdict};
use pvect_core::{Error, ErrorKind, Result};
use pvect_node::health::{self, Finding, Host, Repaired};
use pvect_node::{Failure, Node, Output};
use serde::Serialize;

use crate::app::App;
use crate::args::Form;
use crate::render;
use crate::standalone;

/// How many times to look again for what a repair has brought to light.
const ROUNDS: usize = 3;

/// A line of the table: a check, or a finding.
#[derive(Debug, Serialize)]
struct Line {
    verdict: Verdict,
    name: String,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    finding: Option<Finding>,
}

/// A finding and the result of its repair.
#[derive(Debug, Serialize)]
struct Outcome {
    outcome: &'static str,
    #[serde(flatten)]
    finding: Finding,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Runs every check; the status is 1 when one failed. With `--fix` what a crash left is repaired.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("doctor", words)?;
    // Without a handler for signals, because no pct is started that would have to be stopped.
    let client = app.builder().connect();
    if matches.get_flag("fix") {
        return fix(app, &client?, matches.get_flag("yes"));
    }
    if matches.get_flag("yes") {
        return Err(Error::bad_option("yes", "it is for --fix only"));
    }
    let checks = doctor::run(&client, &app.loaded, &doctor::Host::default()).await;
    let mut lines: Vec<Line> = checks.into_iter().map(Line::from).collect();
    if let Some(node) = client.as_ref().ok().and_then(|client| standalone::of_place(app, client.place())) {
        lines.extend(network(&node));
        lines.extend(leftovers(&node));
    }
    let columns = ["verdict", "name", "detail", "fix"];
    app.ui.print(render::records(&app.ui.globals, app.form(Form::Table), &columns, &lines)?)?;
    Ok(u8::from(lines.iter().any(|line| line.verdict == Verdict::Fail)))
}

impl From<doctor::Check> for Line {
    fn from(check: doctor::Check) -> Self {
        let doctor::Check { verdict, name, detail, fix } = check;
        Self { verdict, name: name.to_owned(), detail, fix, finding: None }
    }
}

/// The node's own networks, one line for each.
fn network(node: &Node) -> Vec<Line> {
    let line = |check: pvect_node::network::Check| Line {
        verdict: if check.ok { Verdict::Ok } else { Verdict::Warn },
        name: "network".to_owned(),
        detail: check.detail,
        fix: check.fix,
        finding: None,
    };
    pvect_node::network::checks(node).into_iter().map(line).collect()
}

/// What a crash left behind, one line for each.
fn leftovers(node: &Node) -> Vec<Line> {
    let line = |verdict, name: &str, detail: String, fix| Line {
        verdict,
        name: name.to_owned(),
        detail,
        fix,
        finding: None,
    };
    match health::inspect(node, &Host::default()) {
        Err(failure) => vec![line(Verdict::Fail, "leftovers", failure.text, None)],
        Ok(findings) if findings.is_empty() => {
            vec![line(Verdict::Ok, "leftovers", "killed commands left nothing behind".to_owned(), None)]
        }
        Ok(findings) => findings
            .into_iter()
            .map(|finding| {
                let fix = if finding.automatic {
                    format!("pvect doctor --fix (to {})", finding.fix)
                } else {
                    finding.fix.clone()
                };
                let detail = format!("{}: {}", finding.place, finding.what);
                let name = word(&finding);
                Line { finding: Some(finding), ..line(Verdict::Warn, &name, detail, Some(fix)) }
            })
            .collect(),
    }
}

/// A finding's kind as one word, such as `stale-lock`.
fn word(finding: &Finding) -> String {
    match serde_json::to_value(finding.kind) {
        Ok(serde_json::Value::String(word)) => word,
        _ => String::new(),
    }
}

/// Repairs what a crash left behind and shows the results. The status is 1 when something could not be repaired.
fn fix(app: &App, client: &Client, yes: bool) -> Result<u8> {
    let Some(node) = standalone::of_place(app, client.place()) else {
        let what = "only a standalone node on this machine can be repaired; on a node of Proxmox VE `pvect doctor` names \
                    stale locks and the command that removes them";
        return Err(Error::Unsupported { what: what.to_owned(), vmid: None });
    };
    let inspect = || health::inspect(&node, &Host::default()).map_err(|failure| failed(&failure));
    let mut findings = inspect()?;
    let automatic = findings.iter().filter(|finding| finding.automatic).count();
    let mut outcomes: Vec<Outcome> = Vec::new();
    if automatic > 0 && !app.ui.globals.dry_run && (yes || agreed(app, &findings, automatic)?) {
        for _ in 0..ROUNDS {
            let is_new = |finding: &&Finding| {
                finding.automatic && !outcomes.iter().any(|known| known.finding == **finding)
            };
            let fresh: Vec<Finding> = findings.iter().filter(is_new).cloned().collect();
            if fresh.is_empty() {
                break;
            }
            outcomes.extend(fresh.into_iter().map(|finding| repair(&node, finding)));
            findings = inspect()?;
        }
    }
    for outcome in outcomes.iter_mut().filter(|one| one.outcome == "fixed") {
        if findings.contains(&outcome.finding) {
            outcome.outcome = "failed";
            outcome.reason = Some("it is still there".to_owned());
        }
    }
    let is_untold = |finding: &Finding| !outcomes.iter().any(|known| known.finding == *finding);
    let left: Vec<Finding> = findings.into_iter().filter(is_untold).collect();
    outcomes.extend(left.into_iter().map(|finding| Outcome { outcome: "left", finding, reason: None }));
    let columns = ["outcome", "kind", "place", "what", "fix", "reason"];
    let form = app.form(Form::Table);
    if outcomes.is_empty() && form == Form::Table {
        app.ui.print("killed commands left nothing behind\n")?;
    } else {
        app.ui.print(render::records(&app.ui.globals, form, &columns, &outcomes)?)?;
    }
    Ok(u8::from(outcomes.iter().any(|one| matches!(one.outcome, "failed" | "busy"))))
}

fn repair(node: &Node, finding: Finding) -> Outcome {
    // The output of pct's verbs belongs in the log of their tasks.
    let (mut out, mut err) = (std::io::sink(), std::io::sink());
    let mut output = Output::new(&mut out, &mut err);
    let (outcome, reason) = match health::repair(node, &Host::default(), &finding, &mut output) {
        Ok(Repaired::Done) => ("fixed", None),
        Ok(Repaired::Gone) => ("gone", None),
        Ok(Repaired::Busy) => ("busy", Some("another command works on the container".to_owned())),
        Err(failure) => ("failed", Some(failure.text)),
    };
    Outcome { outcome, finding, reason }
}

/// Shows what is to be repaired and asks.
fn agreed(app: &App, findings: &[Finding], automatic: usize) -> Result<bool> {
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(Error::bad_option("fix", "there is no terminal to ask on; add --yes"));
    }
    for finding in findings.iter().filter(|finding| finding.automatic) {
        app.ui.note(&format!("{}: {}: {}", finding.place, finding.what, finding.fix));
    }
    app.ui.note(&format!("Repair {automatic} of {} findings? [y/N]", findings.len()));
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|source| Error::Io { what: "cannot read the answer".to_owned(), source })?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn failed(failure: &Failure) -> Error {
    Error::Failed {
        kind: ErrorKind::PctOperationFailed,
        message: failure.text.clone(),
        vmid: None,
        run: Box::default(),
    }
}
