//! Verbs of pct that change something, and those whose output is passed on as it is.

use pvect::Client;
use pvect::client::Builder;
use pvect_core::call::{MASK, shell_quoted};
use pvect_core::{Call, CheckedCall, Outcome, Result, Verb, Vmid};
use secrecy::SecretString;
use serde::Serialize;

use crate::app::App;
use crate::args::{Form, Given, PctLine, is_name};
use crate::commands::careful;
use crate::progress::{LogTo, Progress};
use crate::{passwords, render};

/// The result of an operation, for forms such as `--output json`.
#[derive(Debug, Serialize)]
pub struct Done<'a> {
    /// The verb.
    pub verb: &'a str,
    /// The container.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub vmid: Option<u32>,
    /// pct's warnings.
    pub warnings: &'a [String],
    /// What pct printed.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub output: String,
}

/// Runs the verb.
pub async fn run(app: &App, line: &PctLine) -> Result<u8> {
    let (line, manner) = careful::prepare(app, line)?;
    let (client, call) = begin(app, &line).await?;
    if app.ui.globals.dry_run {
        return dry_run(app, &client, &call);
    }
    let form = app.form(Form::Table);
    let mut progress = Progress::new(&app.ui, &call, log_to(app, &call));
    let outcome = client.carry_out_checked(&call, &manner, &mut progress).await?;
    drop(progress);
    finish(app, &call, &outcome)?;
    if matches!(form, Form::Json | Form::Yaml | Form::Csv) {
        let done = Done {
            verb: call.verb().name(),
            vmid: call.vmid().map(|vmid| vmid.get()),
            warnings: &outcome.warnings,
            output: String::from_utf8_lossy(&outcome.stdout).into_owned(),
        };
        app.ui.print(render::record(&app.ui.globals, form, &done)?)?;
    }
    Ok(0)
}

/// Where the lines of pct's stdout go, which are the log of a task or the result.
pub fn log_to(app: &App, call: &Call) -> LogTo {
    let is_log = call.verb().spec().task.is_some();
    match app.form(Form::Table) {
        Form::Json | Form::Yaml | Form::Csv => LogTo::Nowhere,
        Form::Plain => LogTo::Stdout,
        Form::Table if !is_log => LogTo::Stdout,
        Form::Table if app.ui.globals.quiet => LogTo::Nowhere,
        Form::Table => LogTo::Stderr,
    }
}

/// Shows the warnings of a run that ended well.
pub fn finish(app: &App, call: &Call, outcome: &Outcome) -> Result<()> {
    if !app.ui.json_errors() {
        outcome.warnings.iter().for_each(|line| app.ui.warning(line));
    }
    tracing::debug!(verb = call.verb().name(), warnings = outcome.warnings.len(), "done");
    Ok(())
}

/// Prints the command that would run.
pub fn dry_run(app: &App, client: &Client, call: &Call) -> Result<u8> {
    app.ui.print(shell_quoted(&client.command_line(call)) + "\n")?;
    let further = call.get("env").into_iter().flat_map(|text| text.split('\0').skip(1));
    for entry in further {
        app.ui.print(format!(
            "# then written into the configuration file: lxc.environment.runtime: {entry}\n"
        ))?;
    }
    Ok(0)
}

/// Makes the client and the call from the command line: values are checked first, then passwords read, then the node is
/// connected and the container's name looked up.
///
/// # Errors
/// Every value that breaks the schema; a name that means no container or more than one.
pub async fn begin(app: &App, line: &PctLine) -> Result<(Client, CheckedCall)> {
    begin_with(app, line, |builder| builder).await
}

/// As [`begin`], after `adjust` has changed the builder.
///
/// # Errors
/// As [`begin`].
pub async fn begin_with(
    app: &App,
    line: &PctLine,
    adjust: impl FnOnce(Builder) -> Builder,
) -> Result<(Client, CheckedCall)> {
    let spec = line.verb.spec();
    // The container that create and restore make has no name yet.
    let names_one = spec.takes_vmid() && !matches!(line.verb, Verb::Create | Verb::Restore);
    let named = line.args.first().filter(|word| names_one && is_name(word));
    let mut args = line.args.clone();
    if let Some(first) = args.first_mut().filter(|_| named.is_some()) {
        // Any number will do until the name is known.
        Vmid::MIN.to_string().clone_into(first);
    }
    let mut call = checked(app, with_options(assemble(line.verb, &args, &line.rest), line))?;
    let secrets = secrets(app, line)?;
    // From here on Ctrl-C stops what runs; at a prompt it just ends the program.
    let client = app.connect(adjust)?;
    if let Some(name) = named {
        call = call.with_vmid(0, client.resolve(name).await?);
    }
    if let Some(name) = named_option(line) {
        let vmid = client.resolve(name).await?;
        call = call.adjusted(|call| call.option("vmid", vmid.to_string()))?;
    }
    if !secrets.is_empty() {
        call = call.adjusted(|call| {
            secrets.into_iter().fold(call, |call, (name, secret)| call.secret(name, secret))
        })?;
    }
    Ok((client, call))
}

/// The container that `rescan --vmid` names by its host name.
fn named_option(line: &PctLine) -> Option<&str> {
    line.options.iter().find_map(|(name, given)| match given {
        Given::Text(text) if line.verb == Verb::Rescan && name == "vmid" && is_name(text) => {
            Some(text.as_str())
        }
        _ => None,
    })
}

/// Reads the passwords. A dry run asks for none.
fn secrets(app: &App, line: &PctLine) -> Result<Vec<(String, SecretString)>> {
    let asked = line.options.iter().filter(|(_, given)| !matches!(given, Given::Text(_)));
    asked
        .map(|(name, given)| match given {
            _ if app.ui.globals.dry_run => Ok((name.clone(), MASK.to_owned().into())),
            given => Ok((name.clone(), passwords::read(&app.ui, given)?)),
        })
        .collect()
}

pub(super) fn assemble(verb: Verb, args: &[String], rest: &[String]) -> Call {
    let call = args.iter().fold(Call::new(verb), |call, arg| call.arg(arg.clone()));
    match verb {
        Verb::Exec => call.command(rest.to_vec()),
        _ => call.passthrough(rest.to_vec()),
    }
}

pub(super) fn with_options(call: Call, line: &PctLine) -> Call {
    line.options.iter().fold(call, |call, (name, given)| match given {
        Given::Text(text) if !(line.verb == Verb::Rescan && name == "vmid" && is_name(text)) => {
            call.option(name.clone(), text.clone())
        }
        _ => call,
    })
}

/// Checks the values and puts them into canonical form, unless `--no-check` leaves that to pct.
pub fn checked(app: &App, call: Call) -> Result<CheckedCall> {
    CheckedCall::with_strictness(call, !app.ui.globals.no_check)
}
