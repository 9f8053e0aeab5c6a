//! `pvect settings show|check|schema|migrate`.

use pvect::settings::{self, Severity};
use pvect_core::{Error, ErrorKind, Result};
use serde::Serialize;

use crate::app::App;
use crate::args::Form;
use crate::render;

/// Runs the command.
pub fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("settings", words)?;
    match matches.subcommand_name() {
        Some("check") => check(app),
        Some("schema") => {
            let text = serde_json::to_string_pretty(&settings::schema()).unwrap_or_default();
            app.ui.print(text + "\n")?;
            Ok(0)
        }
        Some("migrate") => migrate(app),
        _ => show(app),
    }
}

fn show(app: &App) -> Result<u8> {
    // Unlike the others, this one cannot work with a wrong file.
    let loaded = settings::load(&app.sources())?;
    let entries = settings::entries(&loaded);
    let text =
        render::records(&app.ui.globals, app.form(Form::Table), &["key", "value", "origin"], &entries)?;
    app.ui.print(text)?;
    Ok(0)
}

#[derive(Debug, Serialize)]
struct Found {
    severity: &'static str,
    file: String,
    key: String,
    problem: String,
    fix: Option<String>,
}

fn check(app: &App) -> Result<u8> {
    let sources = app.sources();
    let form = app.form(Form::Table);
    let Some(file) = settings::find(&sources) else {
        let none: [Found; 0] = [];
        let text = match form {
            Form::Table | Form::Plain => "there is no settings file; the defaults are in force\n".to_owned(),
            _ => {
                render::records(&app.ui.globals, form, &["severity", "file", "key", "problem", "fix"], &none)?
            }
        };
        app.ui.print(text)?;
        return Ok(0);
    };
    let problems = settings::check(&file, &settings::read(&file)?);
    let failed = problems.iter().any(|problem| problem.severity == Severity::Error);
    if matches!(form, Form::Table | Form::Plain) {
        let text = if problems.is_empty() {
            format!("{}: no problems\n", file.display())
        } else {
            problems.iter().map(|problem| format!("{}: {problem}\n", word(problem.severity))).collect()
        };
        app.ui.print(text)?;
    } else {
        let list: Vec<Found> = problems
            .into_iter()
            .map(|problem| Found {
                severity: word(problem.severity),
                file: problem.file.display().to_string(),
                key: problem.key,
                problem: problem.what,
                fix: problem.fix,
            })
            .collect();
        let columns = ["severity", "file", "key", "problem", "fix"];
        app.ui.print(render::records(&app.ui.globals, form, &columns, &list)?)?;
    }
    Ok(if failed { ErrorKind::InvalidSettings.exit_status() } else { 0 })
}

fn word(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    }
}

fn migrate(app: &App) -> Result<u8> {
    let Some(file) = settings::find(&app.sources()) else {
        return Err(Error::Settings { what: "there is no settings file to migrate".to_owned() });
    };
    if app.ui.globals.dry_run {
        let mut value = settings::read(&file)?;
        let lines: String =
            settings::migrate(&mut value).iter().map(|change| format!("{change}\n")).collect();
        app.ui.print(lines)?;
        return Ok(0);
    }
    let done = settings::migrate_file(&file)?;
    let mut text: String = done.changes.iter().map(|change| format!("{change}\n")).collect();
    match &done.backup {
        Some(backup) => {
            text += &format!("{}: migrated; the old file is {}\n", file.display(), backup.display());
        }
        None => text += &format!("{}: already has the present form\n", file.display()),
    }
    app.ui.print(text)?;
    Ok(0)
}
