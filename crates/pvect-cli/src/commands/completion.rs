//! `pvect completion bash|zsh|fish`.

use clap_complete::Shell;
use pvect_core::Result;

use crate::app::App;
use crate::args::tree::{self, Families};

/// Runs the command.
pub fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("completion", words)?;
    let shell = match matches.get_one::<String>("shell").map(String::as_str) {
        Some("zsh") => Shell::Zsh,
        Some("fish") => Shell::Fish,
        _ => Shell::Bash,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut tree::root(Families::First), "pvect", &mut text);
    app.ui.print(text)?;
    Ok(0)
}
