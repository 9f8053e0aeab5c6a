//! `pvect node network up|down|show`.

use clap::ArgMatches;
use pvect::Place;
use pvect_core::{Error, ErrorKind, Result};
use pvect_node::{Failure, FailureKind, Output, network};

use crate::app::App;
use crate::args::Form;
use crate::args::tree::NETWORK_KEYS;
use crate::render;
use crate::visible::Visible;

const COLUMNS: [&str; 7] = ["bridge", "state", "address", "ip6", "dhcp", "nat", "domain"];

/// Runs the command. `up` ends with 1 when the bridge exists, but one of its services does not run.
///
/// # Errors
/// `Unsupported` on a node of Proxmox VE.
pub fn run(app: &App, matches: &ArgMatches) -> Result<u8> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(0) };
    if !matches!(app.builder().connect()?.place(), Place::Standalone { .. }) {
        let what = "this is for the standalone node; the bridges of a node of Proxmox VE are set in \
                    /etc/network/interfaces";
        return Err(Error::Unsupported { what: what.to_owned(), vmid: None });
    }
    let node = crate::standalone::node(&app.ui, &app.env)?;
    let bridge = text(matches, "bridge");
    let mut out = Visible::new(std::io::stdout().lock());
    let mut err = Visible::new(std::io::stderr().lock());
    let mut output = Output::new(&mut out, &mut err);
    match name {
        "up" => {
            let keys = NETWORK_KEYS
                .iter()
                .filter_map(|(key, ..)| Some(((*key).to_owned(), text(matches, key)?.to_owned())));
            let keys: Vec<(String, String)> = keys.collect();
            let problems =
                network::up(&node, bridge, &keys, &mut output).map_err(|failure| failed(&failure))?;
            for problem in &problems {
                output.warn(format!("warning: {problem}"));
            }
            Ok(u8::from(!problems.is_empty()))
        }
        "down" => {
            network::down(&node, bridge, matches.get_flag("force"), &mut output)
                .map_err(|failure| failed(&failure))?;
            Ok(0)
        }
        _ => {
            drop(out);
            let states = network::states(&node).map_err(|failure| failed(&failure))?;
            app.ui.print(render::records(&app.ui.globals, app.form(Form::Table), &COLUMNS, &states)?)?;
            Ok(0)
        }
    }
}

fn text<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a str> {
    matches.try_get_one::<String>(name).ok().flatten().map(String::as_str)
}

fn failed(failure: &Failure) -> Error {
    let kind = match failure.kind {
        FailureKind::BadRequest { .. } => ErrorKind::InvalidArgument,
        _ => ErrorKind::PctOperationFailed,
    };
    Error::Failed { kind, message: failure.text.clone(), vmid: None, run: Box::default() }
}
