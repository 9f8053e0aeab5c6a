//! `pvect pct ...`, a link named `pct`, `pvect node ...`, a link named `vzdump`, and the standalone node's internal
//! helpers.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::Write;

use pvect::Place;
use pvect_core::{Error, Result};
use pvect_node::ids::Moving;
use pvect_node::{Node, NodeResult, Output};

use crate::app::App;
use crate::args::Globals;
use crate::errors;
use crate::standalone::node;
use crate::ui::Ui;
use crate::visible::Visible;

/// `pvect pct ...`: global options before `pct` count.
pub fn pct(ui: &Ui, env: &BTreeMap<String, String>, words: &[String]) -> u8 {
    match node(ui, env) {
        Ok(node) => run(&node, words),
        Err(error) => errors::show(ui, &error),
    }
}

/// Called through a link named `pct`.
pub fn link(env: &BTreeMap<String, String>, words: &[OsString]) -> u8 {
    // Like the real vzdump, takes any bytes; text that is not UTF-8 fails where it is used.
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    pct(&Ui::new(Globals::default(), true), env, &words)
}

/// `pvect node vzdump ...`, and a link named `vzdump`.
pub fn vzdump(ui: &Ui, env: &BTreeMap<String, String>, words: &[String]) -> u8 {
    match node(ui, env) {
        Ok(node) => with_output(|output| pvect_node::backup::run(&node, words, output)),
        Err(error) => errors::show(ui, &error),
    }
}

/// `pvect node up|down|move-ids [CT...]`: exit status 1 when one of the containers could not be started, stopped or
/// moved.
///
/// # Errors
/// `Unsupported` on a node of Proxmox VE, which has a service of its own for that.
pub fn power(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("node", words)?;
    let Some((name, matches)) = matches.subcommand() else { return Ok(0) };
    match name {
        "network" => return super::network::run(app, matches),
        #[cfg(feature = "serve")]
        "serve" | "fingerprint" | "user" | "token" | "acl" => return super::serve::run(app, name, matches),
        #[cfg(not(feature = "serve"))]
        "serve" | "fingerprint" | "user" | "token" | "acl" => {
            return Err(super::left_out(&format!("node {name}")));
        }
        _ => {}
    }
    if !matches!(app.builder().connect()?.place(), Place::Standalone { .. }) {
        let what = if name == "move-ids" {
            "this is for the standalone node; on a node of Proxmox VE the ids 100000-165535 are the containers'"
        } else {
            "this is for the standalone node; on a node of Proxmox VE pve-guests.service starts and stops the \
             containers"
        };
        return Err(Error::Unsupported { what: what.to_owned(), vmid: None });
    }
    let mut only = Vec::new();
    for word in matches.get_many::<String>("ct").into_iter().flatten() {
        only.push(
            word.parse()
                .map_err(|error: pvect_core::id::InvalidId| Error::bad_argument("ct", error.to_string()))?,
        );
    }
    let node = node(&app.ui, &app.env)?;
    if name == "move-ids" {
        if only.is_empty() && !matches.get_flag("all") {
            return Err(Error::bad_argument("ct", "name the containers to move, or give --all"));
        }
        let to = matches.get_one("to").copied();
        let moving = Moving { to, only: (!matches.get_flag("all")).then_some(only) };
        return Ok(with_output(|output| exit_of(pvect_node::ids::move_ids(&node, &moving, output), output)));
    }
    let work = if name == "up" { pvect_node::boot::up } else { pvect_node::boot::down };
    Ok(with_output(|output| exit_of(work(&node, &only, output), output)))
}

/// The exit status of work on many containers, from the number of failures.
fn exit_of(done: NodeResult<usize>, output: &mut Output<'_>) -> u8 {
    match done {
        Ok(0) => 0,
        Ok(_) => 1,
        Err(failure) => {
            output.warn(&failure.text);
            failure.exit
        }
    }
}

/// Called through a link named `vzdump`.
pub fn vzdump_link(env: &BTreeMap<String, String>, words: &[OsString]) -> u8 {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    vzdump(&Ui::new(Globals::default(), true), env, &words)
}

/// `pvect __node ...`.
pub fn internal(words: &[OsString]) -> u8 {
    let words: Vec<String> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    pvect_node::internal::run(&words)
}

fn run(node: &Node, words: &[String]) -> u8 {
    with_output(|output| pvect_node::run_to_exit(node, words, output))
}

fn with_output(work: impl FnOnce(&mut Output<'_>) -> u8) -> u8 {
    let mut out = Visible::new(std::io::stdout().lock());
    let mut err = Visible::new(std::io::stderr().lock());
    let status = work(&mut Output::new(&mut out, &mut err));
    // A closed pipe is not an error of the command.
    let _ = out.flush();
    status
}
