//! `pvect help`, `pvect COMMAND --help`, `pvect help options`, `pvect help errors`, `pvect help traps`.

use std::fmt::Write;

use clap::Command;
use clap::builder::StyledStr;
use clap::builder::styling::Style;
use pvect::traps::TRAPS;
use pvect_core::schema::VERBS;
use pvect_core::{Error, ErrorKind, Result, Verb};
use serde::Serialize;

use crate::args::groups::GROUPS;
use crate::args::tree::{self, Families};
use crate::args::{Form, Line};
use crate::render;
use crate::ui::Ui;

/// The end of every command's page.
const MORE: &str =
    "`pvect help options` lists the options that every command takes, such as --output and --dry-run.";

/// The end of the overview.
const MORE_OF_ALL: &str = "Most commands take many containers: 101 102, 'web*', @TAG, all.\n\
                           `pvect COMMAND --help` explains a command.\n\
                           `pvect help options` lists the options that every command takes,\n\
                           `pvect help errors` the kinds of errors and the exit statuses.";

/// How wide the overview is; its texts begin at [`INDENT`].
const WIDTH: usize = 80;
const INDENT: usize = 18;

/// Answers what does not need a node: help in all its forms, and `--version`.
pub fn asked(ui: &Ui, line: &Line) -> Option<Result<u8>> {
    let names: Vec<String> = match line {
        _ if ui.globals.version => return Some(crate::commands::version::short(ui)),
        Line::Own("help", words) if ui.globals.help && words.is_empty() => vec!["help".to_owned()],
        Line::Own("help", words) => words.iter().filter(|word| !word.starts_with('-')).cloned().collect(),
        Line::Nothing if ui.globals.help => Vec::new(),
        Line::Nothing => return Some(overview(ui)),
        Line::Pct(line) if ui.globals.help => vec![line.verb.name().to_owned()],
        Line::Own(name, words) if ui.globals.help => nested(name, words),
        _ => return None,
    };
    Some(match names.first().map(String::as_str) {
        None => show(ui, root()).map(|()| 0),
        Some("errors") => errors(ui),
        Some("traps") => traps(ui),
        Some("options") => show(ui, tree::options()).map(|()| 0),
        Some(_) => find(&names).and_then(|command| page(ui, command)).map(|()| 0),
    })
}

/// The whole overview, if nothing was typed: on stderr, as a usage error.
pub fn overview(ui: &Ui) -> Result<u8> {
    let text = root().render_help().to_string();
    ui.note(text.trim_end());
    Ok(ErrorKind::InvalidArgument.exit_status())
}

/// The overview: the commands in their groups.
fn root() -> Command {
    let root = tree::root(Families::Bracketed);
    let heading = Style::new().bold().underline();
    let literal = Style::new().bold();
    let mut text = String::new();
    for (group, names) in GROUPS {
        let _ = writeln!(text, "{heading}{group}:{heading:#}");
        for name in names {
            let about = root.find_subcommand(name).and_then(Command::get_about);
            let about = about.map(ToString::to_string).unwrap_or_default();
            let about = wrapped(&about).join(&format!("\n{:INDENT$}", ""));
            let _ = writeln!(text, "  {literal}{name:<14}{literal:#}  {about}");
        }
        text.push('\n');
    }
    text.push_str(MORE_OF_ALL);
    let template = "{about-with-newline}\n{usage-heading} {usage}{after-help}";
    root.help_template(template).after_help(StyledStr::from(text))
}

/// Breaks a text into lines for the right part of the overview.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ') {
        match lines.last_mut().filter(|line| line.len() + word.len() < WIDTH - INDENT) {
            Some(line) => *line += &format!(" {word}"),
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// The commands that words name, from the outermost in.
fn nested(name: &str, words: &[String]) -> Vec<String> {
    let mut names = vec![name.to_owned()];
    for word in words {
        names.push(word.clone());
        if find(&names).is_err() {
            names.pop();
            break;
        }
    }
    names
}

/// Finds a command by its names, from the outermost in.
///
/// # Errors
/// `InvalidArgument`, with the nearest name.
pub fn find(names: &[String]) -> Result<Command> {
    let root = tree::root(Families::Bracketed);
    let mut path = String::from("pvect");
    let mut command = root;
    for name in names {
        let inner = match Verb::from_name(name).filter(|verb| path == "pvect" && *verb != Verb::Help) {
            Some(verb) => Some(tree::verb(verb.spec(), Families::Bracketed)),
            None => command.find_subcommand(name).cloned(),
        };
        let Some(inner) = inner else { return Err(unknown(&names.join(" "), name, &command)) };
        path = format!("{path} {}", inner.get_name());
        command = inner.bin_name(&path).display_name(path.replace(' ', "-"));
    }
    Ok(command)
}

fn unknown(asked: &str, name: &str, within: &Command) -> Error {
    let verbs = VERBS.iter().map(|spec| spec.name).chain(["errors", "traps", "options"]);
    let inner: Vec<&str> = within.get_subcommands().map(Command::get_name).collect();
    let is_outermost = within.get_name() == "pvect";
    let known = verbs.filter(|_| is_outermost).chain(inner.iter().copied());
    let near =
        pvect::nearest(name, known).map(|near| format!("; did you mean '{near}'?")).unwrap_or_default();
    let text = format!("there is no help for '{asked}'{near}");
    Error::bad_argument("command", text)
}

/// The page of one command.
fn page(ui: &Ui, command: Command) -> Result<()> {
    show(ui, tree::without_globals(command).after_help(MORE))
}

fn show(ui: &Ui, mut command: Command) -> Result<()> {
    let help = command.render_help();
    let text = if ui.colored_out() { help.ansi().to_string() } else { help.to_string() };
    ui.print_styled(&(text.trim_end().to_owned() + "\n"))
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
