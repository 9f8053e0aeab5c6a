//! `pvect demo [--fast] [--keep]`: the whole life of three containers, on a separate standalone node.
//!
//! Everything is below one directory, which is removed at the end: after the last step, after a failed one, and
//! after Ctrl-C.

mod stage;
mod steps;

use std::time::Instant;

use pvect_core::{Error, Result};

use crate::app::App;
use stage::Stage;
use steps::Steps;

/// Runs the demo.
pub async fn run(app: &App, words: &[String]) -> Result<u8> {
    let matches = super::own_words("demo", words)?;
    let (fast, keep) = (matches.get_flag("fast"), matches.get_flag("keep"));
    if !rustix::process::geteuid().is_root() {
        return Err(Error::PermissionDenied {
            what: "only root can run containers, and this is not root".to_owned(),
        });
    }
    let started = Instant::now();
    let stage = Stage::set(app)?;
    let outcome = Steps::new(app, &stage, fast).run(keep).await;
    if keep && outcome.is_ok() {
        let root = stage.root().display();
        let mut text = format!(
            "\nEverything is still there. To look around:\n    pvect --root {root} list\nTo remove it:\n"
        );
        for vmid in steps::VMIDS {
            text += &format!("    pvect --root {root} destroy {vmid} --force\n");
        }
        if stage.network().is_some() {
            text += &format!("    pvect --root {root} node network down\n");
        }
        app.ui.print(text + &format!("    rm -r {root}\n"))?;
        return Ok(0);
    }
    // Clean up whatever happened, even after Ctrl-C.
    let left = stage.clear().await;
    outcome?;
    if !left.is_empty() {
        left.iter().for_each(|line| app.ui.warning(line));
        return Ok(1);
    }
    app.ui.print(format!(
        "\nAll done in {:.1} s, and nothing is left behind.\n",
        started.elapsed().as_secs_f64()
    ))?;
    Ok(0)
}
