//! `pvect help`, `pvect VERB --help`, `pvect help errors`, `pvect help traps`.

use clap::Command;
use pvect::traps::TRAPS;
use pvect_core::schema::VERBS;
use pvect_core::{ErrorKind, Result, Verb};
use serde::Serialize;

use crate::args::tree::{self, Families};
use crate::args::{Form, Line};
use crate::render;
use crate::ui::Ui;

/// Answers what needs no node: help in all its forms, and `--version`.
pub fn asked(ui: &Ui, line: &Line) -> Option<Result<u8>> {
    let names: Vec<String> = match line {
        _ if ui.globals.version => return Some(crate::commands::version::short(ui)),
        Line::Own("help", words) => words.iter().filter(|word| !word.starts_with('-')).cloned().collect(),
        Line::Nothing if ui.globals.help => Vec::new(),
        Line::Nothing => return Some(overview(ui)),
        Line::Pct(line) if ui.globals.help => vec![line.verb.name().to_owned()],
        Line::Own(name, words) if ui.globals.help => {
            let nested = words.iter().take(1).filter(|word| !word.starts_with('-')).cloned();
            std::iter::once((*name).to_owned()).chain(nested).collect()
        }
        _ => return None,
    };
    Some(match names.first().map(String::as_str) {
        None => of(ui, tree::root(Families::Bracketed)).map(|_| 0),
        Some("errors") => errors(ui),
        Some("traps") => traps(ui),
        Some(first) => find(ui, first, names.get(1).map(String::as_str)),
    })
}

/// The whole overview, for nothing typed: on stderr, as a usage error.
pub fn overview(ui: &Ui) -> Result<u8> {
    let text = tree::root(Families::Bracketed).render_help().to_string();
    ui.note(text.trim_end());
    Ok(ErrorKind::InvalidArgument.exit_status())
}

fn find(ui: &Ui, name: &str, nested: Option<&str>) -> Result<u8> {
    let verb = Verb::from_name(name).filter(|verb| *verb != Verb::Help);
    let command = match verb {
        Some(verb) => Some(tree::verb(verb.spec(), Families::Bracketed)),
        None => tree::root(Families::Bracketed).find_subcommand(name).cloned(),
    };
    let Some(command) = command else {
        let known = VERBS.iter().map(|spec| spec.name).chain(["errors", "traps", "settings", "doctor"]);
        let near =
            pvect::nearest(name, known).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
        let text = format!("there is no help for '{name}'{near}");
        return Err(pvect_core::Error::bad_argument("command", text));
    };
    let inner = nested.and_then(|nested| command.find_subcommand(nested).cloned());
    match inner {
        Some(inner) => of(ui, inner.bin_name(format!("pvect {name} {}", nested.unwrap_or_default()))),
        None => of(ui, command.bin_name(format!("pvect {name}"))),
    }
}

fn of(ui: &Ui, mut command: Command) -> Result<u8> {
    let help = command.render_help();
    let text = if ui.colored_out() { help.ansi().to_string() } else { help.to_string() };
    ui.print_styled(&(text.trim_end().to_owned() + "\n"))?;
    Ok(0)
}

#[derive(Debug, Serialize)]
struct Kind {
    kind: &'static str,
    exit: u8,
    when: &'static str,
}

/// `pvect help errors`.
fn errors(ui: &Ui) -> Result<u8> {
    let kinds: Vec<Kind> = ErrorKind::ALL
        .iter()
        .map(|kind| Kind { kind: kind.as_str(), exit: kind.exit_status(), when: kind.meaning() })
        .collect();
    let form = ui.form(Form::Table);
    let mut text = render::records(&ui.globals, form, &["kind", "exit", "when"], &kinds)?;
    if matches!(form, Form::Table | Form::Plain) {
        text += "\nexec, enter and console hand the command's own status through; pvect's own failure there is 125.\n";
    }
    ui.print(text)?;
    Ok(0)
}

/// `pvect help traps`.
fn traps(ui: &Ui) -> Result<u8> {
    let form = ui.form(Form::Table);
    if !matches!(form, Form::Table | Form::Plain) {
        ui.print(render::records(&ui.globals, form, &["id", "pct", "pvect"], &TRAPS)?)?;
        return Ok(0);
    }
    let text: Vec<String> = TRAPS
        .iter()
        .map(|trap| format!("{}\n  pct:   {}\n  pvect: {}\n", trap.id, trap.pct, trap.pvect))
        .collect();
    ui.print(text.join("\n"))?;
    Ok(0)
}
