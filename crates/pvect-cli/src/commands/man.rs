//! `pvect man`: manual pages made from the command tree.

use std::path::Path;

use clap::Command;
use pvect_core::{Error, Result};

use crate::app::App;
use crate::args::groups::GROUPS;
use crate::args::tree::{self, Families};

/// Runs the command.
pub fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("man", words)?;
    if let Some(dir) = matches.get_one::<String>("dir") {
        return write_all(Path::new(dir));
    }
    let names: Vec<String> = matches.get_many("command").into_iter().flatten().cloned().collect();
    app.ui.print(match names.is_empty() {
        true => overview(&tree::root(Families::Bracketed))?,
        false => page(super::help::find(&names)?)?,
    })?;
    Ok(0)
}

/// The page of pvect: its commands in their groups, then the options that every command takes.
fn overview(root: &Command) -> Result<Vec<u8>> {
    let failed = |source| Error::Io { what: "cannot make the manual page".to_owned(), source };
    let mut text = Vec::new();
    let man = clap_mangen::Man::new(root.clone());
    man.render_title(&mut text).map_err(failed)?;
    man.render_name_section(&mut text).map_err(failed)?;
    man.render_synopsis_section(&mut text).map_err(failed)?;
    man.render_description_section(&mut text).map_err(failed)?;
    for (group, names) in GROUPS {
        let commands = names.iter().filter_map(|name| root.find_subcommand(name)).cloned();
        let commands = commands.enumerate().map(|(place, command)| command.display_order(place));
        let part = Command::new("pvect")
            .disable_help_subcommand(true)
            .subcommand_help_heading(group.to_uppercase())
            .subcommands(commands);
        clap_mangen::Man::new(part).render_subcommands_section(&mut text).map_err(failed)?;
    }
    man.render_options_section(&mut text).map_err(failed)?;
    man.render_version_section(&mut text).map_err(failed)?;
    Ok(text)
}

/// The page of one command.
fn page(command: Command) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let failed = |source| Error::Io { what: "cannot make the manual page".to_owned(), source };
    let name = command.get_display_name().unwrap_or_default().to_owned();
    clap_mangen::Man::new(command.name(name)).render(&mut text).map_err(failed)?;
    Ok(text)
}

fn write_all(dir: &Path) -> Result<u8> {
    let failed = |path: &Path| {
        let what = format!("cannot write '{}'", path.display());
        move |source| Error::Io { what, source }
    };
    std::fs::create_dir_all(dir).map_err(failed(dir))?;
    let root = tree::root(Families::Bracketed);
    let path = dir.join("pvect.1");
    std::fs::write(&path, overview(&root)?).map_err(failed(&path))?;
    let mut waiting: Vec<Vec<String>> =
        root.get_subcommands().map(|one| vec![one.get_name().to_owned()]).collect();
    while let Some(names) = waiting.pop() {
        let command = super::help::find(&names)?;
        for inner in command.get_subcommands() {
            waiting.push(names.iter().cloned().chain([inner.get_name().to_owned()]).collect());
        }
        let path = dir.join(format!("pvect-{}.1", names.join("-")));
        std::fs::write(&path, page(command)?).map_err(failed(&path))?;
    }
    Ok(0)
}
