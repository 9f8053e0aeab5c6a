//! `pvect log CT`: what the last start, LXC and the console of a container left to read.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;
use pvect::logs::{Log, Tail};
use pvect_core::{Error, Result, Vmid};
use serde::Serialize;

use crate::app::App;
use crate::args::Form;
use crate::render;
use crate::visible::printable;

/// How many lines of each log are shown unless another number is asked for.
const LINES: usize = 100;
/// The pause between two looks at logs that are followed.
const PAUSE: Duration = Duration::from_millis(300);

/// One log, for programs.
#[derive(Debug, Serialize)]
struct Record {
    log: &'static str,
    file: PathBuf,
    lines: Vec<String>,
}

/// Runs the command.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("log", words)?;
    let lines = lines(&matches)?.unwrap_or(LINES);
    let follows = matches.get_flag("follow");
    let form = app.form(Form::Table);
    if follows && !matches!(form, Form::Table | Form::Plain) {
        return Err(Error::bad_option("follow", "prints text, and cannot be combined with --output"));
    }
    // Without a handler for signals: Ctrl-C ends it.
    let client = app.builder().connect()?;
    let word = matches.get_one::<String>("ct").map_or("", String::as_str);
    let vmid = client.resolve(word).await?;
    let mut shown = Shown { app, tails: BTreeMap::new(), last: None };
    let logs = client.logs(vmid).await?;
    if logs.is_empty() && !follows {
        return Err(none(vmid));
    }
    if !matches!(form, Form::Table | Form::Plain) {
        let list = logs.into_iter().map(|log| record(log, lines)).collect::<Result<Vec<_>>>()?;
        app.ui.print(render::records(&app.ui.globals, form, &["log", "file", "lines"], &list)?)?;
        return Ok(0);
    }
    logs.iter().try_for_each(|log| shown.show(log, lines))?;
    if !follows {
        return Ok(0);
    }
    loop {
        tokio::time::sleep(PAUSE).await;
        // A start since then has a log of its own.
        client.logs(vmid).await?.iter().try_for_each(|log| shown.show(log, usize::MAX))?;
    }
}

/// Prints the end of one file.
pub(super) fn of_file(app: &App, path: &Path, lines: usize) -> Result<u8> {
    let mut tail = Tail::new(path);
    // All of it comes in pieces.
    let mut bytes = if lines == usize::MAX { tail.more() } else { tail.last(lines) };
    loop {
        let piece = bytes.map_err(|source| unreadable(path, source))?;
        if piece.is_empty() {
            return Ok(0);
        }
        app.ui.print(printable(&String::from_utf8_lossy(&piece)))?;
        bytes = tail.more();
    }
}

/// Reads `--lines`.
pub(super) fn lines(matches: &ArgMatches) -> Result<Option<usize>> {
    let Some(text) = matches.get_one::<String>("lines") else { return Ok(None) };
    match text.parse() {
        Ok(count) if count > 0 => Ok(Some(count)),
        _ => Err(Error::bad_option("lines", format!("'{text}' is not a whole number above 0"))),
    }
}

fn none(vmid: Vmid) -> Error {
    let what = format!(
        "there is no log of {vmid}: it was not started yet, or its logs were removed; what its programs log is inside"
    );
    Error::NotFound { what, vmid: Some(vmid) }
}

fn record(log: Log, lines: usize) -> Result<Record> {
    let bytes = Tail::new(&log.path).last(lines).map_err(|source| unreadable(&log.path, source))?;
    let lines = String::from_utf8_lossy(&bytes).lines().map(str::to_owned).collect();
    Ok(Record { log: log.kind.as_str(), file: log.path, lines })
}

fn unreadable(path: &Path, source: std::io::Error) -> Error {
    Error::Io { what: format!("cannot read {}", path.display()), source }
}

/// What has been printed, file by file.
struct Shown<'a> {
    app: &'a App,
    tails: BTreeMap<PathBuf, Tail>,
    /// The file that the last line came from.
    last: Option<PathBuf>,
}

impl Shown<'_> {
    /// Prints the last lines of a log that is new, and of another what was added.
    fn show(&mut self, log: &Log, lines: usize) -> Result<()> {
        let read = match self.tails.get_mut(&log.path) {
            Some(tail) => tail.more(),
            None => {
                let mut tail = Tail::new(&log.path);
                let read = tail.last(lines);
                self.tails.insert(log.path.clone(), tail);
                read
            }
        };
        let bytes = match read {
            Ok(bytes) => bytes,
            // A start removes LXC's log and writes a new one.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(unreadable(&log.path, error)),
        };
        if bytes.is_empty() {
            return Ok(());
        }
        if self.last.as_ref() != Some(&log.path) {
            self.last = Some(log.path.clone());
            self.app.ui.print(printable(&format!(
                "==> {}: {} <==\n",
                log.kind.as_str(),
                log.path.display()
            )))?;
        }
        let mut text = printable(&String::from_utf8_lossy(&bytes));
        if !text.ends_with('\n') {
            text.push('\n');
        }
        self.app.ui.print(text)
    }
}
