//! Builds templates for the storage `local`.
//!
//! A template is written under a hidden name beside its place and renamed when it is whole: what ends the build
//! leaves no template that looks finished.

mod busybox;
mod debian;

use std::path::{Path, PathBuf};

pub use busybox::build_busybox;
pub use debian::{DEFAULT_SUITE, build_debian};

use crate::storage::{Storages, Template};
use crate::{Failure, Node, NodeResult};

/// The storage that templates are built for.
const STORAGE: &str = "local";

/// A template that is being written; it is removed if this is dropped before [`Unfinished::finish`].
struct Unfinished {
    temporary: PathBuf,
    place: PathBuf,
    name: String,
}

impl Unfinished {
    /// Chooses the path of a template in `template/cache`.
    fn begin(node: &Node, name: String) -> NodeResult<Self> {
        crate::store::ensure_root(node)?;
        let storages = Storages::load(&node.layout)?;
        let storage = storages.find(STORAGE)?;
        if !storage.holds("vztmpl") {
            return Err(Failure::new(format!("storage '{STORAGE}' does not allow content type 'vztmpl'")));
        }
        storage.activate()?;
        let cache = storage.directories()?.of("vztmpl");
        // Hidden files do not count as templates, see `storage::dir::is_template`. The ending tells mmdebstrap how to
        // pack.
        let temporary = cache.join(format!(".building-{}-{name}", std::process::id()));
        Ok(Self { temporary, place: cache.join(&name), name })
    }

    fn path(&self) -> &Path {
        &self.temporary
    }

    fn finish(self) -> NodeResult<Template> {
        let failed = |error| Failure::io("can't finish", &self.place, &error);
        let file = std::fs::File::open(&self.temporary).map_err(failed)?;
        file.sync_all().map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        std::fs::rename(&self.temporary, &self.place).map_err(failed)?;
        let id = format!("{STORAGE}:vztmpl/{}", self.name);
        let volume = id.parse().map_err(|error| Failure::new(format!("{error}")))?;
        Ok(Template { volume, path: self.place.clone(), size })
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.temporary);
    }
}
