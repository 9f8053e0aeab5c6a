//! From the words of the command line to the exit status.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::Path;

use pvect_core::{Error, Result, Verb};

use crate::app::App;
use crate::args::{self, Globals, Line};
use crate::ui::Ui;
use crate::{commands, dispatch, errors, logging};

/// Runs the command line of this process and returns the exit status.
pub fn main() -> u8 {
    // Descriptors that the caller left open must not reach a container, or a program that we run.
    if let Err(error) = pvect_sys::child::close_on_exec() {
        Ui::new(Globals::default(), true).warning(&format!("the caller's open files are passed on: {error}"));
    }
    let mut words = std::env::args_os();
    let name = words.next().unwrap_or_default();
    let words: Vec<OsString> = words.collect();
    let env: BTreeMap<String, String> = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect();
    // Before anything else: these run often, and inside containers. Helpers first: they run through this program's
    // file, which may itself be named pct.
    if words.first().is_some_and(|word| word == "__node") {
        return commands::node::internal(&words[1..]);
    }
    if Path::new(&name).file_name().is_some_and(|name| name == "pct") {
        return commands::node::link(&env, &words);
    }
    if Path::new(&name).file_name().is_some_and(|name| name == "vzdump") {
        return commands::node::vzdump_link(&env, &words);
    }
    let no_color = env.get("NO_COLOR").is_some_and(|value| !value.is_empty());
    let mut globals = Globals::default();
    let line = match text(words) {
        Ok(words) => args::read(&words, &mut globals),
        Err(error) => Err(error),
    };
    let ui = Ui::new(globals, no_color);
    match line {
        Ok(line) => start(&ui, env, line),
        Err(error) => errors::show(&ui, &error),
    }
}

/// pct takes text; bytes that are not UTF-8 are refused rather than changed.
fn text(words: Vec<OsString>) -> Result<Vec<String>> {
    words
        .into_iter()
        .map(|word| {
            word.into_string().map_err(|word| {
                let text = format!("'{}' is not UTF-8", word.to_string_lossy());
                Error::bad_argument("arguments", text)
            })
        })
        .collect()
}

fn start(ui: &Ui, env: BTreeMap<String, String>, line: Line) -> u8 {
    if let Some(status) = commands::help::asked(ui, &line) {
        return finish(ui, status);
    }
    if let Line::NodePct(words) = &line {
        return commands::node::pct(ui, &env, words);
    }
    if let Line::NodeVzdump(words) = &line {
        return commands::node::vzdump(ui, &env, words);
    }
    let interactive = matches!(&line, Line::Pct(line) if is_interactive(line.verb));
    let mut near = Vec::new();
    let outcome = App::load(ui.clone(), env, &line).and_then(|app| {
        logging::start(&app.ui, &app.loaded);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|source| Error::Io { what: "cannot start".to_owned(), source })?;
        runtime.block_on(dispatch::run(&app, line)).inspect_err(|error| near = app.near(error))
    });
    let failed = outcome.is_err();
    let status = outcome.unwrap_or_else(|error| errors::show_with(ui, &error, near));
    // The status of exec is that of the command; docker and podman, too, use 125 for their own failures.
    if failed && interactive { 125 } else { status }
}

fn finish(ui: &Ui, outcome: Result<u8>) -> u8 {
    outcome.unwrap_or_else(|error| errors::show(ui, &error))
}

fn is_interactive(verb: Verb) -> bool {
    matches!(verb, Verb::Exec | Verb::Enter | Verb::Console)
}
