//! The command `pvect`: containers of Proxmox VE, and of the standalone node.

mod app;
mod args;
mod commands;
mod dispatch;
mod errors;
mod hints;
mod interrupt;
mod logging;
mod passwords;
mod progress;
mod render;
mod standalone;
mod start;
mod ui;
mod visible;

fn main() -> std::process::ExitCode {
    start::main().into()
}
