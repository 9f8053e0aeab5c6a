//! `pvect backup CT...` and `pvect backup list`.

use clap::ArgMatches;
use pvect::{BackedUp, Backup, Client};
use pvect_core::call::shell_quoted;
use pvect_core::{Call, Result, Verb};

use crate::app::App;
use crate::args::Form;
use crate::progress::{LogTo, Progress};
use crate::render;

/// The options that go to vzdump as they are.
const OPTIONS: [&str; 9] = [
    "storage",
    "dumpdir",
    "mode",
    "compress",
    "notes-template",
    "prune-backups",
    "zstd",
    "bwlimit",
    "stopwait",
];
/// The exit status when some containers were backed up, but not all.
const PARTIAL: u8 = 10;

/// Runs the command.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("backup", words)?;
    let cts: Vec<&String> = matches.get_many("ct").into_iter().flatten().collect();
    let client = app.client()?;
    if matches!(cts[..], [only] if only == "list") {
        return list(app, &client, text(&matches, "storage").unwrap_or("local")).await;
    }
    let mut vmids = Vec::new();
    for word in cts {
        let vmid = client.resolve(word).await?;
        if !vmids.contains(&vmid) {
            vmids.push(vmid);
        }
    }
    let mut backup = Backup::of(vmids);
    for name in OPTIONS {
        if let Some(value) = text(&matches, name) {
            backup = backup.option(name, value);
        }
    }
    for pattern in matches.get_many::<String>("exclude-path").into_iter().flatten() {
        backup = backup.option("exclude-path", pattern);
    }
    if matches.get_flag("protected") {
        backup = backup.option("protected", "1");
    }
    if app.ui.globals.dry_run {
        app.ui.print(format!("{}\n", shell_quoted(&client.backup_line(&backup))))?;
        return Ok(0);
    }
    make(app, &client, &backup).await
}

async fn make(app: &App, client: &Client, backup: &Backup) -> Result<u8> {
    let to = if app.ui.globals.quiet { LogTo::Nowhere } else { LogTo::Stderr };
    let mut progress = Progress::new(&app.ui, &Call::new(Verb::List), to);
    let done = client.back_up(backup, &mut progress).await?;
    drop(progress);
    if let [only] = done.as_slice() {
        if let Some(error) = only.failure() {
            return Err(error);
        }
    }
    let failed: Vec<&BackedUp> = done.iter().filter(|one| one.error.is_some()).collect();
    let form = app.form(Form::Plain);
    app.ui.print(match form {
        // What `restore` accepts, one per line.
        Form::Plain => {
            done.iter().filter_map(|one| one.archive.as_ref()).map(|path| format!("{path}\n")).collect()
        }
        _ => render::records(&app.ui.globals, form, &["vmid", "archive", "error"], &done)?,
    })?;
    for one in &failed {
        app.ui.note(&format!("{}: {}", one.vmid, one.error.as_deref().unwrap_or_default()));
    }
    Ok(match failed.len() {
        0 => 0,
        all if all == done.len() => 1,
        _ => PARTIAL,
    })
}

async fn list(app: &App, client: &Client, storage: &str) -> Result<u8> {
    let list = client.stored_backups(storage).await?;
    let form = app.form(Form::Table);
    app.ui.print(render::records(&app.ui.globals, form, &["volid", "vmid", "size"], &list)?)?;
    Ok(0)
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.get_one::<String>(name).map(String::as_str)
}
