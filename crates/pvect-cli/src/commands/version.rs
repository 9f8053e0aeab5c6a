//! `pvect version`, `pvect --version`.

use pvect_core::Result;
use serde::Serialize;

use crate::app::App;
use crate::args::Form;
use crate::render;
use crate::ui::Ui;

#[derive(Debug, Serialize)]
struct Versions {
    pvect: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pct: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pct_path: Option<String>,
}

/// `--version`: one line.
pub fn short(ui: &Ui) -> Result<u8> {
    ui.print(format!("pvect {}\n", env!("CARGO_PKG_VERSION")))?;
    Ok(0)
}

/// `version`: also pct's version.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    super::own_words("version", words)?;
    let mut versions = Versions { pvect: env!("CARGO_PKG_VERSION"), pct: None, pct_path: None };
    if let Ok(client) = app.client() {
        versions.pct = pvect::doctor::pct_version(&client).await;
        versions.pct_path = Some(client.program().display().to_string());
    }
    app.ui.print(render::record(&app.ui.globals, app.form(Form::Plain), &versions)?)?;
    Ok(0)
}
