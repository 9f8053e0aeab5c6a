//! `pvect template build|list|remove`. (`pvect template 101` is pct's verb.)

use pvect::{Client, Place, StoredTemplate};
use pvect_core::error::{Finding, Run};
use pvect_core::{Error, ErrorKind, Result, VolumeId};
use pvect_node::storage::{self, Template};
use pvect_node::{Failure, FailureKind, Node, template};

use crate::app::App;
use crate::args::Form;
use crate::interrupt;
use crate::render;
use crate::standalone;

/// Runs the command.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("template", words)?;
    // Without a handler for signals: the builders have their own.
    let client = app.builder().connect()?;
    let node = standalone::of_place(app, client.place());
    match client.place() {
        Place::Far { root: Some(_), destination, .. } => {
            let what =
                format!("the templates of a standalone node are managed on that node, at {destination}");
            return Err(Error::Unsupported { what, vmid: None });
        }
        Place::Api { .. } if matches.subcommand_name() != Some("list") => {
            let what =
                "through the API templates can only be listed: run pvect on the node, or use --node NAME";
            return Err(Error::Unsupported { what: what.to_owned(), vmid: None });
        }
        _ => {}
    }
    if node.is_none() {
        interrupt::watch(&client);
    }
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
            return Err(Error::bad_argument("what", text));
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
    let list = match node {
        Some(node) => {
            let all = storage::templates(node).map_err(|failure| failed(&failure))?;
            all.iter().filter(|one| one.volume.storage() == storage).map(listed).collect()
        }
        None if form == Form::Plain && !matches!(client.place(), Place::Api { .. }) => {
            app.ui.print(client.template_table(storage).await?)?;
            return Ok(0);
        }
        None => client.stored_templates(storage).await?,
    };
    app.ui.print(render::records(&app.ui.globals, form, &["volid", "size"], &list)?)?;
    Ok(0)
}

async fn remove(app: &App, client: &Client, node: Option<&Node>, volume: &str) -> Result<u8> {
    let id: VolumeId = volume
        .parse()
        .map_err(|error: pvect_core::id::InvalidId| Error::bad_argument("volume", error.to_string()))?;
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
        Some(node) => storage::remove_template(node, &id).map_err(|failure| match failure.kind {
            FailureKind::NoVolume { .. } => {
                Error::Found { finding: Finding::NoTemplate { volume: id }, vmid: None, run: None }
            }
            _ => failed(&failure),
        })?,
        None => client.remove_template(&id).await?,
    }
    Ok(0)
}

fn listed(template: &Template) -> StoredTemplate {
    StoredTemplate { volid: template.volume.to_string(), size: template.size }
}

fn failed(failure: &Failure) -> Error {
    if matches!(failure.kind, FailureKind::NoVolume { .. } | FailureKind::NoStorage { .. }) {
        return Error::NotFound { what: failure.text.clone(), vmid: None };
    }
    Error::Failed {
        kind: ErrorKind::PctOperationFailed,
        message: failure.text.clone(),
        vmid: None,
        run: Box::new(Run::default()),
    }
}
