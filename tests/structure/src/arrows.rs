//! Which crate uses which: as ARCHITECTURE.md draws it, and as cargo knows it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// What one crate uses of the workspace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Uses {
    /// Crates that its code needs, build scripts included.
    pub code: BTreeSet<String>,
    /// Crates that only its tests need.
    pub tests: BTreeSet<String>,
}

/// Each crate by its directory (`crates/pvect-core`), in the order of the drawing.
pub type Drawing = Vec<(String, Uses)>;

/// Reads the drawing: lines such as `    crates/pvect  -> pvect-pct, pvect-core; tests: pvect-testkit`. What follows on
/// lines without an arrow is prose.
pub fn drawn(page: &str) -> Drawing {
    let line = |line: &str| {
        let (directory, uses) = line.strip_prefix("    ")?.split_once("->")?;
        let directory = directory.trim_end();
        let is_directory = directory.starts_with("crates/") || directory.starts_with("tests/");
        if !is_directory || directory.contains(' ') {
            return None;
        }
        let (code, tests) = uses.split_once("tests:").unwrap_or((uses, ""));
        Some((directory.to_owned(), Uses { code: names(code), tests: names(tests) }))
    };
    page.lines().filter_map(line).collect()
}

fn names(list: &str) -> BTreeSet<String> {
    list.split([',', ';'])
        .map(str::trim)
        .filter(|name| !name.is_empty() && *name != "-")
        .map(str::to_owned)
        .collect()
}

/// Reads the answer of `cargo metadata --no-deps`: each crate of the workspace with what it uses of the others.
pub fn real(metadata: &Value, root: &str) -> BTreeMap<String, Uses> {
    let packages = metadata["packages"].as_array().map_or(&[][..], Vec::as_slice);
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let members: BTreeSet<String> = packages.iter().map(|package| text(&package["name"])).collect();
    let uses = |package: &Value| {
        let mut uses = Uses::default();
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let name = text(&dependency["name"]);
            if members.contains(&name) {
                let list = if dependency["kind"] == "dev" { &mut uses.tests } else { &mut uses.code };
                list.insert(name);
            }
        }
        uses
    };
    let directory = |package: &Value| {
        let manifest = text(&package["manifest_path"]);
        let below = manifest.strip_prefix(root).unwrap_or(&manifest);
        below.trim_start_matches('/').trim_end_matches("/Cargo.toml").to_owned()
    };
    packages.iter().map(|package| (directory(package), uses(package))).collect()
}

/// Compares both, and checks that no arrow of the drawing points up. Returns what is wrong, a sentence each.
pub fn problems(drawing: &Drawing, real: &BTreeMap<String, Uses>) -> Vec<String> {
    let mut problems = Vec::new();
    let drawn: BTreeMap<&String, &Uses> = drawing.iter().map(|(name, uses)| (name, uses)).collect();
    for (directory, uses) in real {
        let Some(drawn) = drawn.get(directory) else {
            problems.push(format!("{directory} is not drawn"));
            continue;
        };
        for (what, real, drawn) in [("code", &uses.code, &drawn.code), ("tests", &uses.tests, &drawn.tests)] {
            let more =
                real.difference(drawn).map(|used| format!("the {what} of {directory} may not use {used}"));
            let less =
                drawn.difference(real).map(|used| format!("the {what} of {directory} no longer use {used}"));
            problems.extend(more.chain(less));
        }
    }
    for (place, (directory, uses)) in drawing.iter().enumerate() {
        if !real.contains_key(directory) {
            problems.push(format!("{directory} is drawn and does not exist"));
        }
        for used in &uses.code {
            let is_below =
                drawing.iter().skip(place + 1).any(|(other, _)| other.ends_with(&format!("/{used}")));
            if !is_below {
                problems.push(format!("{used} is not drawn below {directory}, which uses it"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PAGE: &str = "    crates/up    -> down\n                 prose -> more\n    crates/down  -> -; tests: kit\n    crates/kit -> -\n";

    fn metadata(of_down: &Value) -> BTreeMap<String, Uses> {
        let package = |name: &str, dependencies: Value| json!({ "name": name, "manifest_path": format!("/w/crates/{name}/Cargo.toml"), "dependencies": dependencies });
        let up = json!([{ "name": "down", "kind": null }, { "name": "serde", "kind": null }]);
        let packages = [package("up", up), package("down", of_down.clone()), package("kit", json!([]))];
        real(&json!({ "packages": packages }), "/w")
    }

    #[test]
    fn an_arrow_that_is_not_drawn_is_a_problem() {
        let kit = json!({ "name": "kit", "kind": "dev" });
        assert_eq!(problems(&drawn(PAGE), &metadata(&json!([kit]))), Vec::<String>::new());
        let added = json!([kit, { "name": "up", "kind": null }]);
        assert_eq!(problems(&drawn(PAGE), &metadata(&added)), ["the code of crates/down may not use up"]);
        let as_code = json!([{ "name": "kit", "kind": "build" }]);
        assert_eq!(
            problems(&drawn(PAGE), &metadata(&as_code)),
            ["the code of crates/down may not use kit", "the tests of crates/down no longer use kit"]
        );
    }

    #[test]
    fn an_arrow_that_points_up_is_a_problem_even_if_drawn() {
        let page = PAGE.replace("crates/kit -> -", "crates/kit -> up");
        let kit = json!([{ "name": "kit", "kind": "dev" }]);
        let found = problems(&drawn(&page), &metadata(&kit));
        assert!(found.contains(&"up is not drawn below crates/kit, which uses it".to_owned()), "{found:?}");
    }

    #[test]
    fn a_crate_that_is_not_drawn_is_a_problem() {
        let page = PAGE.replace("    crates/kit -> -\n", "    crates/gone -> -\n");
        let kit = json!([{ "name": "kit", "kind": "dev" }]);
        let found = problems(&drawn(&page), &metadata(&kit));
        assert_eq!(found, ["crates/kit is not drawn", "crates/gone is drawn and does not exist"]);
    }
}
