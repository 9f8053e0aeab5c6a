//! `pvect template build|list|remove`. (`pvect template 101` is pct's verb.)

use std::process::Stdio;

use pvect::{Client, Place};
use pvect_core::error::{Exit, Run};
use pvect_core::schema::{Reason, Violation};
use pvect_core::{Error, ErrorKind, Result, VolumeId};
use pvect_node::storage::{self, Template};
use pvect_node::{Failure, Layout, Node, template};
use serde::Serialize;

use crate::app::App;
use crate::args::Form;
use crate::render;

/// A template, as it is listed.
#[derive(Debug, Serialize)]
struct Listed {
    volid: String,
    size: u64,
}

/// Runs the command.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("template", words)?;
    // Without a handler for signals: the builders have their own.
    let client = app.builder().connect()?;
    let node = match client.place() {
        Place::Standalone { root, node } => Some(Node {
            layout: Layout::new(root, node.clone()),
            name: node.clone(),
            helper: app.program.clone(),
        }),
        Place::Far { root: Some(_), destination, .. } => {
            let what = format!("the templates of a standalone node are managed on itself, at {destination}");
            return Err(Error::Unsupported { what, vmid: None });
        }
        Place::Api { .. } if matches.subcommand_name() == Some("list") => None,
        Place::Api { .. } => {
            let what = "templates are only listed through the API: run pvect on the node, or use --node NAME";
            return Err(Error::Unsupported { what: what.to_owned(), vmid: None });
        }
        Place::Proxmox | Place::Far { .. } => None,
    };
    if !matches!(client.place(), Place::Far { .. }) {
        client.probe().await?;
    }
    let text =
        |matches: &clap::ArgMatches, name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    match (matches.subcommand(), node) {
        (Some(("build", matches)), node) => build(app, node.as_ref(), &text(matches, "what")),
        (Some(("remove", matches)), node) => {
            remove(app, &client, node.as_ref(), &text(matches, "volume")).await
        }
        (Some((_, matches)), node) => list(app, &client, node.as_ref(), &text(matches, "storage")).await,
        (None, _) => Ok(0),
    }
}

fn build(app: &App, node: Option<&Node>, what: &str) -> Result<u8> {
    let Some(node) = node else {
        let what =
            "templates are built for the standalone node only; on a node of Proxmox VE use `pveam download`";
        return Err(Error::Unsupported { what: what.to_owned(), vmid: None });
    };
    let mut progress = |line: &str| {
        if !app.ui.globals.quiet {
            app.ui.note(line);
        }
    };
    let (kind, suite) = what.split_once(':').unwrap_or((what, template::DEFAULT_SUITE));
    let built = match (kind, what.contains(':')) {
        _ if app.ui.globals.dry_run => return Ok(0),
        ("busybox", false) => template::build_busybox(node, &mut progress),
        ("debian", _) => template::build_debian(node, suite, &mut progress),
        _ => {
            let text = format!("'{what}' is not one of: busybox, debian, debian:SUITE");
            let reason = Reason::Other { pct: text.clone(), text };
            return Err(Error::invalid(Violation::positional("what", reason)));
        }
    };
    let built = built.map_err(|failure| failed(&failure))?;
    let form = app.form(Form::Plain);
    app.ui.print(match form {
        Form::Plain | Form::Table => format!("{}\n", built.volume),
        _ => render::record(&app.ui.globals, form, &listed(&built))?,
    })?;
    Ok(0)
}

async fn list(app: &App, client: &Client, node: Option<&Node>, storage: &str) -> Result<u8> {
    let form = app.form(Form::Table);
    let list = match (node, client.place()) {
        (Some(node), _) => {
            let all = storage::templates(node).map_err(|failure| failed(&failure))?;
            all.iter().filter(|one| one.volume.storage() == storage).map(listed).collect()
        }
        (None, Place::Api { .. }) => client
            .content(storage, "vztmpl")
            .await?
            .into_iter()
            .map(|volume| Listed { volid: volume.volid, size: volume.size })
            .collect(),
        (None, _) => {
            let output = pveam(app, client, &["list", storage]).await?;
            if form == Form::Plain {
                app.ui.print(output)?;
                return Ok(0);
            }
            parse(&output)
        }
    };
    app.ui.print(render::records(&app.ui.globals, form, &["volid", "size"], &list)?)?;
    Ok(0)
}

async fn remove(app: &App, client: &Client, node: Option<&Node>, volume: &str) -> Result<u8> {
    let id: VolumeId = volume.parse().map_err(|error: pvect_core::id::InvalidId| {
        let text = error.to_string();
        Error::invalid(Violation::positional("volume", Reason::Other { pct: text.clone(), text }))
    })?;
    if app.ui.globals.dry_run {
        let program = client.program().display();
        let text = if node.is_some() {
            format!("{program} template remove {id}\n")
        } else {
            format!("pveam remove {id}\n")
        };
        app.ui.print(text)?;
        return Ok(0);
    }
    match node {
        Some(node) => storage::remove_template(node, &id).map_err(|failure| failed(&failure))?,
        None => drop(pveam(app, client, &["remove", volume]).await?),
    }
    Ok(0)
}

fn listed(template: &Template) -> Listed {
    Listed { volid: template.volume.to_string(), size: template.size }
}

fn failed(failure: &Failure) -> Error {
    if failure.text.contains("does not exist") {
        return Error::NotFound { what: failure.text.clone(), vmid: None };
    }
    Error::Failed {
        kind: ErrorKind::PctOperationFailed,
        message: failure.text.clone(),
        vmid: None,
        run: Box::new(Run::default()),
    }
}

/// Runs pveam(1) and returns what it printed.
async fn pveam(app: &App, client: &Client, words: &[&str]) -> Result<String> {
    if matches!(client.place(), Place::Far { .. }) {
        let told = client.run_other("pveam", words).await?;
        let argv = std::iter::once("pveam").chain(words.iter().copied()).map(str::to_owned).collect();
        let run = Run {
            argv,
            exit: Some(Exit::Status(told.status)),
            stderr: String::from_utf8_lossy(&told.stderr).into_owned(),
            ..Run::default()
        };
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        return if told.status == 0 { Ok(text) } else { Err(refused(run)) };
    }
    let mut argv = vec!["pveam".to_owned()];
    if app.loaded.settings.proxmox.sudo {
        argv.splice(0..0, ["sudo", "-n", "--"].map(str::to_owned));
    }
    argv.extend(words.iter().map(|word| (*word).to_owned()));
    let mut command = tokio::process::Command::new(&argv[0]);
    command
        .args(&argv[1..])
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("LC_ALL", "C.UTF-8");
    let mut run = Run { argv, ..Run::default() };
    let output =
        command.stdin(Stdio::null()).kill_on_drop(true).output().await.map_err(|source| Error::Spawn {
            what: "pveam did not start".to_owned(),
            run: Box::new(run.clone()),
            source: Some(source),
        })?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    run.stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    run.exit = output.status.code().map(Exit::Status);
    Err(refused(run))
}

fn refused(run: Run) -> Error {
    let message = run.stderr.lines().next().unwrap_or("pveam failed").to_owned();
    let missing = message.contains("does not exist") || message.contains("no such");
    let kind = if missing { ErrorKind::NotFound } else { ErrorKind::PctOperationFailed };
    Error::Failed { kind, message, vmid: None, run: Box::new(run) }
}

/// Reads the table of `pveam list`: a header, then volume ids with sizes such as `120.65MB`.
fn parse(output: &str) -> Vec<Listed> {
    let rows = output.lines().filter_map(|line| line.trim_end().rsplit_once(char::is_whitespace));
    rows.filter_map(|(volume, size)| {
        let size: f64 = size.strip_suffix("MB")?.parse().ok().filter(|size| (0.0..1e12).contains(size))?;
        // pveam rounds to hundredths of a MiB, so this is near the true size.
        let bytes = (size * 1024.0 * 1024.0).round();
        Some(Listed { volid: volume.trim().to_owned(), size: format!("{bytes:.0}").parse().ok()? })
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_pveam_is_read() {
        let output = "NAME                                      SIZE  \n\
                      local:vztmpl/debian-12_amd64.tar.zst      1.50MB\n";
        let list: Vec<_> = parse(output).into_iter().map(|one| (one.volid, one.size)).collect();
        assert_eq!(list, [("local:vztmpl/debian-12_amd64.tar.zst".to_owned(), 1_572_864)]);
        assert!(parse("").is_empty());
    }
}
