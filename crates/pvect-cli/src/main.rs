//! The command `pvect`: containers of Proxmox VE, and of the standalone node.

mod app;
mod args;
mod commands;
mod errors;
mod hints;
mod logging;
mod passwords;
mod progress;
mod render;
mod ui;
mod visible;

fn main() -> std::process::ExitCode {
    app::main().into()
}
