//! `pvect template build|list|remove`. (`pvect template 101` is pct's verb.)

use pvect::{Client, Place, StoredTemplate};
use pvect_core::call::shell_quoted;
use pvect_core::error::Run;
use pvect_core::{Error, ErrorKind, Result, VolumeId};
use pvect_node::{Failure, FailureKind, template};

use crate::app::App;
use crate::args::Form;
use crate::interrupt;
use crate::render;
use crate::standalone;

/// Runs the command.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("template", words)?;
    // Without a handler for signals, because the builders have their own.
    let client = app.builder().connect()?;
    if !matches!(client.place(), Place::Far { .. }) {
        client.probe().await?;
    }
    let text =
        |matches: &clap::ArgMatches, name: &str| matches.get_one::<String>(name).cloned().unwrap_or_default();
    match matches.subcommand() {
        Some(("build", matches)) => build(app, client.place(), &text(matches, "what")),
        Some(("remove", matches)) => {
            interrupt::watch(&client);
            remove(app, &client, &text(matches, "volume")).await
        }
        Some((_, matches)) => {
            interrupt::watch(&client);
            list(app, &client, &text(matches, "storage")).await
        }
        None => Ok(0),
    }
}

/// Builds in this process: the builders use the caller's environment (proxies, the settings of apt), which a client
/// does not pass to programs.
fn build(app: &App, place: &Place, what: &str) -> Result<u8> {
    let Some(node) = &standalone::of_place(app, place) else {
        let what = match place {
            Place::Far { root: Some(_), destination, .. } => format!(
                "the templates of a standalone node are managed with 'pvect template' on that node, at {destination}"
            ),
            _ => "templates are built for the standalone node only; on a node of Proxmox VE use `pveam download`"
                .to_owned(),
        };
        return Err(Error::Unsupported { what, vmid: None });
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
        _ => {
            let listed = StoredTemplate { volid: built.volume.to_string(), size: built.size };
            render::record(&app.ui.globals, form, &listed)?
        }
    })?;
    Ok(0)
}

async fn list(app: &App, client: &Client, storage: &str) -> Result<u8> {
    let form = app.form(Form::Table);
    if form == Form::Plain && !matches!(client.place(), Place::Api { .. } | Place::Standalone { .. }) {
        app.ui.print(client.template_table(storage).await?)?;
        return Ok(0);
    }
    let list = client.stored_templates(storage).await?;
    app.ui.print(render::records(&app.ui.globals, form, &["volid", "size"], &list)?)?;
    Ok(0)
}

async fn remove(app: &App, client: &Client, volume: &str) -> Result<u8> {
    let id: VolumeId = volume
        .parse()
        .map_err(|error: pvect_core::id::InvalidId| Error::bad_argument("volume", error.to_string()))?;
    if app.ui.globals.dry_run {
        let line = client.remove_template_line(&id)?;
        app.ui.print(format!("{}\n", shell_quoted(&line)))?;
        return Ok(0);
    }
    client.remove_template(&id).await?;
    Ok(0)
}

fn failed(failure: &Failure) -> Error {
    if matches!(failure.kind, FailureKind::NoStorage { .. }) {
        return Error::NotFound { what: failure.text.clone(), vmid: None };
    }
    Error::Failed {
        kind: ErrorKind::PctOperationFailed,
        message: failure.text.clone(),
        vmid: None,
        run: Box::new(Run::default()),
    }
}
