//! Loads the packet filter's rules: `run/network/nft.conf`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::filter::{self, Port};
use super::nat;
use super::settings::Network;
use crate::tool::Tool;
use crate::{Failure, FailureKind, Layout, NodeResult, files};

/// How often to try again when the kernel is busy with another change of the rules, and the pause between.
const TRIES: u32 = 10;
const PAUSE: Duration = Duration::from_millis(50);

/// The result of loading the rules.
#[derive(Debug)]
pub struct Loaded {
    /// The translation of addresses.
    pub nat: NodeResult<()>,
    /// The filter that restricts containers to their addresses.
    pub filter: NodeResult<()>,
}

fn file(layout: &Layout, name: &str) -> PathBuf {
    layout.network_run().join(name)
}

/// Loads the rules of the bridges that are up and of the interfaces on them; without any, removes the tables.
pub fn load(layout: &Layout, table: &str, networks: &[&Network], ports: &[Port]) -> Loaded {
    let nat = nat::rules(table, layout.root(), networks);
    let filter = filter::rules(table, ports);
    let both = format!("{nat}{filter}");
    let (path, listing) = (file(layout, "nft.conf"), file(layout, "nft.listed"));
    let read = |path: &Path| std::fs::read_to_string(path).ok();
    // Listing is cheaper than loading, and the rules in force rarely differ.
    let listed = || {
        read(&listing)
            .filter(|listed| !listed.is_empty() && list(&tables(&both)).ok().as_ref() == Some(listed))
    };
    if read(&path).as_ref() == Some(&both) && listed().is_some() {
        return Loaded { nat: Ok(()), filter: Ok(()) };
    }
    // The last listing does not match the new rules.
    let _ = std::fs::remove_file(&listing);
    // Loading both at once takes one process only.
    let Err(failure) = run(&path, &both) else {
        // Without it the next start loads them again.
        let _ = list(&tables(&both)).map(|text| files::replace(&listing, text.as_bytes(), 0o644));
        return Loaded { nat: Ok(()), filter: Ok(()) };
    };
    if matches!(failure.kind, FailureKind::NotInstalled { .. }) {
        return Loaded { nat: Err(failure.clone()), filter: Err(failure) };
    }
    let filter = run(&file(layout, "filter.conf"), &filter);
    // A kernel without packet filtering on bridges has no such rules to remove.
    let filter = if ports.is_empty() { Ok(()) } else { filter };
    Loaded { nat: run(&file(layout, "nat.conf"), &nat), filter }
}

fn run(path: &Path, rules: &str) -> NodeResult<()> {
    files::replace(path, rules.as_bytes(), 0o644)
        .map_err(|error| Failure::io("can't write", path, &error))?;
    let mut tried = 0;
    loop {
        match Tool::new("nft", "nftables").arg("-f").arg(path).judged_by(kind_of).run() {
            Err(Failure { kind: FailureKind::Busy, .. }) if tried < TRIES => {
                tried += 1;
                std::thread::sleep(PAUSE);
            }
            done => return done,
        }
    }
}

/// The tables that a text of rules makes: `inet pvect`.
fn tables(rules: &str) -> Vec<&str> {
    rules.lines().filter_map(|line| line.strip_prefix("table ")?.strip_suffix(" {")).collect()
}

/// The rules in force of these tables, as nft prints them; empty without tables. One process for each, because nft
/// finds only one table in a call that lists several.
fn list(tables: &[&str]) -> NodeResult<String> {
    let one = |table: &str| {
        let (family, name) = table.split_once(' ').unwrap_or((table, ""));
        let mut text = String::new();
        let tool = Tool::new("nft", "nftables").args(["list", "table", family, name]);
        tool.stream(&mut |line| text.extend([line, "\n"]))?;
        Ok(text)
    };
    std::thread::scope(|scope| {
        let running: Vec<_> = tables.iter().map(|table| scope.spawn(move || one(table))).collect();
        let gone = || Failure::new("the thread that runs nft panicked");
        running.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err(gone()))).collect()
    })
}

/// The kind of a failure of nft: whether the kernel was busy with another change. Source: the texts of `EBUSY` and
/// `EAGAIN` in strerror(3).
fn kind_of(stderr: &str) -> FailureKind {
    let is_busy =
        ["resource busy", "Resource temporarily unavailable"].iter().any(|word| stderr.contains(word));
    if is_busy { FailureKind::Busy } else { FailureKind::Operation }
}

/// Whether the rules that were loaded last name one of these interfaces.
pub fn names_any(layout: &Layout, devices: &[String]) -> bool {
    let text = std::fs::read_to_string(file(layout, "nft.conf")).unwrap_or_default();
    devices.iter().any(|device| text.contains(&format!("\"{device}\"")))
}

/// The interfaces for which rules are in force.
///
/// # Errors
/// What nft says, also when there is no such table.
pub fn in_force(table: &str) -> NodeResult<BTreeSet<String>> {
    let mut text = String::new();
    Tool::new("nft", "nftables")
        .args(["list", "set", "bridge", table, "ports"])
        .stream(&mut |line| text += line)?;
    Ok(filter::listed(&text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_of_a_text_are_found() {
        let text = "table inet a\ndelete table inet a\ntable inet a {\n\tchain x {\n\t}\n}\ntable bridge a\n";
        assert_eq!(tables(text), ["inet a"]);
        assert_eq!(list(&[]).unwrap(), "");
    }

    #[test]
    fn a_busy_kernel_is_asked_again() {
        assert_eq!(kind_of("Error: Could not process rule: Device or resource busy\n"), FailureKind::Busy);
        assert_eq!(kind_of("Error: syntax error\n"), FailureKind::Operation);
    }
}
