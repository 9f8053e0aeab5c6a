//! What every example does first: settings as the command `pvect` has them, and a client.

use std::path::PathBuf;

use pvect::settings::{self, Sources};
use pvect::{Client, Result};

/// Connects to the node that `PVECT_*` variables and the settings file choose.
///
/// The library itself never reads the environment, so the program decides what of it counts. Where there is no
/// Proxmox VE, the command `pvect` is the node; it is looked for in `PATH`.
pub fn connect() -> Result<Client> {
    let sources = Sources { env: std::env::vars().collect(), ..Sources::default() };
    let builder = Client::builder(settings::load(&sources)?.settings);
    match in_path("pvect") {
        Some(program) => builder.standalone_program(program).connect(),
        None => builder.connect(),
    }
}

fn in_path(name: &str) -> Option<PathBuf> {
    std::env::split_paths(&std::env::var_os("PATH")?).map(|dir| dir.join(name)).find(|file| file.is_file())
}
