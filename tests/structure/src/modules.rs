//! Which file of a crate uses which, by the paths in its code.
//!
//! A re-export is followed to what it names, and does not count itself. Nor does it count when a module uses what its
//! parents define, for it is a part of them. What a method call needs is not seen.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;

use crate::circles::Graph;
use crate::scan::{self, Names, Use};

/// Re-exports of re-exports are followed this far.
const DEEPEST: u8 = 8;

/// A crate's modules by their paths, the root's being empty.
struct Crate {
    modules: BTreeMap<scan::Path, (PathBuf, Names)>,
}

/// Returns who uses whom in a crate, by the files' names below `source`.
///
/// # Errors
/// The file that cannot be read or is not Rust, and why.
pub fn graph(source: &Path) -> Result<Graph, String> {
    let root = ["lib.rs", "main.rs"].iter().map(|name| source.join(name)).find(|path| path.is_file());
    let root = root.ok_or_else(|| format!("{} has neither lib.rs nor main.rs", source.display()))?;
    let mut found = Crate { modules: BTreeMap::new() };
    found.read(source, &Vec::new(), root)?;
    let name = |module: &scan::Path| {
        let file = found.modules.get(module).map(|(file, _)| file.as_path()).unwrap_or(source);
        file.strip_prefix(source).unwrap_or(file).display().to_string()
    };
    let mut graph = Graph::new();
    for (module, (_, names)) in &found.modules {
        let used = found.used(module, names);
        let used = used.iter().filter(|other| !module.starts_with(other)).map(name).collect();
        graph.insert(name(module), used);
    }
    Ok(graph)
}

impl Crate {
    fn read(&mut self, source: &Path, module: &scan::Path, file: PathBuf) -> Result<(), String> {
        let text = fs::read_to_string(&file).map_err(|error| format!("{}: {error}", file.display()))?;
        let tokens: TokenStream = text.parse().map_err(|error| format!("{}: {error}", file.display()))?;
        let names = Names::read(tokens);
        let children = names.modules.clone();
        self.modules.insert(module.clone(), (file, names));
        for child in children {
            let path: scan::Path = module.iter().cloned().chain([child]).collect();
            let stem = path.iter().fold(source.to_owned(), |dir, name| dir.join(name));
            let file =
                [stem.with_extension("rs"), stem.join("mod.rs")].into_iter().find(|file| file.is_file());
            let file = file.ok_or_else(|| format!("the module {} has no file", path.join("::")))?;
            self.read(source, &path, file)?;
        }
        Ok(())
    }

    /// The modules that a module uses.
    fn used(&self, module: &scan::Path, names: &Names) -> Vec<scan::Path> {
        let is_named = |name: &String| names.paths.iter().any(|path| path.first() == Some(name));
        let through_use =
            names.uses.iter().filter(|one| !one.public || is_named(&one.name)).map(|one| &one.path);
        let all = through_use.chain(&names.paths);
        all.filter_map(|path| self.resolve(module, path, DEEPEST)).collect()
    }

    /// The module in which what a path names is defined; `None` for what is not of this crate.
    fn resolve(&self, module: &scan::Path, path: &[String], depth: u8) -> Option<scan::Path> {
        let (first, rest) = path.split_first()?;
        let child: scan::Path = module.iter().chain([first]).cloned().collect();
        match first.as_str() {
            "crate" => self.descend(Vec::new(), rest, depth),
            "self" => self.descend(module.clone(), rest, depth),
            "super" => {
                let (_, parent) = module.split_last()?;
                match rest.first() {
                    Some(next) if next == "super" => self.resolve(&parent.to_vec(), rest, depth),
                    _ => self.descend(parent.to_vec(), rest, depth),
                }
            }
            _ if self.modules.contains_key(&child) => self.descend(child, rest, depth),
            _ => self.follow(module, first, rest, depth),
        }
    }

    fn descend(&self, module: scan::Path, path: &[String], depth: u8) -> Option<scan::Path> {
        let Some((first, rest)) = path.split_first() else { return Some(module) };
        let child: scan::Path = module.iter().chain([first]).cloned().collect();
        if self.modules.contains_key(&child) {
            return self.descend(child, rest, depth);
        }
        Some(self.follow(&module, first, rest, depth).unwrap_or(module))
    }

    /// Follows a name that a module has by `use`.
    fn follow(&self, module: &scan::Path, name: &String, rest: &[String], depth: u8) -> Option<scan::Path> {
        let depth = depth.checked_sub(1)?;
        let (_, names) = self.modules.get(module)?;
        let Use { path, .. } = names.uses.iter().find(|one| one.name == *name)?;
        let whole: scan::Path = path.iter().chain(rest).cloned().collect();
        // A name that stands for itself, as a crate's, is of another crate.
        (path.first() != Some(name)).then(|| self.resolve(module, &whole, depth))?
    }
}
