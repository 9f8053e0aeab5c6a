//! `pvect create [VMID] TEMPLATE`, `pvect restore [VMID] BACKUP`.

use pvect_core::{Call, Error, Outcome, Result, Vmid};
use serde::Serialize;

use crate::app::App;
use crate::args::{self, Form, PctLine};
use crate::commands::{careful, operate};
use crate::progress::Progress;
use crate::render;

#[derive(Debug, Serialize)]
struct Created<'a> {
    vmid: u32,
    warnings: &'a [String],
}

/// Runs the command. Without a number, or with `next`, the next free one is taken, and printed to stdout.
pub async fn run(app: &App, line: &PctLine) -> Result<u8> {
    let mut line = line.clone();
    let numbered = match line.args.as_slice() {
        [only] => !args::is_name(only),
        // pct does not know `next`; here it means the same as no number.
        [first, _, ..] if first == "next" => {
            line.args.remove(0);
            false
        }
        _ => true,
    };
    let (mut line, manner) = careful::prepare(app, &line)?;
    if !numbered {
        // Check the call with any number; the real one comes later.
        line.args.insert(0, Vmid::MIN.to_string());
    }
    let (client, call) = operate::begin(app, &line).await?;
    let call = match line.extra("trust-config").map(trusts).transpose()? {
        Some(trusts) => call.with_passthrough(["--trust-config".to_owned(), u8::from(trusts).to_string()]),
        None => call,
    };
    let given = call.vmid().filter(|_| numbered);
    if app.ui.globals.dry_run {
        let vmid = match given {
            Some(vmid) => vmid,
            None => client.next_free_vmid().await?,
        };
        return operate::dry_run(app, &client, &call.with_vmid(0, vmid));
    }
    let mut progress = Progress::new(&app.ui, &call, operate::log_to(app, &call));
    let (vmid, outcome) = match given {
        Some(vmid) => (vmid, client.carry_out_checked(&call, &manner, &mut progress).await?),
        None => {
            let of = |vmid| call.clone().with_vmid(0, vmid);
            client.with_free_number(of, &manner, &mut progress).await?
        }
    };
    drop(progress);
    tell(app, &call, vmid, &outcome, numbered)
}

/// Reads the value of `--trust-config`.
fn trusts(text: &str) -> Result<bool> {
    pvect_core::property::boolean(text).ok_or_else(|| {
        let text = format!("'{text}' is not 0 or 1");
        Error::bad_option("trust-config", text)
    })
}

/// Reports what was made: its number, if that was not given.
pub(super) fn tell(app: &App, call: &Call, vmid: Vmid, outcome: &Outcome, numbered: bool) -> Result<u8> {
    operate::finish(app, call, outcome)?;
    match app.form(Form::Table) {
        form @ (Form::Json | Form::Yaml | Form::Csv) => {
            let created = Created { vmid: vmid.get(), warnings: &outcome.warnings };
            app.ui.print(render::record(&app.ui.globals, form, &created)?)?;
        }
        Form::Table if !numbered => app.ui.print(format!("{vmid}\n"))?,
        _ => {}
    }
    Ok(0)
}
