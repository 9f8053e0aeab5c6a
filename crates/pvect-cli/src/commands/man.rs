//! `pvect man`: manual pages made from the command tree.

use std::path::Path;

use clap::Command;
use pvect_core::{Error, Result};

use crate::app::App;
use crate::args::tree::{self, Families};

/// Runs the command.
pub fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("man", words)?;
    if let Some(dir) = matches.get_one::<String>("dir") {
        return write_all(Path::new(dir));
    }
    let root = tree::root(Families::Bracketed);
    let command = match matches.get_one::<String>("command") {
        None => root,
        Some(name) => match root.find_subcommand(name) {
            Some(found) => named(found, &format!("pvect-{name}")),
            None => {
                return Err(Error::bad_argument("command", format!("there is no command '{name}'")));
            }
        },
    };
    app.ui.print(page(command)?)?;
    Ok(0)
}

fn named(command: &Command, name: &str) -> Command {
    command.clone().name(name.to_owned()).display_name(name.to_owned()).bin_name(name.replacen('-', " ", 1))
}

fn page(command: Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let failed = |source| Error::Io { what: "cannot make the manual page".to_owned(), source };
    clap_mangen::Man::new(command).render(&mut text).map_err(failed)?;
    Ok(text)
}

fn write_all(dir: &Path) -> Result<u8> {
    let failed = |path: &Path| {
        let what = format!("cannot write '{}'", path.display());
        move |source| Error::Io { what, source }
    };
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let root = tree::root(Families::Bracketed);
    let mut pages = vec![root.clone()];
    for command in root.get_subcommands() {
        pages.push(named(command, &format!("pvect-{}", command.get_name())));
    }
    for command in pages {
        let path = dir.join(format!("{}.1", command.get_name()));
        std::fs::write(&path, page(command)?).map_err(failed(&path))?;
    }
    Ok(0)
}
