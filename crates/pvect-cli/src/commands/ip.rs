//! `pvect ip CONTAINER`: the addresses under which others can reach it.

use std::net::IpAddr;

use pvect_core::error::Run;
use pvect_core::{Error, ErrorKind, Result, Vmid};
use serde::Serialize;

use crate::app::App;
use crate::args::Form;
use crate::render;

const COLUMNS: [&str; 3] = ["net", "ip", "prefix"];

/// One address, for programs.
#[derive(Debug, Serialize)]
struct Record {
    net: String,
    ip: IpAddr,
    prefix: u8,
}

/// Runs the command. By default it prints the addresses alone, one a line.
///
/// # Errors
/// `NotRunning`; `PctOperationFailed` when there is no such address.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("ip", words)?;
    let word = matches.get_one::<String>("container").map(String::as_str).unwrap_or_default();
    let (only_v4, only_v6) = (matches.get_flag("4"), matches.get_flag("6"));
    let client = app.client()?;
    let vmid = client.resolve(word).await?;
    let found = client.addresses(vmid)?;
    let wanted = found.list.iter().filter(|one| if one.ip.is_ipv4() { !only_v6 } else { !only_v4 });
    let records: Vec<Record> =
        wanted.map(|one| Record { net: format!("net{}", one.net), ip: one.ip, prefix: one.prefix }).collect();
    if found.more {
        app.ui.warning(&format!("container {vmid} has more addresses than are shown"));
    }
    if records.is_empty() {
        let kind = if only_v4 {
            "IPv4 address"
        } else if only_v6 {
            "IPv6 address"
        } else {
            "address"
        };
        return Err(none(vmid, kind));
    }
    let globals = &app.ui.globals;
    let shaped = globals.columns.is_some() || globals.sort.is_some();
    match app.form(if shaped { Form::Table } else { Form::Plain }) {
        Form::Plain if !shaped => {
            app.ui.print(records.iter().map(|one| format!("{}\n", one.ip)).collect::<String>())?;
        }
        form => app.ui.print(render::records(globals, form, &COLUMNS, &records)?)?,
    }
    Ok(0)
}

fn none(vmid: Vmid, kind: &str) -> Error {
    let message = format!(
        "container {vmid} has no {kind} on its own interfaces now: if it waits for DHCP, try again in a moment; \
         `pvect exec {vmid} -- ip address` shows all that it has"
    );
    let kind = ErrorKind::PctOperationFailed;
    Error::Failed { kind, message, vmid: Some(vmid), run: Box::new(Run::default()) }
}
