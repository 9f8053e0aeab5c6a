//! Which command runs for what was typed.

use pvect_core::{Result, Verb};

use crate::app::App;
use crate::args::{Line, PctLine};
use crate::commands::{
    self, backup, bulk, clone, compare, completion, create, demo, doctor, help, inspect, interactive, ip,
    list, log, man, node, operate, settings, tasks, template, usage, version, watch,
};

/// Runs what was typed and returns the exit status.
pub async fn run(app: &App, line: Line) -> Result<u8> {
    match line {
        Line::Pct(line) => {
            if let Some(asked) = bulk::asked(&line)? {
                return bulk::run(app, asked).await;
            }
            verb(app, &line).await
        }
        Line::Own("settings", words) => settings::run(app, &words),
        Line::Own("doctor", words) => doctor::run(app, &words).await,
        Line::Own("ip", words) => ip::run(app, &words).await,
        Line::Own("watch", words) => watch::run(app, &words).await,
        #[cfg(feature = "top")]
        Line::Own("top", words) => commands::top::run(app, &words).await,
        Line::Own("tasks", words) => tasks::run(app, &words).await,
        Line::Own("log", words) => log::run(app, &words).await,
        #[cfg(feature = "image")]
        Line::Own("image", words) => commands::image::run(app, &words).await,
        #[cfg(not(feature = "image"))]
        Line::Own("image", _) => Err(commands::left_out("image")),
        Line::Own("template", words) => template::run(app, &words).await,
        Line::Own("compare", words) => compare::run(app, &words).await,
        Line::Own("demo", words) => demo::run(app, &words).await,
        Line::Own("completion", words) => completion::run(app, &words),
        Line::Own("man", words) => man::run(app, &words),
        Line::Own("backup", words) => backup::run(app, &words).await,
        Line::Own("node", words) => node::power(app, &words),
        Line::Own("version", words) => version::run(app, &words).await,
        #[cfg(not(feature = "top"))]
        Line::Own("top", _) => Err(commands::left_out("top")),
        Line::Own(..) | Line::Nothing | Line::NodePct(_) | Line::NodeVzdump(_) => help::overview(&app.ui),
    }
}

/// Runs a verb on one container, or on none.
async fn verb(app: &App, line: &PctLine) -> Result<u8> {
    match line.verb {
        Verb::List => list::run(app, line).await,
        Verb::Status => inspect::status(app, line).await,
        Verb::Config => inspect::config(app, line).await,
        Verb::Pending => inspect::pending(app, line).await,
        Verb::Listsnapshot => inspect::snapshots(app, line).await,
        Verb::Df | Verb::Cpusets => usage::run(app, line).await,
        Verb::Create | Verb::Restore => create::run(app, line).await,
        Verb::Clone => clone::run(app, line).await,
        Verb::Exec | Verb::Enter | Verb::Console => interactive::run(app, line).await,
        _ => operate::run(app, line).await,
    }
}
