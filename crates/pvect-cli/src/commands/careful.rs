//! The options that pvect adds to verbs, and what is asked on a terminal before a verb runs.

use std::io::{BufRead, IsTerminal};

use pvect::Manner;
use pvect::client::bytes_in_doubt;
use pvect_core::call::MASK;
use pvect_core::{Error, Result, Verb};
use secrecy::{ExposeSecret, SecretString};

use crate::app::App;
use crate::args::{self, Given, PctLine};
use crate::passwords;

/// Reads the options that pvect adds; if needed, asks what a size means and reads the token.
///
/// # Errors
/// For options that exclude each other; when the token cannot be read.
pub fn prepare(app: &App, line: &PctLine) -> Result<(PctLine, Manner)> {
    let mut line = line.clone();
    if line.has_extra("verify") && line.has_extra("no-verify") {
        return Err(Error::bad_option("no-verify", "excludes --verify"));
    }
    let manner = Manner {
        force: line.has_extra("force"),
        mount: line.has_extra("mount"),
        wait: !line.has_extra("no-wait"),
        bytes: line.has_extra("bytes"),
        verify: !line.has_extra("no-verify"),
        recursive: line.has_extra("recursive"),
        fill: line.has_extra("fill"),
        if_changed: line.has_extra("if-changed"),
        token_in_argv: line.has_extra("allow-token-in-argv"),
    };
    match line.verb {
        Verb::Resize if !manner.bytes => ask_size(app, &mut line)?,
        Verb::RemoteMigrate => {
            same_number(&mut line);
            token(app, &mut line)?;
        }
        _ => {}
    }
    Ok((line, manner))
}

/// On a terminal, asks what a plain number means; elsewhere the library refuses it.
fn ask_size(app: &App, line: &mut PctLine) -> Result<()> {
    let Some(size) = line.args.get_mut(2) else { return Ok(()) };
    let Some(gib) = bytes_in_doubt(size) else { return Ok(()) };
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() || app.ui.globals.dry_run {
        return Ok(());
    }
    let failed = |source| Error::Io { what: "cannot ask on the terminal".to_owned(), source };
    app.ui.ask(&format!("'{size}' is a number of bytes to pct. Is {gib} (GiB) meant?"))?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer).map_err(failed)?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        *size = gib;
    }
    Ok(())
}

/// pct requires the number in the other cluster, although it calls the argument optional.
fn same_number(line: &mut PctLine) {
    let [vmid, endpoint] = line.args.as_slice() else { return };
    if endpoint.contains("host=") && !args::is_name(vmid) {
        let vmid = vmid.clone();
        line.args.insert(1, vmid);
    }
}

/// Puts the token from a file or from stdin into the endpoint.
fn token(app: &App, line: &mut PctLine) -> Result<()> {
    let given = match (line.extra("token-file"), line.has_extra("token-stdin")) {
        (Some(_), true) => return Err(Error::bad_option("token-file", "excludes --token-stdin")),
        (Some(file), false) => Given::File(file.to_owned()),
        (None, true) => Given::Stdin,
        (None, false) => return Ok(()),
    };
    let Some(endpoint) = line.args.last_mut() else { return Ok(()) };
    if endpoint.split(',').any(|part| part.starts_with("apitoken=")) {
        return Err(Error::bad_option("token-file", "the endpoint already has an apitoken"));
    }
    let token: SecretString = match app.ui.globals.dry_run {
        true => MASK.to_owned().into(),
        false => passwords::read(&app.ui, &given)?,
    };
    if token.expose_secret().contains(',') {
        return Err(Error::bad_option("token-file", "a token cannot contain a comma"));
    }
    // Tokens are shown and stored in both forms.
    let bare = token.expose_secret().strip_prefix("PVEAPIToken=").unwrap_or(token.expose_secret());
    *endpoint += &format!(",apitoken=PVEAPIToken={bare}");
    Ok(())
}
