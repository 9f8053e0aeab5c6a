//! Logging, as the settings say.

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use pvect::settings::{Loaded, LogFormat, LogLevel, Origin};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt::format::FmtSpan;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::ui::Ui;
use crate::visible::Visible;

type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

/// Starts logging: to stderr when an option or the environment asked for a level, to the file and the journal that the
/// settings name. If neither applies, nothing is set up.
pub fn start(ui: &Ui, loaded: &Loaded) {
    let runtime = &loaded.settings.runtime;
    let asked = match ui.globals.verbose {
        0 => None,
        1 => Some(LogLevel::Info),
        2 => Some(LogLevel::Debug),
        _ => Some(LogLevel::Trace),
    };
    let level = asked.unwrap_or(runtime.log_level);
    let origin = loaded.origins.get("runtime.log_level");
    let to_file = runtime.log_path.is_some();
    let to_stderr = match origin {
        Some(Origin::Option(_)) => true,
        Some(Origin::Env(_)) => !to_file,
        _ => asked.is_some(),
    };
    let mut layers: Vec<Boxed> = Vec::new();
    if to_stderr {
        let layer = tracing_subscriber::fmt::layer()
            .with_writer(|| Visible::new(std::io::stderr()))
            .with_ansi(false)
            .with_target(false)
            .with_span_events(FmtSpan::CLOSE);
        layers.push(layer.with_filter(filter(level)).boxed());
    }
    if let Some(path) = &runtime.log_path {
        match open(path) {
            Ok(file) => layers.push(file_layer(file, runtime.log_format, level)),
            Err(error) => ui.warning(&format!("cannot log to '{}': {error}", path.display())),
        }
    }
    if runtime.journald {
        match tracing_journald::layer() {
            Ok(layer) => layers.push(layer.with_filter(filter(level)).boxed()),
            Err(error) => ui.warning(&format!("cannot log to the journal: {error}")),
        }
    }
    if !layers.is_empty() {
        // This only fails if there is a subscriber already, and there is none.
        let _ = tracing_subscriber::registry().with(layers).try_init();
    }
}

fn filter(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}

fn file_layer(file: File, format: LogFormat, level: LogLevel) -> Boxed {
    let layer =
        tracing_subscriber::fmt::layer().with_ansi(false).with_span_events(FmtSpan::CLOSE).with_writer(file);
    match format {
        LogFormat::Text => layer.with_filter(filter(level)).boxed(),
        LogFormat::Json => layer.json().with_filter(filter(level)).boxed(),
    }
}

/// Opens the log file to append; only the user can read it, and a directory that is made for it.
fn open(path: &Path) -> std::io::Result<File> {
    if let Some(dir) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
    }
    OpenOptions::new().append(true).create(true).mode(0o600).open(path)
}
