//! A verb on many containers: `pvect start web*`, `pvect set @prod --memory 1024`, `pvect exec all -- uptime`.

mod board;
mod report;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, IsTerminal};
use std::num::NonZeroUsize;

use pvect::bulk::{self, Direction, Limits, Reporter};
use pvect::select::{self, Candidate, Selector};
use pvect::{Client, Manner, Place};
use pvect_core::{Call, CheckedCall, Error, NodeName, Result, Verb, Vmid};

use super::{careful, operate};
use crate::app::App;
use crate::args::options::BULK;
use crate::args::{Given, PctLine};

use board::Board;
use report::{Came, Report};

/// Verbs that destroy data or interrupt work, and need a confirmation.
const DESTRUCTIVE: &[Verb] = &[Verb::Delsnapshot, Verb::Destroy, Verb::Rollback, Verb::Stop, Verb::Template];

/// A verb on many containers, as it was typed.
#[derive(Debug)]
pub struct Asked {
    selector: Selector,
    /// The line without the words of the selector.
    line: PctLine,
}

/// Returns what is asked when the words choose more than one container, or may; `None` for one plain container.
///
/// If a verb takes nothing but a container, each of its words is part of the selector; otherwise only the first.
///
/// # Errors
/// For a word that is not a selector.
pub fn asked(line: &PctLine) -> Result<Option<Asked>> {
    if !BULK.contains(&line.verb) {
        return Ok(None);
    }
    let count = match line.verb.spec().args {
        [_] => line.args.len(),
        _ => line.args.len().min(1),
    };
    let words = &line.args[..count];
    if matches!(words, []) || matches!(words, [one] if select::is_plain(one)) {
        return Ok(None);
    }
    let selector = Selector::parse(words)?;
    let mut line = line.clone();
    line.args.drain(..count);
    Ok(Some(Asked { selector, line }))
}

/// Runs it and returns the exit status.
///
/// # Errors
/// When nothing could be started; failures of single containers are part of the report, and lead to [`Error::Partial`].
pub async fn run(app: &App, asked: Asked) -> Result<u8> {
    let Asked { selector, line } = asked;
    let options = Options::read(&line)?;
    let (line, manner) = careful::prepare(app, &line)?;
    if line.options.iter().any(|(_, given)| !matches!(given, Given::Text(_))) {
        return Err(Error::bad_option("password", "cannot be set for many containers at once"));
    }
    let checked = operate::checked(app, call(&line, Vmid::MIN))?;
    let clients = connect(app, &selector).await?;
    let chosen = choose(&clients, &selector, &line, &options).await?;
    if chosen.is_empty() {
        app.ui.note("there is no container here");
    }
    let calls = chosen
        .iter()
        .map(|one| ordered_call(&checked, one, &options))
        .collect::<Result<Vec<CheckedCall>>>()?;
    if app.ui.globals.dry_run {
        for (one, call) in chosen.iter().zip(&calls) {
            operate::dry_run(app, &clients[&one.node], call)?;
        }
        return Ok(0);
    }
    if DESTRUCTIVE.contains(&line.verb) && !options.yes && !chosen.is_empty() {
        confirm(app, line.verb, &chosen)?;
    }
    let rounds = bulk::rounds(&chosen, options.ordered.then(|| direction(line.verb)));
    let mut board = Board::new(&app.ui, line.verb, &chosen);
    let work = |index: usize, reporter: Reporter| {
        one(&clients[&chosen[index].node], &calls[index], &line, &manner, reporter)
    };
    let began = std::time::Instant::now();
    let ended = bulk::run(&rounds, options.limits, work, |index, what| board.show(index, &what)).await;
    drop(board);
    Report { app, verb: line.verb, chosen: &chosen, ended: &ended, took: began.elapsed() }.finish()
}

/// The options that pvect adds for many containers.
#[derive(Debug)]
struct Options {
    limits: Limits,
    ordered: bool,
    yes: bool,
}

impl Options {
    fn read(line: &PctLine) -> Result<Self> {
        let mut limits = Limits { fail_fast: line.has_extra("fail-fast"), ..Limits::default() };
        if let Some(text) = line.extra("parallel") {
            limits.parallel =
                text.parse::<NonZeroUsize>().ok().filter(|number| number.get() <= 1000).ok_or_else(|| {
                    Error::bad_option("parallel", format!("'{text}' is not a whole number from 1 to 1000"))
                })?;
        }
        Ok(Self { limits, ordered: line.has_extra("ordered"), yes: line.has_extra("yes") })
    }
}

/// Connects to each node that the selector names, or to the one that the settings choose.
async fn connect(app: &App, selector: &Selector) -> Result<BTreeMap<NodeName, Client>> {
    let own = app.client()?;
    if matches!(own.place(), Place::Api { node: None, .. }) {
        // One host of the API answers for every node.
        let named = selector.nodes();
        let nodes: BTreeSet<NodeName> =
            own.list().await?.into_iter().filter_map(|listing| listing.node).collect();
        let meant = nodes.into_iter().filter(|node| named.is_empty() || named.contains(node));
        return meant.map(|node| Ok((node.clone(), app.connect_to(&node)?))).collect();
    }
    let name = own.node()?;
    let mut clients = BTreeMap::new();
    for node in selector.nodes().into_iter().filter(|node| *node != name) {
        let client = app.connect_to(&node)?;
        client.probe().await?;
        clients.insert(node, client);
    }
    clients.insert(name, own);
    Ok(clients)
}

async fn choose(
    clients: &BTreeMap<NodeName, Client>,
    selector: &Selector,
    line: &PctLine,
    options: &Options,
) -> Result<Vec<Candidate>> {
    let starts = matches!(line.verb, Verb::Start | Verb::Reboot);
    let mut all = Vec::new();
    for client in clients.values() {
        all.extend(select::candidates(client, selector, options.ordered || starts).await?);
    }
    let mut chosen: Vec<Candidate> = selector.choose(&all)?.into_iter().cloned().collect();
    if starts && chosen.iter().any(|one| !one.template) {
        // A template cannot run, so patterns do not include it.
        chosen.retain(|one| !one.template);
    }
    Ok(chosen)
}

fn direction(verb: Verb) -> Direction {
    match verb {
        Verb::Stop | Verb::Shutdown | Verb::Suspend | Verb::Destroy => Direction::Stop,
        _ => Direction::Start,
    }
}

fn call(line: &PctLine, vmid: Vmid) -> Call {
    let args = [vmid.to_string()].into_iter().chain(line.args.iter().cloned()).collect::<Vec<_>>();
    let call = operate::assemble(line.verb, &args, &line.rest);
    operate::with_options(call, line)
}

/// In order, a shutdown may take as long as the container's own `down` says.
fn ordered_call(checked: &CheckedCall, one: &Candidate, options: &Options) -> Result<CheckedCall> {
    let call = checked.clone().with_vmid(0, one.vmid);
    match one.startup.down {
        Some(down) if options.ordered && call.verb() == Verb::Shutdown && !call.has("timeout") => {
            call.adjusted(|call| call.option("timeout", down.to_string()))
        }
        _ => Ok(call),
    }
}

async fn one(
    client: &Client,
    call: &CheckedCall,
    line: &PctLine,
    manner: &Manner,
    mut reporter: Reporter,
) -> Result<Came> {
    if line.verb == Verb::Exec {
        let vmid = call.vmid().unwrap_or(Vmid::MIN);
        let done = client.exec(vmid, line.rest.iter().cloned(), None).await?;
        return Ok(Came {
            status: done.status,
            stdout: done.stdout,
            stderr: done.stderr,
            warnings: Vec::new(),
        });
    }
    let outcome = client.carry_out_checked(call, manner, &mut reporter).await?;
    Ok(Came { status: 0, stdout: outcome.stdout, stderr: Vec::new(), warnings: outcome.warnings })
}

/// Asks on the terminal; without one, `--yes` is needed.
fn confirm(app: &App, verb: Verb, chosen: &[Candidate]) -> Result<()> {
    const SHOWN: usize = 12;
    let mut names: Vec<String> =
        chosen.iter().take(SHOWN).map(|one| format!("{} {}", one.vmid, one.name)).collect();
    if chosen.len() > SHOWN {
        names.push(format!("and {} more", chosen.len() - SHOWN));
    }
    let what = format!("{verb} {} containers ({})", chosen.len(), names.join(", "));
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() || app.ui.json_errors() {
        return Err(Error::bad_option("yes", format!("is needed to {what} without asking")));
    }
    let failed = |source| Error::Io { what: "cannot ask on the terminal".to_owned(), source };
    app.ui.ask(&format!("{what}?"))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    match answer.trim().to_ascii_lowercase().as_str() {
        "y" | "yes" => Ok(()),
        _ => Err(Error::bad_option("yes", "the answer was not yes; nothing was done")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{self, Globals, Line};

    fn line(text: &str) -> PctLine {
        let words: Vec<String> = text.split(' ').map(str::to_owned).collect();
        match args::read(&words, &mut Globals::default()).unwrap() {
            Line::Pct(line) => line,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn many_are_told_from_one() {
        for (text, many, left) in [
            ("start 101", false, ""),
            ("start web1", false, ""),
            ("start 101 102", true, ""),
            ("start all", true, ""),
            ("stop web* !web3", true, ""),
            ("snapshot web* before", true, "before"),
            ("snapshot web1 before", false, ""),
            ("exec @prod -- uptime", true, ""),
            ("exec web1 echo a,b", false, ""),
            ("set 100-110 --memory 512", true, ""),
            ("config 100-110", false, ""),
            ("enter web*", false, ""),
        ] {
            let asked = asked(&line(text)).unwrap();
            assert_eq!(asked.is_some(), many, "{text}");
            assert_eq!(asked.map(|asked| asked.line.args.join(" ")).unwrap_or_default(), left, "{text}");
        }
    }

    #[test]
    fn options_are_checked() {
        let error = Options::read(&line("start all --parallel 0")).unwrap_err();
        assert_eq!(error.to_string(), "--parallel: '0' is not a whole number from 1 to 1000");
        let options = Options::read(&line("start all --parallel 3 --fail-fast --ordered --yes")).unwrap();
        assert_eq!(
            (options.limits.parallel.get(), options.limits.fail_fast, options.ordered, options.yes),
            (3, true, true, true)
        );
    }
}
