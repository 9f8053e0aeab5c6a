//! `pvect doctor`.

use pvect::doctor::{self, Verdict};
use pvect_core::Result;

use crate::app::App;
use crate::args::Form;
use crate::render;

/// Runs every check; the status is 1 when one failed.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    super::own_words("doctor", words)?;
    let client = app.client();
    let checks = doctor::run(&client, &app.loaded, &doctor::Host::default()).await;
    let form = app.form(Form::Table);
    let columns = ["verdict", "name", "detail", "mend"];
    app.ui.print(render::records(&app.ui.globals, form, &columns, &checks)?)?;
    Ok(u8::from(checks.iter().any(|check| check.verdict == Verdict::Fail)))
}
