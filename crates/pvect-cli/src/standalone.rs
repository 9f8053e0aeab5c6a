//! The standalone node of the settings, or of a client: made only here.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use pvect::Place;
use pvect::client::{DEFAULT_ROOT, host_name};
use pvect::settings::{self, Sources};
use pvect_core::{Error, NodeName, Result};
use pvect_node::layout::real_root;
use pvect_node::{Layout, Node};

use crate::app::App;
use crate::ui::Ui;

/// Makes the node of the settings and the environment.
///
/// # Errors
/// When the settings are wrong or the host's name is not a node's name.
pub fn node(ui: &Ui, env: &BTreeMap<String, String>) -> Result<Node> {
    let set = |name: &str| env.get(name).filter(|value| !value.is_empty());
    let (root, name) = match (set("PVECT_ROOT"), set("PVECT_NODE"), ui.globals.overrides.as_slice()) {
        // Root and name are given, so no file needs to be read.
        (Some(root), Some(name), []) => {
            (Some(PathBuf::from(root)), Some(name.parse().map_err(|error| wrong(&error))?))
        }
        _ => {
            let sources = Sources {
                file: ui.globals.settings.clone(),
                env: env.clone(),
                options: ui.globals.overrides.clone(),
                system_file: None,
            };
            let settings = settings::load(&sources)?.settings;
            (settings.proxmox.root, settings.proxmox.node)
        }
    };
    let root = root.unwrap_or_else(|| PathBuf::from(DEFAULT_ROOT));
    if !root.is_absolute() {
        return Err(Error::Settings { what: format!("root: '{}' is not an absolute path", root.display()) });
    }
    let name = name.map_or_else(host_name, Ok)?;
    let helper = std::env::current_exe()
        .map_err(|source| Error::Io { what: "cannot find this program's file".to_owned(), source })?;
    Ok(made(&root, name, helper))
}

/// The standalone node of a client; `None` for every other place.
pub fn of_place(app: &App, place: &Place) -> Option<Node> {
    match place {
        Place::Standalone { root, node } => Some(made(root, node.clone(), app.program.clone())),
        Place::Proxmox | Place::Far { .. } | Place::Api { .. } => None,
    }
}

/// Makes a node below a root; `helper` is the program that runs its helper verbs.
pub fn made(root: &Path, name: NodeName, helper: PathBuf) -> Node {
    Node { layout: Layout::new(real_root(root), name.clone()), name, helper }
}

fn wrong(error: &pvect_core::id::InvalidId) -> Error {
    Error::Settings { what: format!("PVECT_NODE: {error}") }
}
